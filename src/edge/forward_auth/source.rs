//! Where a forwarded request comes from, as far as anybody can be believed.
//!
//! Each gateway on the way appends the address of whoever it was sent by, and the
//! first of them appends to whatever its client has made up. So the list is read
//! from its end, for as long as it is told by somebody who is trusted.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use crate::config::listener::SourceConfig;

/// Who is believed, and where it says so.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    trusted: Arc<[IpNet]>,
    header: HeaderName,
}

impl Sources {
    pub(super) fn new(config: SourceConfig) -> Self {
        Self {
            trusted: config.trusted.into(),
            header: config.header,
        }
    }

    /// Where a request comes from that a gateway at `peer` has forwarded with
    /// these `headers`; none: nobody can tell. A gateway at a unix socket has no
    /// address, and is trusted.
    pub(super) fn find(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Option<IpAddr> {
        let peer = peer.map(|peer| peer.to_canonical());
        if let Some(peer) = peer.filter(|peer| !self.trusts(*peer)) {
            return Some(peer);
        }
        let mut farthest = None;
        for line in headers.get_all(&self.header).iter().rev() {
            for hop in line.as_bytes().rsplit(|byte| *byte == b',') {
                // Whatever is left of one that cannot be read was told by nobody
                // knows whom.
                let address = address(hop)?;
                if !self.trusts(address) {
                    return Some(address);
                }
                farthest = Some(address);
            }
        }
        // With no list at all, a gateway that is trusted has not told: its own
        // address is not the client's.
        farthest
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted
            .iter()
            .any(|network| network.contains(&address))
    }
}

/// The address of one hop, which may have a port.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop.trim_ascii()).ok()?;
    let address: IpAddr = if let Some(rest) = hop.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        if !port.is_empty() && !is_port(port.strip_prefix(':')?) {
            return None;
        }
        IpAddr::V6(address.parse().ok()?)
    } else {
        match hop.split_once(':') {
            // More than one is in every address of version 6.
            Some((address, port)) if !port.contains(':') => {
                IpAddr::V4(address.parse().ok().filter(|_| is_port(port))?)
            }
            Some(_) | None => hop.parse().ok()?,
        }
    };
    Some(address.to_canonical())
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const HEADER: HeaderName = HeaderName::from_static("x-forwarded-for");

    /// What is found in these lines, told by a gateway at `peer`, where loopback
    /// and 10.0.0.0/8 are trusted.
    fn found(peer: &str, lines: &[&[u8]]) -> Option<String> {
        let trusted = ["127.0.0.0/8", "::1/128", "10.0.0.0/8"];
        let sources = Sources::new(SourceConfig {
            trusted: trusted.map(|text| text.parse().unwrap()).to_vec(),
            header: HEADER,
        });
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(HEADER, HeaderValue::from_bytes(line).unwrap());
        }
        let peer = (peer != "unix").then(|| peer.parse().unwrap());
        sources.find(&headers, peer).map(|ip| ip.to_string())
    }

    #[test]
    fn the_rightmost_hop_that_is_not_trusted_counts() {
        for (lines, source) in [
            (&[&b"192.0.2.1"[..]][..], "192.0.2.1"),
            (&[b"203.0.113.9, 192.0.2.1"], "192.0.2.1"),
            (&[b"203.0.113.9,192.0.2.1 ,\t10.1.2.3"], "192.0.2.1"),
            (
                &[b"203.0.113.9", b"192.0.2.1, 10.1.2.3", b"127.0.0.1"],
                "192.0.2.1",
            ),
            (
                &[b"203.0.113.9, 192.0.2.1", b"198.51.100.1"],
                "198.51.100.1",
            ),
            // Whoever asks is on a trusted network, too.
            (&[b"10.0.0.1, 10.0.0.2"], "10.0.0.1"),
            // What is further to the left is not even read.
            (&[b"_hidden, \xff, unknown, 192.0.2.1"], "192.0.2.1"),
        ] {
            for peer in ["127.0.0.1", "::1", "10.9.9.9", "::ffff:10.9.9.9", "unix"] {
                assert_eq!(found(peer, lines).as_deref(), Some(source), "{lines:?}");
            }
        }
    }

    #[test]
    fn who_is_not_trusted_is_the_source_whatever_it_says() {
        for lines in [&[][..], &[&b"192.0.2.1"[..]], &[b"unknown"]] {
            assert_eq!(found("203.0.113.5", lines).as_deref(), Some("203.0.113.5"));
            let mapped = found("::ffff:203.0.113.5", lines);
            assert_eq!(mapped.as_deref(), Some("203.0.113.5"));
        }
    }

    #[test]
    fn a_hop_that_is_no_address_ends_the_walk() {
        for hop in [
            "",
            "unknown",
            "_hidden",
            "localhost",
            "192.0.2",
            "192.0.2.1.",
            "192.0.2.01",
            "192.0.2.1:",
            "192.0.2.1:x",
            "192.0.2.1:99999",
            "192.0.2.1:+80",
            "[192.0.2.1]",
            "[2001:db8::1",
            "[2001:db8::1]80",
            "[2001:db8::1]:x",
            "2001:db8::1%eth0",
            "for=192.0.2.1",
            "\"192.0.2.1\"",
            "192.0.2.1/32",
            "192.0.2.1 10.0.0.1",
            "\u{e9}",
        ] {
            let spoofed = format!("203.0.113.9, {hop}, 10.0.0.1");
            assert_eq!(found("127.0.0.1", &[spoofed.as_bytes()]), None, "{hop}");
            let spoofed: &[&[u8]] = &[b"203.0.113.9", hop.as_bytes(), b"10.0.0.1"];
            assert_eq!(found("127.0.0.1", spoofed), None, "{hop}");
        }
        assert_eq!(found("127.0.0.1", &[]), None, "nothing was told");
    }

    #[test]
    fn an_address_may_have_a_port_and_version_4_may_be_mapped() {
        for (hop, source) in [
            ("192.0.2.1:80", "192.0.2.1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:DB8::1", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ] {
            // A trusted one in another spelling is as trusted.
            let line = format!("{hop}, ::ffff:10.0.0.1, [::1]:80");
            let found = found("127.0.0.1", &[line.as_bytes()]);
            assert_eq!(found.as_deref(), Some(source), "{hop}");
        }
    }
}
