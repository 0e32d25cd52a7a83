//! Which limits count on a check: those that it names, and those that always
//! do.

use std::time::Duration;

use super::limit::{Limit, LimitSet, MAX_LIMITS};

/// What a check is to cost, if it does not say.
pub const USUAL_COST: u32 = 1;

/// The limits that a check names, borrowed from it: at most [`MAX_LIMITS`], each
/// once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Named<'a> {
    names: [&'a str; MAX_LIMITS],
    len: usize,
    /// Whether there were more than that, or one that no limit can have.
    odd: bool,
}

impl<'a> Named<'a> {
    /// Adds a name, as the gateway gave it.
    pub fn add(&mut self, name: &'a str) {
        if self.as_slice().contains(&name) {
            return;
        }
        match self.names.get_mut(self.len) {
            // No limit is called so, and what is meant is not known.
            _ if name.is_empty() => self.odd = true,
            Some(place) => {
                *place = name;
                self.len += 1;
            }
            None => self.odd = true,
        }
    }

    /// The names, in the order in which they came first.
    #[must_use]
    pub fn as_slice(&self) -> &[&'a str] {
        self.names.get(..self.len).unwrap_or_default()
    }

    /// Whether there are none, and nothing odd.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0 && !self.odd
    }
}

/// What a check is to spend if it is allowed.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// The limits that it names.
    pub limits: Named<'a>,
    /// How much, of each limit that counts; 0 looks and spends nothing.
    pub cost: u32,
}

impl Default for Demand<'_> {
    fn default() -> Self {
        Self {
            limits: Named::default(),
            cost: USUAL_COST,
        }
    }
}

/// Where a limit was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// On the key.
    Key,
    /// On its principal: one count in each workspace, which all keys of that share
    /// there.
    Principal,
    /// Among the defaults of its workspace. Each key has a count of its own; a
    /// personal one, in each workspace.
    Workspace,
}

/// A limit that counts on a check, and how it stands after that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reading {
    /// The limit.
    pub limit: Limit,
    /// Where it was found.
    pub source: Source,
    /// Whether it has denied the check.
    pub denied: bool,
    /// How much is left.
    pub remaining: u32,
    /// How long until as much as this check asked for (1, if it only looked)
    /// would pass, if nothing else is spent. None: it would now, or never.
    pub retry: Option<Duration>,
    /// How long until all of it is there again, if nothing else is spent.
    /// None: it is.
    pub reset: Option<Duration>,
}

/// The check names a limit that is defined nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownLimit;

/// The limits that count on a check, of which nothing is read yet.
///
/// They are looked for from the innermost of `layers` to the outermost: one that
/// is found further in hides those of the same name further out. Allocates
/// nothing if there are none.
///
/// # Errors
///
/// [`UnknownLimit`].
pub fn due(
    layers: &[(Source, &LimitSet)],
    named: &Named<'_>,
) -> Result<Vec<Reading>, UnknownLimit> {
    let find = |name: &str| layers.iter().find_map(|(_, limits)| limits.find(name));
    if named.odd || named.as_slice().iter().any(|name| find(name).is_none()) {
        return Err(UnknownLimit);
    }
    let mut due = Vec::new();
    for (depth, (source, limits)) in layers.iter().enumerate() {
        for limit in limits.iter() {
            let name = limit.name.as_str();
            let hidden = layers
                .iter()
                .take(depth)
                .any(|(_, inner)| inner.find(name).is_some());
            if !hidden && (limit.always || named.as_slice().contains(&name)) {
                due.push(Reading {
                    limit: *limit,
                    source: *source,
                    denied: false,
                    remaining: limit.count,
                    retry: None,
                    reset: None,
                });
            }
        }
    }
    Ok(due)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::limit::Window;

    /// Limits such as `read`, and `bulk!` for one that counts always.
    fn set(names: &str) -> LimitSet {
        LimitSet::new(names.split_whitespace().map(|name| Limit {
            name: name.trim_end_matches('!').parse().unwrap(),
            count: 7,
            window: Window::from_secs(60).unwrap(),
            always: name.ends_with('!'),
        }))
    }

    fn named<'a>(names: &[&'a str]) -> Named<'a> {
        let mut named = Named::default();
        names.iter().for_each(|name| named.add(name));
        named
    }

    /// The limits that count, of those on the key, on its principal and on its
    /// workspace: the principal's are marked by `+`, the workspace's by `-`.
    fn told(of: [&str; 3], names: &[&str]) -> Result<String, UnknownLimit> {
        let [key, principal, workspace] = of.map(set);
        let layers = [
            (Source::Key, &key),
            (Source::Principal, &principal),
            (Source::Workspace, &workspace),
        ];
        let due = due(&layers, &named(names))?;
        let told = due.iter().map(|reading| match reading.source {
            Source::Key => reading.limit.name.to_string(),
            Source::Principal => format!("+{}", reading.limit.name),
            Source::Workspace => format!("-{}", reading.limit.name),
        });
        Ok(told.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_is_named_and_what_always_counts() {
        for (of, names, expected) in [
            (["", "", ""], &[][..], ""),
            (["read write", "", ""], &[], ""),
            (["read write", "", ""], &["write"], "write"),
            (["read all!", "", ""], &["read"], "all read"),
            (["read all!", "", ""], &["all", "all"], "all"),
            (
                ["read", "", "write all!"],
                &["write", "read"],
                "read -all -write",
            ),
            (["", "read all!", ""], &[], "+all"),
            (
                ["read", "bulk all!", "write day!"],
                &["write", "bulk", "read"],
                "read +all +bulk -day -write",
            ),
        ] {
            assert_eq!(told(of, names).as_deref(), Ok(expected), "{of:?}/{names:?}");
        }
    }

    /// What is further in hides what is further out, also if it does not count
    /// always itself.
    #[test]
    fn the_key_hides_the_principal_and_that_the_workspace() {
        for (of, names, expected) in [
            (["read", "", "read!"], &[][..], ""),
            (["read", "", "read!"], &["read"], "read"),
            (["read!", "", "read"], &["read"], "read"),
            (["read", "read!", ""], &[], ""),
            (["read", "read!", ""], &["read"], "read"),
            (["", "read", "read!"], &[], ""),
            (["", "read", "read!"], &["read"], "+read"),
            (["", "read!", "read!"], &[], "+read"),
            (["read", "read!", "read!"], &[], ""),
            (["read!", "read!", "read!"], &["read"], "read"),
            (["a", "a! b", "a! b! c!"], &["b"], "+b -c"),
        ] {
            assert_eq!(told(of, names).as_deref(), Ok(expected), "{of:?}/{names:?}");
        }
    }

    #[test]
    fn a_name_that_is_defined_nowhere_is_unknown() {
        for names in [
            &["bulk"][..],
            &["read", "bulk"],
            &["", "read"],
            &["READ"],
            &["\0"],
        ] {
            let told = told(["read", "all", "write"], names);
            assert_eq!(told, Err(UnknownLimit), "{names:?}");
        }
        let eight = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let nine = [&eight[..], &["i"]].concat();
        let twice = [eight, eight].concat();
        let of = ["a b", "c d", "e f g h i"];
        let expected = "a b +c +d -e -f -g -h";
        assert_eq!(told(of, &twice).as_deref(), Ok(expected));
        assert_eq!(told(of, &nine), Err(UnknownLimit));
    }

    #[test]
    fn without_limits_nothing_is_allocated() {
        let (key, workspace) = (set("read"), set(""));
        let layers = [(Source::Key, &key), (Source::Workspace, &workspace)];
        let allocations = allocation_counter::measure(|| {
            assert_eq!(due(&layers, &named(&[])), Ok(Vec::new()));
            assert_eq!(due(&layers, &named(&["bulk"])), Err(UnknownLimit));
        });
        assert_eq!(allocations.count_total, 0);
    }
}
