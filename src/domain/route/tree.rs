//! Finds the first rule for a path, segment by segment, whatever the number of
//! rules: those that share their first segments share a branch.

use std::cmp::Ordering;

use crate::domain::target::path_template::{PathTemplate, Segment};

use super::Route;

/// No rule: behind all.
const NONE: usize = usize::MAX;

/// The rules of some hosts.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    /// The first is the root.
    nodes: Vec<Node>,
}

/// What rules with the same first segments have in common.
#[derive(Clone, Debug)]
struct Node {
    /// The first rule that goes through here.
    least: usize,
    /// Where words lead, in the order of their lower case.
    words: Vec<Word>,
    /// Where any segment leads.
    any: Option<usize>,
    /// The rules that end here, in their order.
    ends: Vec<usize>,
    /// The rules that are for whatever follows, in their order.
    rests: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Word {
    written: Box<str>,
    node: usize,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node::new(NONE)],
        }
    }

    /// Adds the path of a rule, which comes behind those that are there.
    pub(super) fn add(&mut self, path: &PathTemplate, rule: usize) {
        let mut at = 0;
        self.pass(at, rule);
        for segment in path.segments() {
            let next = self.next(at, segment);
            at = next.unwrap_or_else(|| self.grow(at, segment));
            self.pass(at, rule);
        }
        if let Some(node) = self.nodes.get_mut(at) {
            let rules = if path.is_open() {
                &mut node.rests
            } else {
                &mut node.ends
            };
            rules.push(rule);
        }
    }

    fn pass(&mut self, at: usize, rule: usize) {
        if let Some(node) = self.nodes.get_mut(at) {
            node.least = node.least.min(rule);
        }
    }

    fn next(&self, at: usize, segment: &Segment) -> Option<usize> {
        let node = self.nodes.get(at)?;
        match segment {
            Segment::Any(_) | Segment::Workspace => node.any,
            Segment::Word(word) => node
                .words_like(word)
                .iter()
                .find(|like| like.written == *word)
                .map(|like| like.node),
        }
    }

    fn grow(&mut self, at: usize, segment: &Segment) -> usize {
        let grown = self.nodes.len();
        self.nodes.push(Node::new(NONE));
        if let Some(node) = self.nodes.get_mut(at) {
            match segment {
                Segment::Any(_) | Segment::Workspace => node.any = Some(grown),
                Segment::Word(word) => {
                    let less = |other: &Word| in_any_case(&other.written, word).is_lt();
                    let place = node.words.partition_point(less);
                    let written = word.clone();
                    node.words.insert(
                        place,
                        Word {
                            written,
                            node: grown,
                        },
                    );
                }
            }
        }
        grown
    }

    /// Searches for the path whose segments are `rest`.
    pub(super) fn search(&self, search: &mut Search<'_, '_>, rest: Option<&str>) {
        self.walk(search, 0, rest, true);
    }

    /// Goes on from the node `at`. Whether all words so far had the same case is
    /// in `exact`. No node is come to twice, and none is deeper than the longest
    /// template.
    fn walk(&self, search: &mut Search<'_, '_>, at: usize, rest: Option<&str>, exact: bool) {
        let Some(node) = self.nodes.get(at) else {
            return;
        };
        if node.least >= search.best(exact) {
            return;
        }
        search.note_first(&node.rests, exact);
        let Some(rest) = rest else {
            search.note_first(&node.ends, exact);
            return;
        };
        let (segment, rest) = match rest.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (rest, None),
        };
        for word in node.words_like(segment) {
            let same = *word.written == *segment;
            self.walk(search, word.node, rest, exact && same);
        }
        if let Some(any) = node.any {
            self.walk(search, any, rest, exact);
        }
    }
}

impl Node {
    const fn new(least: usize) -> Self {
        Self {
            least,
            words: Vec::new(),
            any: None,
            ends: Vec::new(),
            rests: Vec::new(),
        }
    }

    /// The words that are `segment` but for case.
    fn words_like(&self, segment: &str) -> &[Word] {
        let less = |word: &Word| in_any_case(&word.written, segment).is_lt();
        let from = self.words.partition_point(less);
        let found = self.words.get(from..).unwrap_or_default();
        let alike = |word: &Word| in_any_case(&word.written, segment).is_eq();
        let to = found.partition_point(alike);
        found.get(..to).unwrap_or_default()
    }
}

/// The order of two words by their lower case.
fn in_any_case(one: &str, other: &str) -> Ordering {
    let lower = |byte: u8| byte.to_ascii_lowercase();
    one.bytes().map(lower).cmp(other.bytes().map(lower))
}

/// The search for the first rule of a method.
#[derive(Debug)]
pub(super) struct Search<'r, 'm> {
    routes: &'r [Route],
    method: &'m str,
    /// The first rule that matches.
    found: usize,
    /// The first that does, or would but for case: never behind the other.
    alike: usize,
}

/// What a search came to.
pub(super) enum Sought<'r> {
    Found(&'r Route),
    /// An earlier rule than the one that matches would, but for case.
    ButForCase,
    Nothing,
}

impl<'r, 'm> Search<'r, 'm> {
    pub(super) const fn new(routes: &'r [Route], method: &'m str) -> Self {
        Self {
            routes,
            method,
            found: NONE,
            alike: NONE,
        }
    }

    /// Behind which rule there is nothing more to find.
    const fn best(&self, exact: bool) -> usize {
        if exact { self.found } else { self.alike }
    }

    /// Notes the first of `rules` that is for the method.
    fn note_first(&mut self, rules: &[usize], exact: bool) {
        let is_for = |rule: &usize| {
            let route = self.routes.get(*rule);
            route.is_some_and(|route| route.methods.contain(self.method))
        };
        let Some(first) = rules.iter().copied().find(is_for) else {
            return;
        };
        self.alike = self.alike.min(first);
        if exact {
            self.found = self.found.min(first);
        }
    }

    pub(super) fn outcome(&self) -> Sought<'r> {
        match self.routes.get(self.found) {
            Some(route) if self.alike == self.found => Sought::Found(route),
            None if self.alike == NONE => Sought::Nothing,
            Some(_) | None => Sought::ButForCase,
        }
    }
}
