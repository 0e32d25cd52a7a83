//! The host of a request, in one spelling.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// The most bytes that the name of a host may have.
pub const MAX_HOST_LEN: usize = 253;
/// The most bytes between two dots of it.
const MAX_LABEL_LEN: usize = 63;

/// A host in one spelling: in lower case, without a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NormalHost<'a>(Cow<'a, str>);

/// Why a host is refused: it means nothing, or two parsers may read it in two
/// ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum HostRefusal {
    /// There is none.
    #[error("it is empty")]
    Empty,
    /// It is longer than [`MAX_HOST_LEN`], or one of its labels than 63 bytes.
    #[error("it is longer than the name of a host can be")]
    TooLong,
    /// Two dots follow each other, or it starts or ends with one.
    #[error("it has an empty label: a dot at its start or end, or two in a row")]
    EmptyLabel,
    /// What follows the colon is no port.
    #[error("what follows its `:` is no port")]
    Port,
    /// A character that is in no host: also `@`, `/`, `%` and letters beyond ASCII.
    #[error("it has a character that is in no host")]
    Character,
    /// It ends like an address of IPv4, and is none in its one spelling; or what
    /// is in brackets is no address of IPv6.
    #[error("it is an address in an odd spelling")]
    Address,
}

impl<'a> NormalHost<'a> {
    /// Reads a host as a client sent it, with or without a port. Allocates if
    /// there are capital letters in it, and for an address of IPv6.
    ///
    /// # Errors
    ///
    /// [`HostRefusal`], if it means nothing, or not the same to everybody.
    pub fn read(raw: &'a str) -> Result<Self, HostRefusal> {
        if raw.is_empty() {
            return Err(HostRefusal::Empty);
        }
        if let Some(bracketed) = raw.strip_prefix('[') {
            let (address, port) = bracketed.split_once(']').ok_or(HostRefusal::Address)?;
            check_port(port)?;
            let address: Ipv6Addr = address.parse().map_err(|_| HostRefusal::Address)?;
            return Ok(Self(format!("[{address}]").into()));
        }
        let name_len = raw.find(':').unwrap_or(raw.len());
        let (name, port) = raw.split_at(name_len);
        check_port(port)?;
        check_name(name)?;
        Ok(Self(
            if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                name.to_ascii_lowercase().into()
            } else {
                name.into()
            },
        ))
    }

    /// The host as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `:443`, or nothing.
fn check_port(text: &str) -> Result<(), HostRefusal> {
    let Some(port) = text.strip_prefix(':') else {
        return if text.is_empty() {
            Ok(())
        } else {
            Err(HostRefusal::Port)
        };
    };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(_) if digits => Ok(()),
        Ok(_) | Err(_) => Err(HostRefusal::Port),
    }
}

fn check_name(name: &str) -> Result<(), HostRefusal> {
    if name.len() > MAX_HOST_LEN {
        return Err(HostRefusal::TooLong);
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err(HostRefusal::EmptyLabel);
        }
        if label.len() > MAX_LABEL_LEN {
            return Err(HostRefusal::TooLong);
        }
        let is_named_with = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if !label.bytes().all(is_named_with) {
            return Err(HostRefusal::Character);
        }
    }
    // `127.1`, `0x7f.0.0.1` and `2130706433` are all 127.0.0.1 for some.
    let last = name.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.starts_with("0x")
        || last.starts_with("0X");
    if numeric && name.parse::<Ipv4Addr>().is_err() {
        return Err(HostRefusal::Address);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(raw: &str) -> Result<String, HostRefusal> {
        NormalHost::read(raw).map(|host| host.as_str().to_owned())
    }

    #[test]
    fn case_and_port_do_not_count() {
        for (raw, expected) in [
            ("example.com", "example.com"),
            ("EXAMPLE.com:443", "example.com"),
            ("a_b.Example-1.com:0", "a_b.example-1.com"),
            ("localhost:8080", "localhost"),
            ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]:80", "[::1]"),
            ("[0:0:0:0:0:0:0:1]", "[::1]"),
            ("[2001:DB8::A]", "[2001:db8::a]"),
            ("1.2.3.example", "1.2.3.example"),
        ] {
            assert_eq!(read(raw).as_deref(), Ok(expected), "{raw}");
        }
        let longest = vec!["a".repeat(63); 4].join(".")[..MAX_HOST_LEN].to_owned();
        assert_eq!(read(&longest), Ok(longest));
    }

    #[test]
    fn what_could_be_two_hosts_is_none() {
        use HostRefusal::{Address, Character, Empty, EmptyLabel, Port, TooLong};
        let long = format!("{}.com", "a".repeat(64));
        let longer = vec!["a".repeat(60); 5].join(".");
        for (raw, expected) in [
            ("", Empty),
            ("example.com.", EmptyLabel),
            (".example.com", EmptyLabel),
            ("example..com", EmptyLabel),
            (":443", EmptyLabel),
            ("example.com:", Port),
            ("example.com:x", Port),
            ("example.com:+1", Port),
            ("example.com:65536", Port),
            ("example.com:1:2", Port),
            ("::1", Port),
            ("user@example.com", Character),
            ("user:80@example.com", Port),
            ("example.com/x", Character),
            ("example.com%2e", Character),
            ("example.com\\x", Character),
            ("a.com, b.com", Character),
            ("exa mple.com", Character),
            ("example.com\0", Character),
            ("m\u{fc}nchen.de", Character),
            ("\u{ff45}xample.com", Character),
            ("example\u{3002}com", Character),
            ("*.example.com", Character),
            ("127.1", Address),
            ("2130706433", Address),
            ("0x7f.0x1", Address),
            ("127.0.0.01", Address),
            ("1.2.3.4.5", Address),
            ("[::1", Address),
            ("[::1%eth0]", Address),
            ("[127.0.0.1]", Address),
            ("[::1]x", Port),
            (&long, TooLong),
            (&longer, TooLong),
        ] {
            assert_eq!(read(raw), Err(expected), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn what_was_read_is_read_the_same_again(raw in "[a-zA-Z0-9.:\\[\\]_-]{0,24}|.{0,24}") {
            if let Ok(host) = read(&raw) {
                let again = read(&host);
                prop_assert_eq!(again.as_ref(), Ok(&host));
                prop_assert!(!host.contains(|c: char| c.is_ascii_uppercase() || !c.is_ascii_graphic()));
            }
        }
    }
}
