//! A value as it was given, and what can be made of it. What cannot is told in
//! words that follow the setting's name.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;

use crate::domain::source::{SourceRange, SourceRangeError};
use crate::edge::listener::Address;
use crate::telemetry;

use super::setting::Word;

/// Headers that say something else to gateways and upstreams. Whoever tells of
/// identities by one of them tells something wrong, or breaks the request.
const TAKEN: [&str; 20] = [
    "accept",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "host",
    "keep-alive",
    "origin",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// No span is longer, so that no sum with a time of day overflows.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A value as it was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Given {
    /// By a flag or a variable, which know nothing but text.
    Words(OsString),
    /// A default.
    Preset(&'static str),
    /// A text in the file.
    Text(String),
    /// A whole number in the file, as it is written there.
    Number(String),
    /// `true` or `false` in the file.
    Switch(bool),
    /// Something else in the file, such as `an array`.
    Other(&'static str),
}

impl Given {
    /// The words; `wanted` is what there should have been.
    pub(super) fn words(&self, wanted: &str) -> Result<OsString, String> {
        let words = match self {
            Self::Words(words) => words.clone(),
            Self::Preset(text) => text.into(),
            Self::Text(text) => text.into(),
            Self::Number(number) => {
                return Err(format!("is the number {number}; give {wanted}, in quotes"));
            }
            Self::Switch(on) => return Err(format!("is {on}; give {wanted}, in quotes")),
            Self::Other(what) => return Err(format!("is {what}; give {wanted}")),
        };
        if words.is_empty() {
            return Err(format!("is empty; give {wanted}, or leave it out"));
        }
        Ok(words)
    }

    /// The same, as text.
    fn text(&self, wanted: &str) -> Result<String, String> {
        self.words(wanted)?
            .into_string()
            .map_err(|words| format!("is {words:?}, which is not UTF-8; give {wanted}"))
    }

    /// Where to listen, and how that was written.
    pub(super) fn address(&self) -> Result<(String, Address), String> {
        let text =
            self.text("an address: \"HOST:PORT\", as in \"127.0.0.1:50051\", or \"unix:PATH\"")?;
        let address = text
            .parse()
            .map_err(|error| format!("is {text:?}, which {error}"))?;
        Ok((text, address))
    }

    /// The same, or none for `off`.
    pub(super) fn address_or_off(&self) -> Result<(String, Option<Address>), String> {
        let text = self.text(
            "an address: \"HOST:PORT\", as in \"127.0.0.1:8080\", \"unix:PATH\", or \"off\"",
        )?;
        if text == "off" {
            return Ok((text, None));
        }
        let address = text
            .parse()
            .map_err(|error| format!("is {text:?}, which {error}; \"off\" switches it off"))?;
        Ok((text, Some(address)))
    }

    /// Networks, or none for `none`, and how that was written.
    pub(super) fn networks(&self) -> Result<(String, Vec<IpNet>), String> {
        const WANTED: &str = "networks, as in \"10.0.0.0/8 192.0.2.7\", or \"none\"";
        let text = self.text(WANTED)?;
        if text == "none" {
            return Ok((text, Vec::new()));
        }
        let words = text.split([' ', ',']).filter(|word| !word.is_empty());
        let networks = words
            .map(|word| network(word, WANTED))
            .collect::<Result<Vec<_>, _>>()?;
        if networks.is_empty() {
            return Err(format!("is {text:?}; give {WANTED}"));
        }
        Ok((text, networks))
    }

    /// The name of a header that holds addresses, and how that was written.
    pub(super) fn source_header(&self) -> Result<(String, HeaderName), String> {
        const WANTED: &str = "the name of a header, as in \"x-forwarded-for\"";
        let text = self.text(WANTED)?;
        match text.parse::<HeaderName>() {
            Ok(name) if name == http::header::FORWARDED => Err(format!(
                "is {text:?}, which holds more than addresses and is not read; give {WANTED}, and have the gateway \
                 send that"
            )),
            Ok(name) => Ok((text, name)),
            Err(_) => Err(format!("is {text:?}; give {WANTED}")),
        }
    }

    /// A span no shorter than `least`, and how that was written.
    pub(super) fn span(&self, least: Duration) -> Result<(String, Duration), String> {
        let text = self.text("a span such as \"500ms\", \"10s\" or \"5m\"")?;
        let span = span(&text, least)?;
        Ok((text, span))
    }

    /// The same, or none for `never`.
    pub(super) fn span_or_never(
        &self,
        least: Duration,
    ) -> Result<(String, Option<Duration>), String> {
        let text = self.text("a span such as \"30m\", or \"never\"")?;
        if text == "never" {
            return Ok((text, None));
        }
        let span = span(&text, least)?;
        Ok((text, Some(span)))
    }

    /// One of `words`.
    pub(super) fn word(&self, words: &'static [Word]) -> Result<Word, String> {
        let wanted = one_of(words.iter().map(|(name, _)| *name));
        let text = self.text(&wanted)?;
        words
            .iter()
            .find(|(name, _)| *name == text)
            .copied()
            .ok_or_else(|| format!("is {text:?}; give {wanted}"))
    }

    /// The name of a header, in lower case, and how that is written; no name for
    /// `none`.
    pub(super) fn header(&self) -> Result<(String, Option<HeaderName>), String> {
        const WANTED: &str = "the name of a header such as \"x-principal\", or \"none\"";
        let text = self.text(WANTED)?.to_ascii_lowercase();
        if text == "none" {
            return Ok((text, None));
        }
        if TAKEN.contains(&text.as_str()) {
            return Err(format!(
                "is {text:?}, which says something else in every request; give {WANTED}"
            ));
        }
        // Many servers take `x_a` for `x-a`, or drop it.
        let name = HeaderName::from_bytes(text.as_bytes()).ok();
        match name.filter(|_| !text.contains('_')) {
            Some(name) => Ok((text, Some(name))),
            None => Err(format!(
                "is {text:?}; give {WANTED}: letters, digits and `-`"
            )),
        }
    }

    /// A filter for the log.
    pub(super) fn filter(&self) -> Result<String, String> {
        const WANTED: &str = "a level, or something like \"info,keyward::store=debug\"";
        let text = self.text(WANTED)?;
        if telemetry::is_filter(&text) {
            Ok(text)
        } else {
            Err(format!(
                "is {text:?}, which is not a log filter; give {WANTED}"
            ))
        }
    }

    /// A number from 1 to `most`.
    pub(super) fn count(&self, most: u32) -> Result<NonZeroU32, String> {
        let wanted = format!("a whole number from 1 to {most}");
        let text = match self {
            Self::Number(number) => number.clone(),
            Self::Text(text) => {
                return Err(format!(
                    "is the text {text:?}; give {wanted}, without quotes"
                ));
            }
            Self::Words(_) | Self::Preset(_) => self.text(&wanted)?,
            Self::Switch(on) => return Err(format!("is {on}; give {wanted}")),
            Self::Other(what) => return Err(format!("is {what}; give {wanted}")),
        };
        text.parse()
            .ok()
            .filter(|number: &NonZeroU32| number.get() <= most)
            .ok_or_else(|| format!("is {text}; give {wanted}"))
    }

    /// Yes or no.
    pub(super) fn switch(&self) -> Result<bool, String> {
        const WANTED: &str = "true or false";
        match self {
            Self::Switch(on) => Ok(*on),
            Self::Text(text) => Err(format!(
                "is the text {text:?}; give {WANTED}, without quotes"
            )),
            Self::Number(number) => Err(format!("is the number {number}; give {WANTED}")),
            Self::Other(what) => Err(format!("is {what}; give {WANTED}")),
            Self::Words(_) | Self::Preset(_) => {
                let text = self.text(WANTED)?;
                match text.to_ascii_lowercase().as_str() {
                    "true" | "yes" | "on" | "t" | "y" | "1" => Ok(true),
                    "false" | "no" | "off" | "f" | "n" | "0" => Ok(false),
                    _ => Err(format!("is {text:?}; give {WANTED}")),
                }
            }
        }
    }
}

/// A network, or the one of a single address, whose word is to be taken. The error
/// goes on after the name of the setting; `wanted` is what could be given.
fn network(word: &str, wanted: &str) -> Result<IpNet, String> {
    let range = SourceRange::try_from(word).map_err(|error| match error {
        SourceRangeError::HostBits { .. } => format!("names {word:?}, which {error}"),
        SourceRangeError::NoAddress | SourceRangeError::Length { .. } => {
            format!("names {word:?}; give {wanted}")
        }
    })?;
    let network = range.network();
    if network.prefix_len() == 0 {
        return Err(format!(
            "names {word:?}, which is everybody: each hop would be trusted, and the first is what the client itself \
             has written; name the networks that your gateways are in"
        ));
    }
    Ok(network)
}

/// `"a", "b" or "c"`.
fn one_of(words: impl Iterator<Item = &'static str>) -> String {
    let words: Vec<_> = words.map(|word| format!("{word:?}")).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some(_) | None => words.concat(),
    }
}

fn span(text: &str, least: Duration) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).map_err(|_| {
        format!("is {text:?}, which is no span; give one such as \"500ms\", \"10s\" or \"5m\"")
    })?;
    if span < least {
        let least = humantime::format_duration(least);
        return Err(format!("is {text:?}; give at least {least}"));
    }
    if span > LONGEST {
        return Err(format!("is {text:?}; give at most 100 years"));
    }
    Ok(span)
}
