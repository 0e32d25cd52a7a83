//! The admin token: where it comes from, and how it is sent.
//!
//! It is never an argument, which other users of the machine could read.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tonic::metadata::{Ascii, MetadataValue};

use super::failure::Failure;
use super::reach::is_set_to;
use super::{output, text};

const VARIABLE: &str = "KEYWARD_ADMIN_TOKEN";

const FILE_VARIABLE: &str = "KEYWARD_ADMIN_TOKEN_FILE";

/// The longest token file that is read, in bytes: a token is far shorter.
const MAX_TOKEN_FILE_LEN: u64 = 4096;

/// The metadata that carries the token: the one in `file` if a file is named,
/// else the one in the environment, else the one in the context's file.
pub(crate) fn authorization(
    file: Option<&Path>,
    of_context: Option<&Path>,
) -> Result<MetadataValue<Ascii>, Failure> {
    bearer(&token(file, std::env::var_os(VARIABLE), of_context)?)
}

/// The variable by which another token is named than the one in a context's
/// file: neither `file`, if a flag gave that, nor the context's own.
pub(crate) fn other_variable(file: Option<&Path>, of_context: &Path) -> Option<&'static str> {
    match file {
        None => std::env::var_os(VARIABLE).map(|_| VARIABLE),
        Some(file) => {
            let is_set = is_set_to(FILE_VARIABLE, file.as_os_str());
            (is_set && file != of_context).then_some(FILE_VARIABLE)
        }
    }
}

/// Where [`authorization`] has taken the token from, for people.
pub(crate) fn source(file: Option<&Path>) -> &'static str {
    match file {
        Some(file) if is_set_to(FILE_VARIABLE, file.as_os_str()) => "$KEYWARD_ADMIN_TOKEN_FILE",
        Some(_) => "--admin-token-file",
        None if std::env::var_os(VARIABLE).is_some() => "$KEYWARD_ADMIN_TOKEN",
        None => "the context's file",
    }
}

fn token(
    file: Option<&Path>,
    variable: Option<OsString>,
    of_context: Option<&Path>,
) -> Result<String, Failure> {
    let token = match (file, variable, of_context) {
        (None, Some(value), _) => value.to_string_lossy().into_owned(),
        (Some(path), _, _) | (None, None, Some(path)) => read(path).map_err(|error| {
            Failure::usage(format!(
                "cannot read the admin token in {}: {error}",
                path.display()
            ))
        })?,
        (None, None, None) => String::new(),
    };
    match (token.trim(), file.or(of_context)) {
        ("", Some(path)) if file.is_some() => Err(Failure::usage(format!(
            "{} holds no admin token: it is empty",
            path.display()
        ))),
        ("", _) => Err(Failure::usage("an admin token is needed, and there is none").note(
            "Name the file that holds it with --admin-token-file or $KEYWARD_ADMIN_TOKEN_FILE, \
             or put it into $KEYWARD_ADMIN_TOKEN, or name a context with --context.",
        )
        .note("`keyward init` makes the first.")),
        (token, _) => Ok(token.to_owned()),
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let file = File::open(path)?;
    let about = file.metadata()?;
    if about.is_file() && about.mode() & 0o044 != 0 {
        let path = text::escaped(&path.display().to_string());
        output::tell(&format_args!(
            "warning: other users can read the admin token: `chmod 600 {path}`"
        ));
    }
    let mut token = String::new();
    file.take(MAX_TOKEN_FILE_LEN).read_to_string(&mut token)?;
    Ok(token)
}

/// The header value. An unfit token is told of without being shown.
fn bearer(token: &str) -> Result<MetadataValue<Ascii>, Failure> {
    let fit = token.bytes().all(|byte| byte.is_ascii_graphic());
    let value = fit
        .then(|| MetadataValue::try_from(format!("Bearer {token}")).ok())
        .flatten();
    let Some(mut value) = value else {
        return Err(
            Failure::usage("what is given as the admin token is not one token")
                .note("The file or variable must hold the token and nothing else."),
        );
    };
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::failure::Exit;
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn the_file_comes_before_the_variable_and_both_are_trimmed() {
        let held = file("  from_file\n");
        let variable = || Some(OsString::from("from_variable\n"));
        let context = file("from_context");
        let context = Some(context.path());
        let found = |file, variable| token(file, variable, context).unwrap();
        assert_eq!(found(Some(held.path()), variable()), "from_file");
        assert_eq!(found(None, variable()), "from_variable");
        assert_eq!(found(None, None), "from_context");
    }

    #[test]
    fn no_token_is_a_clear_sentence() {
        let empty = file(" \n");
        for missing in [
            token(None, None, None),
            token(None, Some(OsString::new()), Some(empty.path())),
            token(Some(empty.path()), Some(OsString::from("other")), None),
            token(Some(Path::new("/nonexistent/token")), None, None),
        ] {
            let failure = missing.unwrap_err();
            assert_eq!(failure.exit(), Exit::Usage);
            assert!(failure.to_string().contains("admin token"), "{failure}");
        }
    }

    #[test]
    fn what_is_no_token_is_not_shown() {
        for text in ["two words", "line\nline", "nön", "\u{7f}"] {
            let failure = bearer(text).unwrap_err();
            assert!(!failure.to_string().contains(text), "{failure}");
        }
        let value = bearer("keyward_abc").unwrap();
        assert!(value.is_sensitive());
        assert_eq!(value.to_str().unwrap(), "Bearer keyward_abc");
    }
}
