//! What the documents say of commands, flags, exit codes and files is so.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::keyward;

const DOCUMENTS: [&str; 29] = [
    "README.md",
    "deploy/caddy/README.md",
    "deploy/envoy/README.md",
    "deploy/haproxy/README.md",
    "deploy/nginx/README.md",
    "deploy/traefik/README.md",
    "docs/admin-rights.md",
    "docs/architecture.md",
    "docs/cli.md",
    "docs/clients.md",
    "docs/configuration.md",
    "docs/credits.md",
    "docs/explain.md",
    "docs/ext-authz.md",
    "docs/first-day.md",
    "docs/forward-auth.md",
    "docs/grpc.md",
    "docs/import.md",
    "docs/installing.md",
    "docs/leaks.md",
    "docs/limits.md",
    "docs/metrics.md",
    "docs/operating.md",
    "docs/principals.md",
    "docs/promises.md",
    "docs/rotation.md",
    "docs/routes.md",
    "docs/usage.md",
    "docs/verdict.md",
];

/// The tables of flags: the document, the heading, and a command whose help has
/// all of their flags.
const TABLES: [(&str, &str, &[&str]); 5] = [
    ("docs/configuration.md", "## All settings", &["serve"]),
    ("README.md", "### `keyward init`", &["init"]),
    (
        "docs/cli.md",
        "### Flags of every call",
        &["workspaces", "get"],
    ),
    ("docs/cli.md", "### Flags of `keyward check`", &["check"]),
    (
        "docs/cli.md",
        "### Flags of a context",
        &["contexts", "set"],
    ),
];

/// The commands that have others under them.
const NOUNS: [&str; 9] = [
    "admins",
    "audit",
    "config",
    "contexts",
    "keys",
    "memberships",
    "principals",
    "routes",
    "workspaces",
];

#[test]
fn the_tables_of_flags_are_those_of_the_help() {
    for (name, heading, command) in TABLES {
        let text = document(name);
        let from = text
            .find(&format!("\n{heading}\n"))
            .unwrap_or_else(|| panic!("{name} has no {heading}"));
        let section = &text[from + heading.len() + 2..];
        let section = &section[..section.find("\n#").unwrap_or(section.len())];
        assert_eq!(rows(section), flags(&help(command)), "{heading}");
    }
}

#[test]
fn the_exit_codes_are_those_of_the_help() {
    let help = help(&["serve"]);
    let (_, codes) = help.split_once("Exit codes").unwrap();
    let told: Vec<_> = codes
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.parse::<u8>().ok())
        .collect();
    let operating = document("docs/operating.md");
    let explained: Vec<u8> = operating
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok())
        .collect();
    assert!(told.len() > 10, "{told:?}");
    assert_eq!(explained, told);
}

#[test]
fn commands_in_the_documents_exist_and_take_what_they_are_given() {
    let mut seen = 0;
    for (name, line) in DOCUMENTS.into_iter().flat_map(typed) {
        // What is typed may be within `$(…)` and before `|`.
        for part in line.split(['|', ')']) {
            // There may be users, services and folders of that name before it
            // and after.
            let arguments = part
                .rmatch_indices("keyward ")
                .map(|(at, name)| &part[at + name.len()..])
                .find(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
            let Some(arguments) = arguments else {
                continue;
            };
            let words: Vec<_> = arguments.split_whitespace().collect();
            let verbs: Vec<_> = words
                .iter()
                .copied()
                .take_while(|word| {
                    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
                    !word.starts_with('-') && word.bytes().all(is_part)
                })
                .take(if NOUNS.contains(&words[0]) { 2 } else { 1 })
                .collect();
            let known = flags(&help(&verbs));
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                assert!(known.contains_key(*flag), "{name}: {flag} in `{line}`");
            }
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} commands were found");
}

#[test]
fn scripts_and_files_that_the_documents_name_are_there() {
    for script in ["deploy/try", "tests/run"] {
        assert!(document("README.md").contains(&format!("$ {script}\n")));
        let mode = fs::metadata(root().join(script))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o111, 0o111, "{script} can be run");
    }
    for name in DOCUMENTS {
        let text = document(name);
        let folder = root().join(name).parent().unwrap().to_path_buf();
        for target in between(&prose(&text), "](", ')') {
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            if path.starts_with("http") {
                continue;
            }
            let page = match path {
                "" => root().join(name),
                path => folder.join(path),
            };
            assert!(page.exists(), "{name} points at {target}");
            if !anchor.is_empty() {
                let anchors = anchors(&fs::read_to_string(page).unwrap());
                assert!(
                    anchors.iter().any(|there| there == anchor),
                    "{name} points at {target}, and there are {anchors:?}"
                );
            }
        }
        for path in between(&text, "`tests/", '`') {
            assert!(
                root().join("tests").join(path).exists(),
                "{name} names tests/{path}"
            );
        }
    }
}

/// What a page's headings are called in links, as GitHub does it. (No page has
/// two of the same words.)
fn anchors(text: &str) -> Vec<String> {
    prose(text)
        .lines()
        .filter_map(|line| {
            line.trim_start_matches('#')
                .strip_prefix(' ')
                .filter(|_| line.starts_with('#'))
        })
        .map(|heading| {
            heading
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

/// A flag's variable and default; empty: none.
pub(crate) type Flags = BTreeMap<String, (String, String)>;

/// The flags of a table: the cell with a flag, and the two after it.
fn rows(section: &str) -> Flags {
    section
        .lines()
        .filter_map(|line| {
            let mut cells = line.split('|').map(plain);
            let flag = cells.find(|cell| cell.starts_with("--") && cell != "---")?;
            let (variable, default) = (cells.next()?, cells.next()?);
            // Help tells no default of a switch, which says what its name says.
            let is_switch = ["true", "false"].contains(&default.as_str());
            let default = if is_switch { String::new() } else { default };
            Some((flag, (variable, default)))
        })
        .collect()
}

/// The flags of a help text.
pub(crate) fn flags(help: &str) -> Flags {
    let mut flags = Vec::<String>::new();
    for line in help.lines().map(str::trim) {
        if line.starts_with("--") {
            flags.push(line.to_owned());
        } else if line.starts_with("-h,") || line.starts_with("Exit codes") {
            // The end of what is told of the flag before.
            flags.push(String::new());
        } else if let Some(flag) = flags.last_mut() {
            flag.push(' ');
            flag.push_str(line);
        }
    }
    flags
        .iter()
        .filter_map(|text| {
            let name = text
                .split([' ', '['])
                .next()
                .filter(|name| name.starts_with("--"))?;
            let about = |what| {
                between(text, what, ']')
                    .first()
                    .map_or_else(String::new, |text| plain(text))
            };
            let variable = about("[env: ").trim_end_matches('=').to_owned();
            Some((name.to_owned(), (variable, about("[default: "))))
        })
        .collect()
}

/// The text without backquotes, and with single spaces.
fn plain(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").replace('`', "")
}

pub(crate) fn between<'a>(text: &'a str, start: &str, end: char) -> Vec<&'a str> {
    text.split(start)
        .skip(1)
        .filter_map(|rest| rest.split_once(end).map(|(inner, _)| inner))
        .collect()
}

/// The text without its fenced code, in which `](` is no link.
fn prose(text: &str) -> String {
    let outside = text.split("```").step_by(2);
    outside.collect()
}

/// The lines of a document that are typed at a prompt.
fn typed(name: &'static str) -> Vec<(&'static str, String)> {
    document(name)
        .lines()
        .filter_map(|line| Some((name, line.strip_prefix("$ ")?.to_owned())))
        .collect()
}

pub(crate) fn help(command: &[&str]) -> String {
    let output = keyward().args(command).arg("--help").output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}
