//! What one setting is: its names, its default, what it means, and how its
//! value is read.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::edge::listener::Address;
use crate::telemetry;

use super::draft::Draft;

/// No span is longer, so that no sum with a time of day overflows.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// What a log filter is.
const FILTER: &str = "a level, or something like \"info,keyward::store=debug\"";

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
    /// How a value is read.
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

/// What a setting's value is, and the field that it goes to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A folder, which need not be there.
    Folder(fn(&mut Draft, PathBuf)),
    /// A file that must be there.
    File(fn(&mut Draft, PathBuf)),
    /// Where to listen.
    Address(fn(&mut Draft, Address)),
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
    Word(&'static [(&'static str, fn(&mut Draft))]),
    /// What is logged.
    Filter(fn(&mut Draft, String)),
}

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
            Kind::Address(_) => Some("ADDRESS"),
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
            Kind::Address(set) => {
                let text = given.text(
                    "an address: \"HOST:PORT\", as in \"127.0.0.1:50051\", or \"unix:PATH\"",
                )?;
                set(
                    draft,
                    text.parse()
                        .map_err(|error| format!("is {text:?}, which {error}"))?,
                );
                Ok(text.into())
            }
            Kind::Count(most, set) => {
                let number = given.count(most)?;
                set(draft, number);
                Ok(number.get().into())
            }
            Kind::Span(least, set) => {
                let text = given.text("a span such as \"500ms\", \"10s\" or \"5m\"")?;
                set(draft, span(&text, least)?);
                Ok(text.into())
            }
            Kind::SpanOrNever(least, set) => {
                let text = given.text("a span such as \"30m\", or \"never\"")?;
                let never = text == "never";
                set(
                    draft,
                    if never {
                        None
                    } else {
                        Some(span(&text, least)?)
                    },
                );
                Ok(text.into())
            }
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
                let names = one_of(words.iter().map(|(name, _)| *name));
                let text = given.text(&names)?;
                let known = words.iter().find(|(name, _)| *name == text);
                let (_, set) = known.ok_or_else(|| format!("is {text:?}; give {names}"))?;
                set(draft);
                Ok(text.into())
            }
            Kind::Filter(set) => {
                let text = given.text(FILTER)?;
                if !telemetry::is_filter(&text) {
                    return Err(format!(
                        "is {text:?}, which is no log filter; give {FILTER}"
                    ));
                }
                set(draft, text.clone());
                Ok(text.into())
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

impl Given {
    /// The words that were given; `wanted` is what there should have been.
    fn words(&self, wanted: &str) -> Result<OsString, String> {
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

    fn text(&self, wanted: &str) -> Result<String, String> {
        self.words(wanted)?
            .into_string()
            .map_err(|words| format!("is {words:?}, which is not UTF-8; give {wanted}"))
    }

    fn count(&self, most: u32) -> Result<NonZeroU32, String> {
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

    fn switch(&self) -> Result<bool, String> {
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
