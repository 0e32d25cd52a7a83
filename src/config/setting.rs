//! What one setting is: its names, its default, what it means, and how its
//! value gets to its field.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use serde_json::Value;

use crate::edge::listener::Address;

use super::draft::Draft;
use super::given::Given;

/// One setting of the server.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its place in the file, such as `check.tls.key`.
    pub key: &'static str,
    /// Its flag, without the dashes.
    pub flag: &'static str,
    /// What holds where nobody gives a value.
    pub preset: Preset,
    /// What it means, in a sentence without a full stop.
    pub meaning: &'static str,
    /// How a value gets to its field.
    pub(super) kind: Kind,
}

/// What holds where nobody gives a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Preset {
    /// This value.
    Is(&'static str),
    /// No value.
    Absent {
        /// What it means that there is none; empty if that is plain.
        told: &'static str,
        /// A value as it could be, for the example file.
        sample: &'static str,
    },
}

/// A word that a setting can be, and what it does to the draft.
pub(super) type Word = (&'static str, fn(&mut Draft));

/// What a setting's value is, and the field that it goes to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A folder, which need not be there.
    Folder(fn(&mut Draft, PathBuf)),
    /// A file that must be there.
    File(fn(&mut Draft, PathBuf)),
    /// Where to listen.
    Address(fn(&mut Draft, Address)),
    /// The same, or `off`.
    AddressOrOff(fn(&mut Draft, Option<Address>)),
    /// Networks and addresses, or `none`.
    Networks(fn(&mut Draft, Vec<IpNet>)),
    /// The name of a header that holds addresses.
    SourceHeader(fn(&mut Draft, HeaderName)),
    /// A number from 1 to the first field.
    Count(u32, fn(&mut Draft, NonZeroU32)),
    /// A span of time, no shorter than the first field.
    Span(Duration, fn(&mut Draft, Duration)),
    /// The same, or `never`.
    SpanOrNever(Duration, fn(&mut Draft, Option<Duration>)),
    /// Yes or no.
    Switch(fn(&mut Draft, bool)),
    /// Yes or no, where flag and variable say the opposite of the file's key.
    Negated(fn(&mut Draft, bool)),
    /// One of some words.
    Word(&'static [Word]),
    /// The name of a header, or `none`.
    Header(fn(&mut Draft, Option<HeaderName>)),
    /// What is logged.
    Filter(fn(&mut Draft, String)),
}

impl Setting {
    /// The variable: the flag in capitals.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("KEYWARD_{}", self.flag.to_uppercase().replace('-', "_"))
    }

    /// The section of the file that it is in, such as `check.tls`.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.key.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// Its name in its section.
    #[must_use]
    pub fn leaf(&self) -> &'static str {
        self.key.rsplit_once('.').map_or(self.key, |(_, leaf)| leaf)
    }

    /// What its value is called in `--help`. None: the flag alone is enough.
    #[must_use]
    pub const fn value_name(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Folder(_) | Kind::File(_) => Some("PATH"),
            Kind::Address(_) | Kind::AddressOrOff(_) => Some("ADDRESS"),
            Kind::Networks(_) => Some("NETWORKS"),
            Kind::Header(_) | Kind::SourceHeader(_) => Some("NAME"),
            Kind::Count(..) => Some("N"),
            Kind::Span(..) | Kind::SpanOrNever(..) => Some("SPAN"),
            Kind::Switch(_) | Kind::Negated(_) => None,
            Kind::Word(_) => Some("WORD"),
            Kind::Filter(_) => Some("FILTER"),
        }
    }

    /// The value as TOML and JSON write it, with what was `given` put into
    /// `draft`.
    ///
    /// # Errors
    ///
    /// What is wrong, to follow the setting's name.
    pub(super) fn read(&self, given: &Given, draft: &mut Draft) -> Result<Value, String> {
        match self.kind {
            Kind::Folder(set) | Kind::File(set) => {
                let path = given.words("a path")?;
                set(draft, PathBuf::from(&path));
                Ok(path.to_string_lossy().into())
            }
            Kind::Address(set) => Ok(put(draft, set, given.address()?)),
            Kind::AddressOrOff(set) => Ok(put(draft, set, given.address_or_off()?)),
            Kind::Networks(set) => Ok(put(draft, set, given.networks()?)),
            Kind::SourceHeader(set) => Ok(put(draft, set, given.source_header()?)),
            Kind::Count(most, set) => {
                let number = given.count(most)?;
                set(draft, number);
                Ok(number.get().into())
            }
            Kind::Span(least, set) => Ok(put(draft, set, given.span(least)?)),
            Kind::SpanOrNever(least, set) => Ok(put(draft, set, given.span_or_never(least)?)),
            Kind::Switch(set) => {
                let on = given.switch()?;
                set(draft, on);
                Ok(on.into())
            }
            Kind::Negated(set) => {
                let on = given.switch()? != matches!(given, Given::Words(_));
                set(draft, on);
                Ok(on.into())
            }
            Kind::Word(words) => {
                let (word, set) = given.word(words)?;
                set(draft);
                Ok(word.into())
            }
            Kind::Header(set) => Ok(put(draft, set, given.header()?)),
            Kind::Filter(set) => {
                let filter = given.filter()?;
                set(draft, filter.clone());
                Ok(filter.into())
            }
        }
    }

    /// The default as a value that was given, if it is one.
    pub(super) const fn default_given(&self) -> Option<Given> {
        match self.preset {
            Preset::Is(value) => Some(Given::Preset(value)),
            Preset::Absent { .. } => None,
        }
    }
}

/// Puts a value into its field; how it was written is what is told of it.
fn put<T>(draft: &mut Draft, set: fn(&mut Draft, T), (text, value): (String, T)) -> Value {
    set(draft, value);
    text.into()
}
