//! Gathers the settings from flags, variables, the file and the table's
//! defaults, the first of which counts for most.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::draft::Draft;
use super::file::{self, FileContent};
use super::given::Given;
use super::names::FILE_VARIABLE;
use super::origin::{Origin, Problem};
use super::setting::Setting;
use super::table::settings;

/// Where settings can come from.
#[derive(Clone, Default, Debug)]
pub struct Sources {
    /// The file that a flag names.
    pub config: Option<PathBuf>,
    /// The environment.
    pub variables: Vec<(OsString, OsString)>,
    /// The flags that were given, and their values.
    pub flags: Vec<(&'static Setting, OsString)>,
}

/// A setting as it holds.
#[derive(Clone, PartialEq, Debug)]
pub struct Effective {
    /// The setting's place in the file.
    pub key: &'static str,
    /// Its value as TOML and JSON write it. None: there is none.
    pub value: Option<Value>,
    /// Where it came from.
    pub origin: Origin,
}

/// What all sources say.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) draft: Draft,
    pub(super) effective: Vec<Effective>,
    pub(super) problems: Vec<Problem>,
    /// Whether it is not known which settings the file was meant to have.
    pub(super) broken: bool,
}

impl Gathered {
    /// Where the setting at `key` came from, be it good or not.
    pub(super) fn origin(&self, key: &str) -> Origin {
        self.effective
            .iter()
            .find(|effective| effective.key == key)
            .map_or(Origin::Default, |effective| effective.origin.clone())
    }

    /// Whether somebody gave the setting at `key` a value, good or not.
    pub(super) fn given(&self, key: &str) -> bool {
        self.origin(key) != Origin::Default
    }

    /// Whether what the setting at `key` holds is what was meant.
    pub(super) fn good(&self, key: &str) -> bool {
        self.effective
            .iter()
            .any(|effective| effective.key == key && effective.value.is_some())
    }
}

/// Gathers the settings that are `wanted`. What overrides another value does
/// not excuse it: each value that was given must be good.
pub(super) fn gather(sources: &Sources, wanted: impl Fn(&Setting) -> bool) -> Gathered {
    let mut gathered = Gathered::default();
    let content = sources.read_file().unwrap_or_else(|problem| {
        gathered.broken = true;
        gathered.problems.push(problem);
        FileContent::default()
    });
    gathered.problems.extend(content.problems);
    gathered.broken |= content.broken;
    for setting in settings().filter(|setting| wanted(setting)) {
        let default = setting.default_given();
        let in_file = content
            .given
            .iter()
            .filter(|(of, ..)| of.key == setting.key);
        let given = default
            .map(|given| (given, Origin::Default))
            .into_iter()
            .chain(in_file.map(|(_, given, origin)| (given.clone(), origin.clone())))
            .chain(sources.variable(setting))
            .chain(sources.flag(setting));
        let mut effective = Effective {
            key: setting.key,
            value: None,
            origin: Origin::Default,
        };
        for (given, origin) in given {
            match setting.read(&given, &mut gathered.draft) {
                Ok(value) => effective.value = Some(value),
                Err(fault) => {
                    effective.value = None;
                    gathered
                        .problems
                        .push(Problem::with(setting, &origin, &fault));
                }
            }
            effective.origin = origin;
        }
        gathered.effective.push(effective);
    }
    gathered
}

impl Sources {
    fn read_file(&self) -> Result<FileContent, Problem> {
        let (path, origin) = match (&self.config, self.value_of(FILE_VARIABLE)) {
            (Some(path), _) => (path.clone(), Origin::Flag("config")),
            (None, Some(path)) => (path.into(), Origin::Variable(FILE_VARIABLE.to_owned())),
            (None, None) => return Ok(FileContent::default()),
        };
        if path.as_os_str().is_empty() {
            let sentence = format!("{origin} is empty; give the path of a file, or leave it out");
            return Err(Problem::new(origin, sentence));
        }
        let text = fs::read_to_string(&path).map_err(|error| {
            let sentence = format!("{origin} names {path:?}, which cannot be read: {error}");
            Problem::new(origin, sentence)
        })?;
        Ok(file::read(&path.display().to_string(), &text))
    }

    fn variable(&self, setting: &Setting) -> Option<(Given, Origin)> {
        let name = setting.variable();
        let words = self.value_of(&name)?;
        Some((Given::Words(words.to_owned()), Origin::Variable(name)))
    }

    fn flag(&self, setting: &Setting) -> Option<(Given, Origin)> {
        let (of, words) = self.flags.iter().find(|(of, _)| of.key == setting.key)?;
        Some((Given::Words(words.clone()), Origin::Flag(of.flag)))
    }

    fn value_of(&self, variable: &str) -> Option<&OsStr> {
        self.variables
            .iter()
            .find(|(name, _)| name == variable)
            .map(|(_, value)| value.as_os_str())
    }
}
