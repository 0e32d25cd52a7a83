//! Where a setting's value came from, and what is wrong with it there.

use std::error::Error;
use std::fmt;

use super::setting::Setting;

/// Where a value came from. In the order in which problems are told.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origin {
    /// A place in the file.
    File {
        /// The file as it was named.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The character of the line, from 1.
        column: usize,
    },
    /// A variable of the environment, by its name.
    Variable(String),
    /// A flag, without its dashes.
    Flag(&'static str),
    /// Nobody gave one.
    Default,
}

impl Origin {
    /// The setting's name as it is written there.
    pub(super) fn name_of(&self, setting: &Setting) -> String {
        match self {
            Self::File { .. } | Self::Default => setting.key.to_owned(),
            Self::Variable(_) => format!("${}", setting.variable()),
            Self::Flag(_) => format!("--{}", setting.flag),
        }
    }
}

/// `keyward.toml:3:8`, `$KEYWARD_LOG`, `--log` or `default`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One thing that is wrong with the settings, in one line.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Problem {
    origin: Origin,
    sentence: String,
}

impl Problem {
    /// A problem at a place, told by a whole sentence.
    pub(super) const fn new(origin: Origin, sentence: String) -> Self {
        Self { origin, sentence }
    }

    /// A problem with a setting's value; `fault` is what follows its name.
    pub(super) fn with(setting: &Setting, origin: &Origin, fault: &str) -> Self {
        Self::new(
            origin.clone(),
            format!("{} {fault}", origin.name_of(setting)),
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            Origin::File { .. } => write!(f, "{}: {}", self.origin, self.sentence),
            // The sentence names them.
            Origin::Variable(_) | Origin::Flag(_) | Origin::Default => f.write_str(&self.sentence),
        }
    }
}

/// All that is wrong with the settings: at least one thing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The problems in the order of their places; none if there are none.
    pub(super) fn of(mut problems: Vec<Problem>) -> Option<Self> {
        problems.sort();
        problems.dedup();
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// The problems, in the order of their places.
    #[must_use]
    pub fn into_vec(self) -> Vec<Problem> {
        self.0
    }
}

/// One problem in one line, several in one line each.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [problem] => problem.fmt(f),
            problems => {
                write!(f, "the settings have {} problems:", problems.len())?;
                problems
                    .iter()
                    .try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl Error for Problems {}
