//! The rules of the source tree that the compiler does not keep: who may name
//! whom, and what has one home.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What a layer may not name: crates, and other layers of this one.
struct Layer {
    name: &'static str,
    crates: &'static [&'static str],
    layers: &'static [&'static str],
}

const LAYERS: [Layer; 7] = [
    Layer {
        name: "domain",
        crates: &["tokio", "tonic", "prost", "sled", "tracing"],
        layers: &[
            "store", "index", "meter", "metrics", "service", "edge", "app", "cli",
        ],
    },
    Layer {
        name: "metrics",
        crates: &["tokio", "tonic", "prost", "sled"],
        layers: &["store", "index", "meter", "service", "edge", "app", "cli"],
    },
    Layer {
        name: "store",
        crates: &["tonic"],
        layers: &["index", "meter", "service", "edge", "app", "cli"],
    },
    Layer {
        name: "index",
        crates: &["tonic", "sled", "prost"],
        layers: &["meter", "service", "edge", "app", "cli"],
    },
    Layer {
        name: "meter",
        crates: &["tokio", "tonic", "prost", "sled"],
        layers: &["store", "index", "service", "edge", "app", "cli"],
    },
    Layer {
        name: "service",
        crates: &["tonic", "prost", "sled"],
        layers: &["edge", "app", "cli"],
    },
    Layer {
        name: "edge",
        crates: &["sled"],
        layers: &["store", "index", "meter", "app", "cli"],
    },
];

/// Where a rule does not hold, and why.
const EXCEPTIONS: [(&str, &str, &str); 2] = [
    // The key that an outcome tells of.
    ("edge", "crate::index::IndexedKey", "index"),
    // The macro that includes generated code.
    ("store/pb.rs", "tonic::include_proto", "tonic"),
];

/// The most lines of a file, without its tests.
const MAX_LINES: usize = 400;

#[test]
fn layers_name_only_what_lies_below_them() {
    let mut broken = Vec::new();
    for source in sources() {
        let layer = LAYERS.iter().find(|layer| source.layer() == layer.name);
        for path in layer.map(|_| source.paths()).unwrap_or_default() {
            let forbidden = layer.and_then(|layer| layer.forbids(&path));
            let excepted = |forbidden: &str| {
                EXCEPTIONS.iter().any(|(place, allowed, of)| {
                    (source.name == *place || source.layer() == *place)
                        && path == *allowed
                        && forbidden == *of
                })
            };
            if forbidden.is_some_and(|forbidden| !excepted(forbidden)) {
                broken.push(format!("{} names {path}", source.name));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

impl Layer {
    /// What of `path` the layer may not name.
    fn forbids(&self, path: &str) -> Option<&'static str> {
        let mut segments = path.split("::");
        let first = segments.next().unwrap_or_default();
        if first == "crate" {
            let second = segments.next().unwrap_or_default();
            return self.layers.iter().copied().find(|layer| *layer == second);
        }
        // `prost_types` is as much of a transport as `prost`.
        let of = |name: &&&str| {
            first == **name
                || first
                    .strip_prefix(**name)
                    .is_some_and(|rest| rest.starts_with('_'))
        };
        self.crates.iter().find(of).copied()
    }
}

/// The files that alone may hold what starts with such tokens.
type Home = (&'static [&'static str], fn(&[&str]) -> bool);

#[test]
fn what_has_one_home_is_named_nowhere_else() {
    let homes: [Home; 3] = [
        // One file turns errors into statuses. (And a client whose own
        // deadline passed is told so as if by a server.)
        (&["edge/status.rs", "cli/connect.rs"], |tokens| {
            matches!(tokens, ["Status", "::", ..])
        }),
        // Time is an argument everywhere else.
        (&["domain/clock.rs"], |tokens| {
            matches!(tokens, ["SystemTime", "::", "now", ..])
        }),
        // Each use has a subkey of its own, which one file sees to.
        (&["domain/digest.rs"], |tokens| {
            matches!(tokens, ["blake3", ..])
        }),
    ];
    let mut strays = BTreeSet::new();
    for source in sources() {
        let tokens = tokens(&source.code());
        let tokens: Vec<_> = tokens.iter().map(String::as_str).collect();
        for (homes, matches) in homes {
            for start in 0..tokens.len() {
                if !homes.contains(&source.name.as_str()) && matches(&tokens[start..]) {
                    strays.insert(format!(
                        "{} names {}, which is for {} alone",
                        source.name, tokens[start], homes[0]
                    ));
                }
            }
        }
    }
    assert!(
        strays.is_empty(),
        "\n{}",
        strays.into_iter().collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn every_file_says_what_it_is_and_stays_small() {
    let mut broken = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//! ") {
            broken.push(format!("{} does not start with what it is", source.name));
        }
        let lines = source.production().lines().count();
        if lines > MAX_LINES {
            broken.push(format!(
                "{} has {lines} lines before its tests; at most {MAX_LINES} are allowed",
                source.name
            ));
        }
        if source.name.ends_with("mod.rs") {
            broken.push(format!(
                "{}: a module `foo` is `foo.rs` and `foo/`",
                source.name
            ));
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// The rules are only as good as what they are shown.
#[test]
fn paths_are_found_however_they_are_written() {
    let source = Source {
        name: "domain/sample.rs".to_owned(),
        text: "//! use crate::one; \n\
               use crate::{domain::{id, key::Key as Other}, store::{self, Record}};\n\
               use super::super::index::Index; // use crate::two;\n\
               pub(crate) use ::tokio::sync::{mpsc, watch as state};\n\
               use super::*;\n\
               /* use crate::three; /* nested */ */\n\
               const URL: &str = \"https://crate::four\"; const QUOTE: char = '\"'; const RAW: &str = r#\"crate::five\"#;\n\
               fn f<'a>(_: &'a str) { sled::open(1); let tonic = 2; crate::edge::pb::g::<u8>(); }\n\
               #[cfg(test)]\nmod tests { use super::super::app; }\n"
            .to_owned(),
    };
    let expected = [
        "crate::domain::*",
        "crate::domain::id",
        "crate::domain::key::Key",
        "crate::edge::pb::g",
        "crate::index::Index",
        "crate::store",
        "crate::store::Record",
        "sled::open",
        "tokio::sync::mpsc",
        "tokio::sync::watch",
    ];
    assert_eq!(source.paths(), expected.map(str::to_owned).into());
}

/// A file below `src`.
struct Source {
    /// Its path below `src`.
    name: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path
                    .strip_prefix(&root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                found.push(Source {
                    name,
                    text: fs::read_to_string(path).unwrap(),
                });
            }
        }
    }
    assert!(
        found.len() > 30,
        "the sources are where they were: {}",
        found.len()
    );
    found
}

impl Source {
    /// The layer that the file is of: its folder, or the file beside that.
    fn layer(&self) -> &str {
        self.name.split(['/', '.']).next().unwrap_or_default()
    }

    /// What comes before the tests.
    fn production(&self) -> &str {
        // All of it is tests, which the file above it says.
        if self.name.ends_with("/tests.rs") {
            return "";
        }
        self.text
            .split("\n#[cfg(test)]\nmod ")
            .next()
            .unwrap_or_default()
    }

    /// What comes before the tests, without comments and literals.
    fn code(&self) -> String {
        without_comments_and_literals(self.production())
    }

    /// All paths that are named: written out, in a tree of a `use`, or from
    /// `super` on.
    fn paths(&self) -> BTreeSet<String> {
        let tokens = tokens(&self.code());
        let mut paths = BTreeSet::new();
        let mut at = 0;
        while at < tokens.len() {
            if tokens[at] == "use" {
                at = use_tree(&tokens, at + 1, &[], &mut paths);
            } else {
                at = written_out(&tokens, at, &mut paths);
            }
        }
        paths.iter().map(|path| self.absolute(path)).collect()
    }

    fn absolute(&self, path: &[String]) -> String {
        let ups = path
            .iter()
            .take_while(|segment| *segment == "super")
            .count();
        if ups == 0 {
            return path.join("::");
        }
        let module: Vec<_> = self.name.trim_end_matches(".rs").split('/').collect();
        let kept = module.len().saturating_sub(ups);
        let own = module[..kept].iter().copied();
        ["crate"]
            .into_iter()
            .chain(own)
            .chain(path[ups..].iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join("::")
    }
}

/// Reads the tree of a `use` from `at` on, as far as it goes.
fn use_tree(
    tokens: &[String],
    mut at: usize,
    prefix: &[String],
    paths: &mut BTreeSet<Vec<String>>,
) -> usize {
    let mut path = prefix.to_vec();
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            "::" => {}
            "{" => {
                loop {
                    at = use_tree(tokens, at + 1, &path, paths);
                    if tokens.get(at).is_none_or(|token| token != ",") {
                        break;
                    }
                }
                return at + 1;
            }
            "as" => at += 1,
            "self" if !path.is_empty() => {}
            "," | "}" | ";" => break,
            segment => path.push(segment.to_owned()),
        }
        at += 1;
    }
    if path.len() > prefix.len()
        || tokens
            .get(at.wrapping_sub(1))
            .is_some_and(|token| token == "self")
    {
        paths.insert(path);
    }
    at
}

/// Reads a path that is written out from `at` on, if one is.
fn written_out(tokens: &[String], mut at: usize, paths: &mut BTreeSet<Vec<String>>) -> usize {
    let is_name = |at: usize| {
        tokens
            .get(at)
            .is_some_and(|token| token.starts_with(|c: char| c.is_alphabetic() || c == '_'))
    };
    if !is_name(at) {
        return at + 1;
    }
    let mut path = vec![tokens[at].clone()];
    while tokens.get(at + 1).is_some_and(|token| token == "::") && is_name(at + 2) {
        path.push(tokens[at + 2].clone());
        at += 2;
    }
    if path.len() > 1 {
        paths.insert(path);
    }
    at + 1
}

/// Names, `::`, and all other signs one by one.
fn tokens(code: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let in_name = |c: char| c.is_alphanumeric() || c == '_';
        let len = match first {
            _ if in_name(first) => rest.find(|c| !in_name(c)).unwrap_or(rest.len()),
            ':' if rest.starts_with("::") => 2,
            _ => first.len_utf8(),
        };
        if !first.is_whitespace() {
            tokens.push(rest[..len].to_owned());
        }
        rest = &rest[len..];
    }
    tokens
}

fn without_comments_and_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = skipped(rest);
        if skipped > 0 {
            code.push(' ');
            rest = &rest[skipped..];
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    code
}

/// How long the comment or literal is that `text` starts with; 0: there is
/// none.
fn skipped(text: &str) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        let (mut depth, mut at) = (0, 0);
        while at < text.len() {
            let here = &text.as_bytes()[at..];
            let step = if here.starts_with(b"/*") {
                1
            } else {
                -i32::from(here.starts_with(b"*/"))
            };
            depth += step;
            at += if step == 0 { 1 } else { 2 };
            if depth == 0 {
                break;
            }
        }
        return at;
    }
    let hashes = text.strip_prefix('r').map_or(0, |raw| {
        raw.bytes().take_while(|byte| *byte == b'#').count()
    });
    if hashes > 0 && text[1 + hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        return text[2 + hashes..]
            .find(&end)
            .map_or(text.len(), |at| 2 + hashes + at + end.len());
    }
    if text.starts_with('"') {
        return quoted(text, '"');
    }
    // A lifetime is no literal: its quote is not closed after one character.
    let mut after = text.chars().skip(1);
    let character = text.starts_with('\'')
        && matches!(
            (after.next(), after.next()),
            (Some('\\'), _) | (_, Some('\''))
        );
    if character { quoted(text, '\'') } else { 0 }
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}
