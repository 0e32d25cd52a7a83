//! The command line as its users meet it: whole outputs are compared, so that
//! every change to them shows. Ids, times and tokens differ from run to run
//! and are replaced by words.
#![expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]

mod admins;
mod audit;
mod check;
mod complaints;
mod confirm;
mod contexts;
mod fields;
mod help;
mod init;
mod keys;
mod leaked;
mod reach;
mod sources;
mod terminal;
mod tls;
mod tour;
mod usage;
mod workspaces;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::redact::{assert_same, redacted};
use crate::support::{Server, keyward, run};

/// A server, and somebody who types in commands.
struct Shell {
    server: Server,
    transcript: String,
}

impl Shell {
    fn start() -> Self {
        Self {
            server: Server::start(),
            transcript: "\n".to_owned(),
        }
    }

    /// The command `keyward <command>`, which knows where the server is.
    fn command(&self, command: &str) -> Command {
        let mut line = keyward();
        line.arg(command)
            .env("KEYWARD_CHECK_SERVER", &self.server.check_address)
            .env("KEYWARD_ADMIN_SERVER", &self.server.admin_address)
            .env("KEYWARD_ADMIN_TOKEN_FILE", self.server.site.token_file());
        line
    }

    /// Runs `line`, split at blanks, with further arguments.
    fn run(&self, line: &str, further: &[&str]) -> Output {
        let mut words = line.split_whitespace();
        run(self
            .command(words.next().unwrap())
            .args(words)
            .args(further))
    }

    /// Runs `line` for its JSON, and gives that, redacted, and the exit code.
    fn json(&self, line: &str) -> (Value, i32) {
        let output = self.run(line, &["--output", "json"]);
        assert!(output.stderr.is_empty(), "{output:?}");
        (
            redacted_json(&output.stdout, self),
            output.status.code().unwrap(),
        )
    }

    /// Runs `line` and adds it to the transcript, with all that was written
    /// and any exit code but 0. Gives what was written to stdout.
    fn type_in(&mut self, line: &str, further: &[&str]) -> String {
        let output = self.run(line, further);
        let words = [&[line], further].concat().join(" ");
        let stdout = String::from_utf8(output.stdout).unwrap();
        let written = format!(
            "$ keyward {words}\n{stdout}{}",
            String::from_utf8(output.stderr).unwrap()
        );
        self.transcript += &redacted(&written, &self.server.site);
        match output.status.code() {
            Some(0) => {}
            code => self.transcript += &format!("[{}]\n", code.unwrap()),
        }
        stdout
    }

    /// Issues a key in workspace `klipy`, and gives its id.
    fn key(&self, further: &[&str]) -> String {
        let line = "keys create --workspace klipy --name n --principal p --output json";
        self.id(line, further, "key")
    }

    /// Makes an admin key, and gives its id.
    fn admin_key(&self, further: &[&str]) -> String {
        self.id("admins create --name n --output json", further, "admin_key")
    }

    fn id(&self, line: &str, further: &[&str], of: &str) -> String {
        let output = self.run(line, further);
        assert!(output.status.success(), "{output:?}");
        let made: Value = serde_json::from_slice(&output.stdout).unwrap();
        made[of]["id"].as_str().unwrap().to_owned()
    }
}

fn assert_failed(output: &Output, code: i32, complaint: &str, shell: &Shell) {
    assert_eq!(
        (output.status.code(), &*output.stdout),
        (Some(code), &b""[..])
    );
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    assert_same(&redacted(&told, &shell.server.site), complaint);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn redacted_json(bytes: &[u8], shell: &Shell) -> Value {
    let text = std::str::from_utf8(bytes).unwrap();
    let mut value = serde_json::from_str(&redacted(text, &shell.server.site)).unwrap();
    redact_etags(&mut value);
    value
}

fn redact_etags(value: &mut Value) {
    if let Some(fields) = value.as_object_mut() {
        if let Some(etag) = fields.get_mut("etag") {
            assert_ne!(etag, "", "everything that can change has an etag");
            *etag = "ETAG".into();
        }
        fields.values_mut().for_each(redact_etags);
    } else if let Some(values) = value.as_array_mut() {
        values.iter_mut().for_each(redact_etags);
    }
}

/// Every command that does something, as it is typed.
pub(crate) fn commands() -> Vec<String> {
    let under = |above: &str| {
        let output = run(keyward().args(above.split_whitespace()).arg("--help"));
        let help = String::from_utf8(output.stdout).unwrap();
        let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default();
        let listed = listed.split("\n\n").next().unwrap();
        let names: Vec<_> = listed
            .lines()
            .filter_map(|line| {
                line.strip_prefix("  ")
                    .filter(|line| !line.starts_with(' '))
            })
            .filter_map(|line| line.split_whitespace().next())
            .filter(|name| *name != "help")
            .map(|name| format!("{above} {name}").trim().to_owned())
            .collect();
        names
    };
    let mut commands = Vec::new();
    for command in under("") {
        let below = under(&command);
        commands.extend(if below.is_empty() {
            vec![command]
        } else {
            below
        });
    }
    assert!(
        commands.len() > 30 && commands.contains(&"admins rotate".to_owned()),
        "{commands:?}"
    );
    commands
}
