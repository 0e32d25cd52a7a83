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
mod reach;
mod terminal;
mod tls;
mod tour;
mod workspaces;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{Server, Site, keyward, run};

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

/// Compares texts, and shows them as they are where they differ.
fn assert_same(found: &str, expected: &str) {
    assert!(
        found == expected,
        "\n--- expected\n{expected}\n--- found\n{found}\n---"
    );
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

/// The text with ids, times, tokens, ports and the folder of the test replaced
/// by words. Columns stay as wide as they were.
fn redacted(text: &str, site: &Site) -> String {
    let text = text.replace(site.path().to_str().unwrap(), "DIR");
    let mut redacted = String::with_capacity(text.len());
    let is_part = |c: char| c.is_alphanumeric() || "_-.:/…".contains(c);
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let length = rest
            .find(|c| is_part(c) != is_part(first))
            .unwrap_or(rest.len());
        let (run, behind) = rest.split_at(length);
        rest = behind;
        if !is_part(first) {
            redacted += run;
            continue;
        }
        let word = run.trim_end_matches(['.', ':']);
        redacted += &redacted_word(word);
        redacted += &run[word.len()..];
    }
    redacted
}

fn redacted_word(word: &str) -> String {
    let alphanumeric = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if let Some((start, end)) = word.rsplit_once('_') {
        match start {
            "key" | "adm" if end.len() == 26 && alphanumeric(end) => return format!("{start}_ID"),
            _ if end.len() == 49 && alphanumeric(end) => return format!("{start}_TOKEN"),
            _ => {}
        }
    }
    if let Some((start, tail)) = word.split_once('…')
        && tail.len() == 4
        && alphanumeric(tail)
    {
        return format!("{start}…TAIL");
    }
    if let Some((start, port)) = word.rsplit_once("127.0.0.1:")
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return format!("{start}127.0.0.1:PORT");
    }
    // Times that a test gave are far away, and stay.
    let is_time = word.len() >= 20 && word.ends_with('Z') && word.as_bytes()[10] == b'T';
    if is_time && !word.starts_with("2099") {
        "TIME".to_owned()
    } else {
        word.to_owned()
    }
}
