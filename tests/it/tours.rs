//! Documents that show a session at a terminal: it is typed in as a reader
//! would, at a server that was started as it says, and all outputs have to be
//! those that are shown.
//!
//! With the variable `KEYWARD_WRITE_DOCS`, what happens is written into the
//! documents instead.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use prost::Message;
use prost_types::FileDescriptorSet;

use crate::docs::{document, root};
use crate::gateways::envoy;
use crate::redact::{assert_same, redacted, redacted_word, without_opaque, words};
use crate::support::{Server, Site, keyward, run_with_input, tool};

/// Where the documents say that the listeners are.
const CHECK: &str = "http://127.0.0.1:50051";
const ADMIN: &str = "http://127.0.0.1:50052";
const HTTP: &str = "http://127.0.0.1:8080";

/// Where the documents say that the session is.
const FOLDER: &str = "/home/you/keyward";

/// What a file that is typed in stands between.
const FILE_BEGINS: &str = "<<'END'\n";
const FILE_ENDS: &str = "\nEND\n";

/// An address with a port that is free.
const FREE: &str = "127.0.0.1:0";

/// Ends what is still at work in the background; and gives the n-th of the words
/// that were shown and are like a pattern.
const BEFORE: &str = "trap 'kill $(jobs -p) 2> /dev/null' EXIT\n\
nth() { grep -ohE \"$1\" shown | awk '!seen[$0]++' | sed -n \"$2p\"; }\n";

#[test]
fn the_readme_s_tour_is_what_happens() {
    let parts = ["## A tour", "## From a gateway", "## Behind Envoy"];
    Tour::of("README.md", &parts).play();
}

#[test]
fn every_call_answers_as_docs_grpc_shows() {
    Tour::of("docs/grpc.md", &["# gRPC, call by call"]).play();
}

#[test]
fn every_command_answers_as_docs_cli_shows() {
    Tour::of("docs/cli.md", &["# The command line"]).play();
}

#[test]
fn a_first_day_is_as_docs_first_day_shows() {
    Tour::of("docs/first-day.md", &["# A first day"]).play();
}

#[test]
fn principals_are_as_docs_principals_shows() {
    Tour::of("docs/principals.md", &["# Principals"]).play();
}

#[test]
fn keys_are_rotated_as_docs_rotation_shows() {
    Tour::of("docs/rotation.md", &["# Rotating keys"]).play();
}

#[test]
fn usage_is_as_docs_usage_shows() {
    Tour::of("docs/usage.md", &["# Usage of keys"]).play();
}

#[test]
fn keys_come_in_as_docs_import_shows() {
    Tour::of("docs/import.md", &["# Importing keys"]).play();
}

#[test]
fn docs_cli_shows_every_command() {
    let tour = Tour::of("docs/cli.md", &["# The command line"]);
    let first_day = Tour::of("docs/first-day.md", &["# A first day"]);
    let principals = Tour::of("docs/principals.md", &["# Principals"]);
    let is_shown_in = |tour: &Tour, command: &str| {
        let typed = format!("keyward {command}");
        tour.steps.iter().any(|step| step.command.contains(&typed))
    };
    let missing: Vec<_> = crate::cli::commands()
        .into_iter()
        // These have pages of their own.
        .filter(|command| !["init", "serve"].contains(&command.as_str()))
        .filter(|command| !is_shown_in(&principals, command))
        .filter(|command| !command.starts_with("config "))
        // `routes` types those of docs/routes.md.
        .filter(|command| !command.starts_with("routes "))
        .filter(|command| {
            // The server is stopped for it.
            !(is_shown_in(&tour, command)
                || command == "admins recover" && is_shown_in(&first_day, command))
        })
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn docs_grpc_shows_every_call() {
    let tour = Tour::of("docs/grpc.md", &["# gRPC, call by call"]);
    let mut missing = Vec::new();
    for descriptors in [
        keyward::edge::pb::CHECK_DESCRIPTORS,
        keyward::edge::pb::ADMIN_DESCRIPTORS,
    ] {
        let files = FileDescriptorSet::decode(descriptors).unwrap().file;
        for service in files.into_iter().flat_map(|file| file.service) {
            let caller = service.name().trim_start_matches("Key").to_lowercase();
            for method in &service.method {
                let call = format!("{caller} {} ", method.name());
                if !tour.steps.iter().any(|step| step.command.contains(&call)) {
                    missing.push(call);
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

/// A session that a document shows: `keyward init`, `keyward serve`, and what
/// is typed in another terminal. The server is stopped for `admins recover`, and
/// is there again after another `keyward serve`.
struct Tour {
    name: &'static str,
    text: String,
    steps: Vec<Step>,
}

/// A command, and what is written under it.
#[derive(Debug)]
struct Step {
    command: String,
    output: String,
    /// Where the output is in the document.
    place: Range<usize>,
}

impl Tour {
    /// The console blocks of these parts of a document.
    fn of(name: &'static str, headings: &[&str]) -> Self {
        let text = document(name);
        let steps = headings
            .iter()
            .flat_map(|heading| steps(&text, part(&text, heading)))
            .collect();
        Self { name, text, steps }
    }

    fn play(&self) {
        let [init, serve, typed @ ..] = self.steps.as_slice() else {
            panic!("{} starts no server", self.name);
        };
        let site = Site::init();
        let folder = site.path().join("tour");
        fs::create_dir(&folder).unwrap();
        let mut happened = vec![play(&folder, &[], &init.command)];
        let started = server(&site, &folder, serve, [FREE; 2]);
        let at = [&started.check_address, &started.admin_address].map(Clone::clone);
        let variables = [
            ("KEYWARD_CHECK_SERVER", &*at[0]),
            ("KEYWARD_ADMIN_SERVER", &*at[1]),
        ];
        let check = at[0].trim_start_matches("http://").parse().unwrap();
        let mut places = vec![
            (CHECK, at[0].clone()),
            (ADMIN, at[1].clone()),
            (HTTP, started.http_address.clone()),
        ];
        places.extend(envoy::places(check, site.path()));
        let mut act = |script: &mut String| {
            let script = std::mem::take(script);
            let written = play(&folder, &variables, &format!("{BEFORE}{script}"))
                .replace(folder.to_str().unwrap(), FOLDER);
            let written = places
                .iter()
                .fold(written, |text, (told, here)| text.replace(here, told));
            happened.extend(written.split("\x1e\n").skip(1).map(str::to_owned));
        };
        let (mut running, mut script) = (Some(started), String::new());
        for (step, lines) in typed.iter().zip(scripts(typed)) {
            if step.command.starts_with("keyward admins recover") {
                act(&mut script);
                running.take().map(Server::stop);
            } else if step.starts_a_server() {
                act(&mut script);
                let at = at.each_ref().map(|at| at.trim_start_matches("http://"));
                running = Some(server(&site, &folder, step, at));
                continue;
            }
            script += &places
                .iter()
                .fold(lines, |text, (told, here)| text.replace(told, here));
        }
        act(&mut script);
        drop(running);

        let typed = typed.iter().filter(|step| !step.starts_a_server());
        let shown: Vec<_> = std::iter::once(init).chain(typed).collect();
        assert_eq!(happened.len(), shown.len(), "{happened:#?}");
        if std::env::var_os("KEYWARD_WRITE_DOCS").is_some() {
            return self.write(&shown, &happened);
        }
        for (step, happened) in shown.into_iter().zip(happened) {
            let typed = |output: &str| {
                let output = without_opaque(&redacted(output, &site));
                format!("$ {}\n{output}", step.command)
            };
            assert_same(&typed(&happened), &typed(&step.output));
        }
    }

    /// Writes the document with these outputs.
    fn write(&self, steps: &[&Step], outputs: &[String]) {
        let mut text = self.text.clone();
        for (step, output) in steps.iter().zip(outputs).rev() {
            let is_crowded = !output.is_empty() && text[step.place.end..].starts_with("$ ");
            let gap = if is_crowded { "\n" } else { "" };
            text.replace_range(step.place.clone(), &format!("{output}{gap}"));
        }
        // What commands repeat of the outputs before them.
        for is_one in [is_id, is_token] {
            let shown = distinct(steps.iter().map(|step| step.output.as_str()), is_one);
            let happened = distinct(outputs.iter().map(String::as_str), is_one);
            for (shown, happened) in shown.iter().zip(&happened) {
                text = text.replace(shown, happened);
            }
        }
        fs::write(root().join(self.name), text).unwrap();
    }
}

impl Step {
    fn starts_a_server(&self) -> bool {
        self.command.starts_with("keyward serve")
    }
}

/// Starts the server as the command says, but with listeners at `at`, and with a
/// log that can be read.
fn server(site: &Site, folder: &Path, step: &Step, at: [&str; 2]) -> Server {
    let flags = step.command.strip_prefix("keyward serve").unwrap();
    let mut serve = keyward();
    serve
        .current_dir(folder)
        .arg("serve")
        .args(flags.split_whitespace());
    serve.args(["--log-format", "json", "--check-listen", at[0]]);
    serve.args(["--admin-listen", at[1]]);
    Server::spawn(site.clone(), serve).unwrap()
}

/// Where the part under a heading is, down to the next heading that is no
/// deeper.
fn part(text: &str, heading: &str) -> Range<usize> {
    let start = text.find(&format!("{heading}\n")).unwrap();
    let level = heading.split(' ').next().unwrap();
    let length = text[start + 1..].find(&format!("\n{level} "));
    start..length.map_or(text.len(), |length| start + 1 + length)
}

/// The commands in the console blocks of a part of a document. One that ends
/// with `\`, or within quotes, goes on in the next line, as a file does to its end.
fn steps(text: &str, part: Range<usize>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut in_block, mut typing) = (false, false);
    let mut at = part.start;
    for line in text[part].split_inclusive('\n') {
        let end = at + line.len();
        at = end;
        if line.starts_with("```") {
            in_block = line == "```console\n";
            continue;
        }
        if !in_block {
            continue;
        }
        if typing {
            steps.last_mut().unwrap().command += line;
        } else if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step {
                command: command.to_owned(),
                output: String::new(),
                place: end..end,
            });
        } else {
            let step = steps.last_mut().unwrap();
            step.output += line;
            step.place.end = end;
            continue;
        }
        let step = steps.last_mut().unwrap();
        step.place = end..end;
        typing = step.command.ends_with("\\\n")
            || step.command.matches('\'').count() % 2 == 1
            || step.command.contains(FILE_BEGINS) && !step.command.ends_with(FILE_ENDS);
    }
    // An empty line before the next command is for the eye.
    for step in &mut steps {
        step.command.truncate(step.command.trim_end().len());
        while step.output.ends_with("\n\n") || step.output == "\n" {
            step.output.pop();
            step.place.end -= 1;
        }
    }
    steps
}

/// A script for each command, which writes a mark before its output. The ids and
/// tokens that the document shows stand for those that were shown here.
fn scripts(steps: &[Step]) -> Vec<String> {
    let outputs = || steps.iter().map(|step| step.output.as_str());
    let (ids, tokens) = (distinct(outputs(), is_id), distinct(outputs(), is_token));
    let script = |step: &Step| {
        let mut command = step.command.clone();
        for (words, pattern) in [
            (&ids, "(key|adm)_[0-9a-z]{26}"),
            (&tokens, "[a-z_]+_[0-9A-Za-z]{49}"),
        ] {
            for (number, word) in words.iter().enumerate() {
                let found = format!("$(nth '{pattern}' {})", number + 1);
                command = command.replace(word, &found);
            }
        }
        // Not in a subshell: some of them set variables.
        format!(
            "printf '\\036\\n'\n{{ {command}\n}} > step 2>&1 < /dev/null\n\
             cat step\ncat step >> shown\n"
        )
    };
    steps.iter().map(script).collect()
}

fn is_id(word: &str) -> bool {
    ["key_ID", "adm_ID"].contains(&redacted_word(word).as_str())
}

fn is_token(word: &str) -> bool {
    redacted_word(word).ends_with("_TOKEN")
}

/// The words of this kind in the outputs, in order, each once.
fn distinct<'a>(outputs: impl Iterator<Item = &'a str>, is_one: fn(&str) -> bool) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in outputs.flat_map(|output| words(output, is_one)) {
        if !found.iter().any(|other| other == word) {
            found.push(word.to_owned());
        }
    }
    found
}

/// Runs a script in `folder`, and gives all that it writes.
fn play(folder: &Path, variables: &[(&str, &str)], script: &str) -> String {
    let folder_of = |program: PathBuf| program.parent().unwrap().display().to_string();
    let path = [
        folder_of(env!("CARGO_BIN_EXE_keyward").into()),
        folder_of(tool("buf")),
        std::env::var("PATH").unwrap(),
    ];
    let mut command = Command::new("bash");
    command
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(folder);
    command
        .env("PATH", path.join(":"))
        // Where buf keeps what it has fetched; it does not run without.
        .env("HOME", folder)
        .env("LC_ALL", "C.UTF-8");
    let output = run_with_input(&mut command, script.as_bytes());
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
