//! Hands over a token that is shown this once: to stdout, or to a file that is
//! made before anything is issued, so that the token has a place to go.

use std::io;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::failure::Failure;
use super::new_file::NewFile;
use super::output::{self, Output};
use super::text;

/// Where the token is to go.
#[derive(Args, Debug)]
pub(crate) struct HandoverFlags {
    /// Write the token to stdout and nothing else
    #[arg(long, conflicts_with_all = ["output", "token_file"])]
    token_only: bool,
    /// Write the token to this new file, readable by its owner alone, and do
    /// not show it
    #[arg(long, value_name = "PATH")]
    token_file: Option<PathBuf>,
}

/// A place for a token that is yet to come. Its file is gone again if none
/// came.
#[derive(Debug)]
pub(crate) struct Handover {
    token_only: bool,
    file: Option<NewFile>,
}

/// What was issued, in words for when its token gets lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Issued {
    /// As in `the key key_… was issued`.
    pub(crate) sentence: String,
    /// What to do now.
    pub(crate) remedy: String,
}

impl HandoverFlags {
    /// Makes the file, if there is to be one.
    pub(crate) fn prepare(self) -> Result<Handover, Failure> {
        let file = self.token_file.as_deref().map(NewFile::create);
        let file = file.transpose().map_err(Failure::usage)?;
        Ok(Handover {
            token_only: self.token_only,
            file,
        })
    }
}

impl Handover {
    /// Hands over the token, with what is to be shown of its key. `json` holds
    /// the key by its name in the API.
    pub(crate) fn give(
        self,
        output: Output,
        token: &str,
        lines: &str,
        json: Value,
        issued: Issued,
    ) -> Result<(), Failure> {
        let lost = |place: &str, error: io::Error| {
            Failure::failed(format!(
                "{}, but its token could not be written to {place}: {error}",
                issued.sentence
            ))
            .note(format!("The token is lost. {}", issued.remedy))
        };
        if let Some(mut file) = self.file {
            let path = file.path().display().to_string();
            file.write(token).map_err(|error| lost(&path, error))?;
            file.keep();
            return output.print(
                || {
                    format!(
                        "{lines}\nThe token is in {} (readable by you alone).\n",
                        text::escaped(&path)
                    )
                },
                || with(json, "token_file", &path),
            );
        }
        let shown = if self.token_only {
            format!("{}\n", text::escaped(token))
        } else {
            match output {
                Output::Table => format!(
                    "{lines}\nThe token, which is shown this once and cannot be had again:\n\n{}\n",
                    text::escaped(token)
                ),
                Output::Json | Output::Yaml => output.text(&with(json, "token", token)),
            }
        };
        // Even a closed pipe is told of: what it swallowed cannot be had again.
        output::deliver(&shown).map_err(|error| lost("stdout", error))
    }
}

fn with(mut json: Value, name: &str, value: &str) -> Value {
    json[name] = json!(value);
    json
}
