//! Named limits: how much may pass in a window of time, as operators define it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use super::violation::Violations;

/// The most limits of one key, of a principal, or of a workspace's defaults.
pub const MAX_LIMITS: usize = 8;
/// The longest name of a limit, in bytes.
pub const MAX_LIMIT_NAME_LEN: usize = 20;
/// The most that can pass in a window.
pub const MAX_LIMIT_COUNT: u32 = 1_000_000_000;
/// The longest window, in seconds: 31 days.
pub const MAX_WINDOW_SECS: u32 = 31 * DAY;

const MINUTE: u32 = 60;
const HOUR: u32 = 60 * MINUTE;
const DAY: u32 = 24 * HOUR;

/// The name of a limit: a letter of `a-z`, then up to 19 of `[a-z0-9_-]`. It
/// lies in place, so that to tell of one allocates nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LimitName {
    len: u8,
    bytes: [u8; MAX_LIMIT_NAME_LEN],
}

/// The text is not the name of a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("must be 1 to 20 characters of a-z, 0-9, `_` and `-`, the first a letter")]
pub struct InvalidLimitName;

impl LimitName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl FromStr for LimitName {
    type Err = InvalidLimitName;

    fn from_str(text: &str) -> Result<Self, InvalidLimitName> {
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        let all = text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b));
        let mut bytes = [0; MAX_LIMIT_NAME_LEN];
        let (Some(place), true) = (bytes.get_mut(..text.len()), first && all) else {
            return Err(InvalidLimitName);
        };
        place.copy_from_slice(text.as_bytes());
        let len = u8::try_from(text.len()).map_err(|_| InvalidLimitName)?;
        Ok(Self { len, bytes })
    }
}

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The length of a window: whole seconds, from one to 31 days.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Window(u32);

impl Window {
    /// The window of so many seconds; none, if there is no such window.
    #[must_use]
    pub fn from_secs(seconds: u32) -> Option<Self> {
        (1..=MAX_WINDOW_SECS)
            .contains(&seconds)
            .then_some(Self(seconds))
    }

    /// The window that is this long; none, if there is no such window.
    #[must_use]
    pub fn new(length: Duration) -> Option<Self> {
        let seconds = u32::try_from(length.as_secs()).ok()?;
        Self::from_secs(seconds).filter(|_| length.subsec_nanos() == 0)
    }

    /// Its length in seconds.
    #[must_use]
    pub const fn as_secs(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Window {
    /// In the largest unit that it is whole in, as in `90s`, `1m` or `31d`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(DAY, "d"), (HOUR, "h"), (MINUTE, "m")];
        let whole = units
            .into_iter()
            .find(|(unit, _)| self.0.is_multiple_of(*unit));
        let (unit, letter) = whole.unwrap_or((1, "s"));
        write!(f, "{}{letter}", self.0 / unit)
    }
}

/// A limit: in no window of this length does more than the count pass.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Limit {
    /// What it is asked for by.
    pub name: LimitName,
    /// The most that passes: 1 to [`MAX_LIMIT_COUNT`].
    pub count: u32,
    /// In how long.
    pub window: Window,
    /// Whether it counts on every check, also on one that does not name it.
    pub always: bool,
}

impl fmt::Display for Limit {
    /// As it can be typed: `read=1000/1m`, `bulk=10/1m,always`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            count,
            window,
            always,
        } = self;
        let always = if *always { ",always" } else { "" };
        write!(f, "{name}={count}/{window}{always}")
    }
}

/// Limits by their names, of which none comes twice.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct LimitSet(Box<[Limit]>);

impl LimitSet {
    /// These limits, in the order of their names; of several of one name, the
    /// first.
    #[must_use]
    pub fn new(limits: impl IntoIterator<Item = Limit>) -> Self {
        let mut limits: Vec<_> = limits.into_iter().collect();
        limits.sort_by(|one, other| one.name.as_str().cmp(other.name.as_str()));
        limits.dedup_by_key(|limit| limit.name);
        Self(limits.into())
    }

    /// The limit of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Limit> {
        self.0.iter().find(|limit| limit.name.as_str() == name)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> std::slice::Iter<'_, Limit> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for LimitSet {
    /// As they can be typed, or `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let texts: Vec<_> = self.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join(" "))
    }
}

/// A limit as an operator describes it; nothing in it is checked yet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LimitDraft {
    /// What it is to be asked for by.
    pub name: String,
    /// The most that is to pass.
    pub count: u32,
    /// In how long; zero, if that was not said.
    pub window: Duration,
    /// Whether it is to count on every check.
    pub always: bool,
}

/// Reads limits, and notes what is wrong with them.
pub(super) fn read_limits(
    violations: &mut Violations,
    field: &str,
    drafts: &[LimitDraft],
) -> LimitSet {
    if drafts.len() > MAX_LIMITS {
        let description = format!(
            "has {} entries; at most {MAX_LIMITS} are allowed",
            drafts.len()
        );
        violations.add(field, description);
        return LimitSet::default();
    }
    let mut limits: Vec<Limit> = Vec::with_capacity(drafts.len());
    for (position, draft) in drafts.iter().enumerate() {
        let field = format!("{field}[{position}]");
        let Some(limit) = read_limit(violations, &field, draft) else {
            continue;
        };
        if limits.iter().any(|other| other.name == limit.name) {
            violations.add(format!("{field}.name"), "is the name of two");
        } else {
            limits.push(limit);
        }
    }
    LimitSet::new(limits)
}

fn read_limit(violations: &mut Violations, field: &str, draft: &LimitDraft) -> Option<Limit> {
    let name = violations.check(format!("{field}.name"), draft.name.parse::<LimitName>());
    let count = (1..=MAX_LIMIT_COUNT)
        .contains(&draft.count)
        .then_some(draft.count)
        .ok_or("must be 1 to 1,000,000,000");
    let count = violations.check(format!("{field}.count"), count);
    let window = Window::new(draft.window).ok_or("must be whole seconds, from 1 second to 31 days");
    let window = violations.check(format!("{field}.window"), window);
    Some(Limit {
        name: name?,
        count: count?,
        window: window?,
        always: draft.always,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(name: &str, count: u32, seconds: u64) -> LimitDraft {
        LimitDraft {
            name: name.to_owned(),
            count,
            window: Duration::from_secs(seconds),
            always: false,
        }
    }

    fn wrong(drafts: &[LimitDraft]) -> Vec<String> {
        let mut violations = Violations::default();
        read_limits(&mut violations, "limits", drafts);
        violations.iter().map(|told| told.field.clone()).collect()
    }

    #[test]
    fn names() {
        for name in ["a", "read", "a-b_9", "abcdefghijklmnopqrst"] {
            assert_eq!(name.parse::<LimitName>().unwrap().as_str(), name);
        }
        for name in [
            "",
            "9a",
            "-a",
            "_a",
            "Read",
            "a b",
            "ä",
            "a\0",
            "abcdefghijklmnopqrstu",
        ] {
            assert_eq!(name.parse::<LimitName>(), Err(InvalidLimitName), "{name}");
        }
    }

    #[test]
    fn every_bound_holds_at_the_bound_and_one_beyond() {
        let month = 31 * 24 * 60 * 60;
        assert_eq!(wrong(&[draft("a", 1, 1)]), [""; 0]);
        assert_eq!(wrong(&[draft("a", 1_000_000_000, month)]), [""; 0]);
        for (draft, field) in [
            (draft("A", 1, 1), "limits[0].name"),
            (draft("a", 0, 1), "limits[0].count"),
            (draft("a", 1_000_000_001, 1), "limits[0].count"),
            (draft("a", 1, 0), "limits[0].window"),
            (draft("a", 1, month + 1), "limits[0].window"),
            (draft("a", 1, u64::MAX), "limits[0].window"),
        ] {
            assert_eq!(wrong(&[draft]), [field]);
        }
        let mut broken = draft("a", 1, 1);
        broken.window += Duration::from_millis(1);
        assert_eq!(wrong(&[broken]), ["limits[0].window"]);
        let many = |number: usize| -> Vec<_> {
            (0..number).map(|n| draft(&format!("a{n}"), 1, 1)).collect()
        };
        assert_eq!(wrong(&many(8)), [""; 0]);
        assert_eq!(wrong(&many(9)), ["limits"]);
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let drafts = [draft("A", 0, 0), draft("a", 1, 1), draft("a", 2, 2)];
        assert_eq!(
            wrong(&drafts),
            [
                "limits[0].name",
                "limits[0].count",
                "limits[0].window",
                "limits[2].name"
            ]
        );
    }

    #[test]
    fn limits_are_written_as_they_can_be_typed() {
        let mut violations = Violations::default();
        let drafts = [
            draft("write", 100, 90),
            draft("bulk", 10, 31 * 24 * 60 * 60),
            draft("read", 1_000, 60),
            draft("slow", 1, 7_200),
        ];
        let mut set: Vec<_> = read_limits(&mut violations, "limits", &drafts)
            .iter()
            .copied()
            .collect();
        set[0].always = true;
        assert_eq!(
            LimitSet::new(set).to_string(),
            "bulk=10/31d,always read=1000/1m slow=1/2h write=100/90s"
        );
        assert_eq!(LimitSet::default().to_string(), "none");
    }
}
