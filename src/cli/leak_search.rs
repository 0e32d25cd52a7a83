//! Searches files, folders and stdin for tokens.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use walkdir::WalkDir;
use zeroize::Zeroizing;

use super::output;
use super::text::{escaped, without_tokens};
use crate::domain::leak::{Place, Scanner};

/// How much is read at a time.
const PIECE_LEN: usize = 256 * 1024;

/// How much of a file is looked at to tell whether it has lines.
const SAMPLE_LEN: usize = 8_000;

/// A place in which a token was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Finding {
    /// The file; `-`: stdin.
    pub(crate) path: String,
    /// Where in it.
    pub(crate) place: Place,
    /// Whether the file has lines.
    pub(crate) has_lines: bool,
    /// Which of the tokens it is.
    pub(crate) token: usize,
}

/// What was found.
#[derive(Default)]
pub(crate) struct Search {
    /// Where, in the order of the search.
    pub(crate) findings: Vec<Finding>,
    /// The tokens in clear, each once after [`Self::end`].
    pub(crate) tokens: Vec<Zeroizing<String>>,
    /// How many files were searched.
    pub(crate) files: u64,
    /// How many bytes they held.
    pub(crate) bytes: u64,
    /// How many could not be read.
    pub(crate) unread: u64,
}

impl Search {
    /// Searches what `path` names: a file, all files below a folder, or `-`,
    /// which is stdin. What cannot be read is told of, and the search goes on.
    pub(crate) fn add(&mut self, path: &Path) {
        if path.as_os_str() == "-" {
            self.read("-", io::stdin().lock());
            return;
        }
        // No links are followed, but for one that was given itself.
        for entry in WalkDir::new(path).sort_by_file_name() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.failed(&error.to_string());
                    continue;
                }
            };
            // A pipe that was given is read; one that lies about is not.
            let is_given = entry.depth() == 0 && !entry.path().is_dir();
            if !is_given && !entry.file_type().is_file() {
                continue;
            }
            // A file may be called like a token.
            let name = without_tokens(&entry.path().display().to_string());
            match File::open(entry.path()) {
                Ok(file) => self.read(&name, file),
                Err(error) => self.failed(&format!("{name}: {error}")),
            }
        }
    }

    fn read(&mut self, name: &str, mut input: impl Read) {
        let mut piece = vec![0; PIECE_LEN];
        let mut scanner = Scanner::new();
        let mut has_lines = None;
        self.files += 1;
        loop {
            let length = match input.read(&mut piece) {
                Ok(0) => return,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return self.failed(&format!("{name}: {error}")),
            };
            let piece = &piece[..length];
            self.bytes += length as u64;
            // As git does: what has a NUL near its start is no text.
            let has_lines =
                *has_lines.get_or_insert_with(|| !piece[..length.min(SAMPLE_LEN)].contains(&0));
            scanner.feed(piece, |found| {
                self.findings.push(Finding {
                    path: name.to_owned(),
                    place: found.place,
                    has_lines,
                    token: self.tokens.len(),
                });
                let token = String::from_utf8_lossy(found.token).into_owned();
                self.tokens.push(Zeroizing::new(token));
            });
        }
    }

    fn failed(&mut self, why: &str) {
        self.unread += 1;
        let why = escaped(&without_tokens(why));
        output::tell(&format_args!("cannot read {why}"));
    }

    /// The same with each token once, however often it was found.
    pub(crate) fn end(mut self) -> Self {
        let mut order: Vec<_> = (0..self.findings.len()).collect();
        order.sort_by(|a, b| self.tokens[*a].as_bytes().cmp(self.tokens[*b].as_bytes()));
        let mut each: Vec<Zeroizing<String>> = Vec::new();
        for at in order {
            let token = &mut self.tokens[at];
            if each.last().is_none_or(|last| last != token) {
                each.push(std::mem::take(token));
            }
            self.findings[at].token = each.len() - 1;
        }
        self.tokens = each;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: &str = "klg_live_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp13kbUxd";
    const KLIPY: &str = "klipy_api_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf0nTd9z";

    #[test]
    fn each_token_is_told_once_and_each_place_of_it() {
        let mut search = Search::default();
        search.read("a", format!("{KLIPY}\n{LIVE} {KLIPY}").as_bytes());
        search.read("b", format!("\0{LIVE}").as_bytes());
        let search = search.end();
        let tokens: Vec<_> = search.tokens.iter().map(|token| token.as_str()).collect();
        assert_eq!(tokens, [LIVE, KLIPY]);
        let places: Vec<_> = search
            .findings
            .iter()
            .map(|found| (found.path.as_str(), found.has_lines, found.token))
            .collect();
        let expected = [
            ("a", true, 1),
            ("a", true, 0),
            ("a", true, 1),
            ("b", false, 0),
        ];
        assert_eq!(places, expected);
        assert_eq!((search.files, search.bytes), (2, 237));
    }

    #[test]
    fn a_token_is_found_over_the_seam_of_two_pieces() {
        for before in PIECE_LEN - 60..PIECE_LEN + 2 {
            let mut search = Search::default();
            search.read("a", format!("{}{LIVE}", " ".repeat(before)).as_bytes());
            assert_eq!(search.findings.len(), 1, "{before}");
            assert_eq!(search.findings[0].place.offset, before as u64);
        }
    }
}
