//! A TOML file by its text: where in it something is, and what of it is no TOML.

use std::collections::BTreeSet;
use std::ops::Range;

use super::origin::{Origin, Problem};

/// The text of a file, and its name for people.
#[derive(Debug)]
pub(super) struct Document<'a> {
    name: &'a str,
    text: &'a str,
    /// Where its lines start.
    lines: Vec<usize>,
    /// What was made of these lines is a guess.
    broken_lines: BTreeSet<usize>,
}

impl<'a> Document<'a> {
    pub(super) fn new(name: &'a str, text: &'a str) -> Self {
        let behind = text.match_indices('\n').map(|(newline, _)| newline + 1);
        Self {
            name,
            text,
            lines: [0].into_iter().chain(behind).collect(),
            broken_lines: BTreeSet::new(),
        }
    }

    /// What there is to say of what is no TOML: of the first error of each line,
    /// for others follow from it.
    pub(super) fn syntax_problems(&mut self, errors: &[toml::de::Error]) -> Vec<Problem> {
        let mut problems = Vec::new();
        for error in errors {
            let start = error.span().map_or(0, |span| span.start);
            let (line, _) = self.place(start);
            if self.broken_lines.insert(line) {
                let told = error.message().replace('\n', ", ");
                problems.push(self.problem(start, format!("is not TOML: {told}")));
            }
        }
        problems
    }

    /// Whether what is at `span` was made of a line that is no TOML.
    pub(super) fn is_broken(&self, span: &Range<usize>) -> bool {
        self.broken_lines.contains(&self.line(span.start))
    }

    /// What is wrong at a byte of the text.
    pub(super) fn problem(&self, byte: usize, sentence: impl Into<String>) -> Problem {
        Problem::new(self.origin(byte), sentence.into())
    }

    /// A byte of the text, for people.
    pub(super) fn origin(&self, byte: usize) -> Origin {
        let (line, column) = self.place(byte);
        Origin::File {
            file: self.name.to_owned(),
            line,
            column,
        }
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, byte: usize) -> usize {
        self.lines.partition_point(|start| *start <= byte)
    }

    /// The line and the column, from 1, of a byte.
    fn place(&self, byte: usize) -> (usize, usize) {
        let line = self.line(byte);
        let start = self.lines.get(line - 1).copied().unwrap_or_default();
        let before = self.text.get(start..byte).unwrap_or_default();
        (line, before.chars().count() + 1)
    }
}
