//! Contexts: named servers, kept in a file, so that a name is enough to reach
//! them. The file holds paths of token files, and never a token.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::failure::Failure;

const VARIABLE: &str = "KEYWARD_CONTEXTS_FILE";

/// How to reach one deployment. What is not set has its default.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admin_server: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) check_server: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admin_token_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_cert: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_key: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_name: Option<String>,
    /// Whether tokens may be sent to `http://` servers on other machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encrypted_elsewhere: Option<bool>,
}

/// All contexts of the file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// The one that applies where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Context>,
}

impl Contexts {
    /// The context of this name; without a name, the current one, or one that
    /// sets nothing.
    pub(crate) fn applicable(name: Option<&str>) -> Result<Context, Failure> {
        let contexts = match place() {
            Some(path) => Self::read(&path)?,
            None => Self::default(),
        };
        match name.or(contexts.current.as_deref()) {
            Some(name) => contexts.get(name).cloned(),
            None => Ok(Context::default()),
        }
    }

    /// The context of this name, which has to exist.
    pub(crate) fn get(&self, name: &str) -> Result<&Context, Failure> {
        self.contexts.get(name).ok_or_else(|| {
            Failure::usage(format!("there is no context {name}"))
                .note("`keyward contexts list` shows those that there are; `set` makes one.")
        })
    }

    /// Reads the file; one that is not there holds none.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let unusable =
            |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", path.display()));
        match fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).map_err(|error| {
                unusable(&error.message())
                    .note("Mend the file, or move it away and set the contexts anew.")
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(unusable(&error)),
        }
    }

    /// Replaces the file as a whole: a reader sees the one before or this one.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = toml::to_string(self)
            .map_err(|error| Failure::failed(format!("cannot write contexts: {error}")))?;
        replace(path, &text)
            .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    // What is replaced is the file itself, not a link to it.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    // Readable by its owner alone, as all files that `tempfile` makes.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}

/// Where the contexts are kept, or what to do to have such a place.
pub(crate) fn file() -> Result<PathBuf, Failure> {
    place().ok_or_else(|| {
        Failure::usage(
            "there is no place to keep contexts: neither HOME nor XDG_CONFIG_HOME is set",
        )
        .note(format!("Name a file with {VARIABLE}."))
    })
}

fn place() -> Option<PathBuf> {
    place_by(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
}

fn place_by(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(path) = variable(VARIABLE) {
        return Some(path.into());
    }
    let folder = variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".config")))?;
    Some(folder.join("keyward/contexts.toml"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_where_the_variables_say() {
        let place = |set: &[(&str, &str)]| {
            let found = place_by(|name| {
                let (_, value) = set.iter().find(|(of, _)| *of == name)?;
                Some(OsString::from(value))
            });
            found.map(|path| path.display().to_string())
        };
        let all = [
            ("KEYWARD_CONTEXTS_FILE", "c"),
            ("XDG_CONFIG_HOME", "/x"),
            ("HOME", "/h"),
        ];
        assert_eq!(place(&all).unwrap(), "c");
        assert_eq!(place(&all[1..]).unwrap(), "/x/keyward/contexts.toml");
        assert_eq!(
            place(&all[2..]).unwrap(),
            "/h/.config/keyward/contexts.toml"
        );
        assert_eq!(place(&[]), None);
    }

    #[test]
    fn what_is_written_is_read_back_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/contexts.toml");
        assert_eq!(Contexts::read(&path).unwrap(), Contexts::default());
        let context = Context {
            admin_server: Some("https://keyward.internal:50052".to_owned()),
            ca_file: Some("/etc/keyward/ca.pem".into()),
            ..Context::default()
        };
        let written = Contexts {
            current: Some("prod".to_owned()),
            contexts: BTreeMap::from([("prod".to_owned(), context)]),
        };
        for _ in 0..2 {
            written.write(&path).unwrap();
            assert_eq!(Contexts::read(&path).unwrap(), written);
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_read_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("contexts.toml");
        for text in ["current =", "[contexts.a]\nadmin_token = 'x'\n"] {
            fs::write(&path, text).unwrap();
            let failure = Contexts::read(&path).unwrap_err();
            assert!(failure.to_string().contains("contexts.toml"), "{failure}");
        }
    }
}
