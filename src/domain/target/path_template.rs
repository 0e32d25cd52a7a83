//! Which paths a rule is for, and where in a path the workspace is.

use std::fmt;

use thiserror::Error;

use crate::domain::text::shown;

use super::WORKSPACE;
use super::path::{NormalPath, PathRefusal};

/// The most segments of a template.
pub const MAX_SEGMENTS: usize = 64;
/// The most bytes of a template.
const MAX_LEN: usize = 1024;
/// Any number of segments, also none; the last of a template.
const REST: &str = "**";

/// The paths that a rule is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathTemplate {
    segments: Vec<Segment>,
    /// Whether any number of segments can follow.
    open: bool,
}

/// One segment of a template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Segment {
    /// This one, as it is in a normal path.
    Word(Box<str>),
    /// Any, with the name that it is given for people.
    Any(Option<Box<str>>),
    /// Any, which is a workspace's id.
    Workspace,
}

/// The text is no template of paths. It completes the sentence that starts with
/// the name of the field.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum PathTemplateError {
    /// It has too many bytes or segments.
    #[error("has more than {MAX_LEN} bytes or {MAX_SEGMENTS} segments")]
    TooLong,
    /// It starts with something else than a slash.
    #[error("has a path that does not start with `/`")]
    NoSlash,
    /// A `?` or `#` is in it.
    #[error("has a query or fragment, which rules do not look at: leave it out")]
    Query,
    /// A `**` is not the last segment.
    #[error("can have `**` as its last segment alone")]
    RestNotLast,
    /// A `*` or brace is a part of a segment.
    #[error("has `{0}`: a variable is a whole segment, `*` or `{{name}}`, or `**` at the end")]
    PartOfSegment(String),
    /// A name is none.
    #[error("has `{0}`: a name is of a-z, 0-9 and `_`, the first a letter")]
    Name(String),
    /// A name is there twice.
    #[error("has `{0}` twice")]
    Twice(String),
    /// A segment can be in no path.
    #[error("has `{0}`, and no request with it is let through: {1}")]
    Word(String, PathRefusal),
    /// A segment has letters beyond ASCII.
    #[error("has `{0}`, whose letters beyond ASCII can be spelt in several ways: write `*` for it")]
    BeyondAscii(String),
}

impl PathTemplate {
    /// Reads `/v1/customers/{id}/**`. A slash at the end makes no difference, as
    /// in a path.
    ///
    /// # Errors
    ///
    /// [`PathTemplateError`], if it is no such template.
    pub fn read(text: &str) -> Result<Self, PathTemplateError> {
        if text.len() > MAX_LEN {
            return Err(PathTemplateError::TooLong);
        }
        if text.contains(['?', '#']) {
            return Err(PathTemplateError::Query);
        }
        let inner = text.strip_prefix('/').ok_or(PathTemplateError::NoSlash)?;
        let shorter = inner.strip_suffix('/');
        let inner = shorter.filter(|inner| !inner.is_empty()).unwrap_or(inner);
        let mut template = Self {
            segments: Vec::new(),
            open: false,
        };
        if inner.is_empty() {
            return Ok(template);
        }
        for segment in inner.split('/') {
            if template.open {
                return Err(PathTemplateError::RestNotLast);
            }
            if segment == REST {
                template.open = true;
                continue;
            }
            let segment = read_segment(segment)?;
            let named = !matches!(segment, Segment::Word(_) | Segment::Any(None));
            if named && template.segments.contains(&segment) {
                return Err(PathTemplateError::Twice(segment.to_string()));
            }
            template.segments.push(segment);
        }
        if template.segments.len() > MAX_SEGMENTS {
            return Err(PathTemplateError::TooLong);
        }
        Ok(template)
    }

    /// The segments, but for a last `**`.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether any number of segments can follow.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open
    }

    /// Whether one of the segments is a workspace's.
    #[must_use]
    pub fn has_workspace(&self) -> bool {
        self.segments.contains(&Segment::Workspace)
    }

    /// Whether `path` is one of them. What stands where a workspace is expected
    /// need not be one.
    #[must_use]
    pub fn matches(&self, path: &NormalPath<'_>) -> bool {
        self.matches_where(path, |word, segment| word == segment)
    }

    /// The same, where words need not have the same case.
    #[must_use]
    pub fn matches_in_any_case(&self, path: &NormalPath<'_>) -> bool {
        self.matches_where(path, str::eq_ignore_ascii_case)
    }

    fn matches_where(&self, path: &NormalPath<'_>, alike: impl Fn(&str, &str) -> bool) -> bool {
        let mut given = path.segments();
        let all = self.segments.iter().all(|expected| {
            given.next().is_some_and(|segment| match expected {
                Segment::Word(word) => alike(word, segment),
                Segment::Any(_) | Segment::Workspace => true,
            })
        });
        all && (self.open || given.next().is_none())
    }

    /// What stands in `path` where the workspace is expected.
    #[must_use]
    pub fn workspace<'p>(&self, path: &'p NormalPath<'_>) -> Option<&'p str> {
        let is_workspace = |segment: &Segment| *segment == Segment::Workspace;
        let place = self.segments.iter().position(is_workspace)?;
        path.segments().nth(place).filter(|_| self.matches(path))
    }

    /// Whether every path that `other` is for is one of these, but for the case of
    /// words.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let same_length = self.segments.len() == other.segments.len();
        let long_enough = self.segments.len() <= other.segments.len();
        let lengths = if self.open {
            long_enough
        } else {
            same_length && !other.open
        };
        lengths
            && self
                .segments
                .iter()
                .zip(&other.segments)
                .all(|pair| match pair {
                    (Segment::Word(one), Segment::Word(other)) => one.eq_ignore_ascii_case(other),
                    (Segment::Word(_), Segment::Any(_) | Segment::Workspace) => false,
                    (Segment::Any(_) | Segment::Workspace, _) => true,
                })
    }
}

fn read_segment(text: &str) -> Result<Segment, PathTemplateError> {
    if text == "*" {
        return Ok(Segment::Any(None));
    }
    if text == WORKSPACE {
        return Ok(Segment::Workspace);
    }
    let shown = || shown(text);
    let name = text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    if let Some(name) = name.filter(|name| !name.contains(['{', '}', '*'])) {
        let first = name.starts_with(|c: char| c.is_ascii_lowercase());
        let all = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        return if first && name.chars().all(all) {
            Ok(Segment::Any(Some(name.into())))
        } else {
            Err(PathTemplateError::Name(shown()))
        };
    }
    if text.contains(['*', '{', '}']) {
        return Err(PathTemplateError::PartOfSegment(shown()));
    }
    let slashed = format!("/{text}");
    let path = if text.is_empty() {
        Err(PathRefusal::EmptySegment)
    } else {
        NormalPath::read(&slashed)
    };
    let path = path.map_err(|refusal| PathTemplateError::Word(shown(), refusal))?;
    let word = path.rest().unwrap_or_default();
    // In capitals, and of two digits.
    if word.match_indices('%').any(|(at, _)| word[at..] > *"%8") {
        return Err(PathTemplateError::BeyondAscii(shown()));
    }
    Ok(Segment::Word(word.into()))
}

/// As it is written.
impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Any(None) => f.write_str("*"),
            Self::Any(Some(name)) => write!(f, "{{{name}}}"),
            Self::Workspace => f.write_str(WORKSPACE),
        }
    }
}

/// As it is written.
impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            write!(f, "/{segment}")?;
        }
        match (self.open, self.segments.is_empty()) {
            (true, _) => write!(f, "/{REST}"),
            (false, true) => f.write_str("/"),
            (false, false) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
