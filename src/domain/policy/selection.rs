//! Which workspace a request is for.

use crate::domain::id::WorkspaceId;
use crate::domain::target::Target;

use super::{Policy, WorkspaceChoice};

/// No workspace has this id: the first character of one is a letter or digit.
const NO_WORKSPACE: &str = "-";

/// The workspace that a request is for, as a policy selects it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selection<'a> {
    /// The policy selects none: it is the key's own.
    KeysOwn,
    /// The workspace of this id, which need not exist.
    Workspace(&'a str),
    /// The policy selects one, but the request has nothing that could be its id.
    /// It is never the key's own then: whoever leaves out what selects a workspace
    /// would choose it.
    Nothing,
}

impl<'a> Selection<'a> {
    /// What to ask for as the workspace of a check
    /// ([`Ask::workspace`](crate::domain::verdict::Ask)). Where nothing was
    /// selected, it is what no workspace is called, so that every key is UNKNOWN.
    #[must_use]
    pub const fn asked(self) -> Option<&'a str> {
        match self {
            Self::KeysOwn => None,
            Self::Workspace(id) => Some(id),
            Self::Nothing => Some(NO_WORKSPACE),
        }
    }
}

impl Policy {
    /// The workspace that a request is for. `header` is asked for the value of the
    /// header of that name: none, if the request does not have it exactly once.
    pub fn select<'a>(
        &'a self,
        target: &'a Target<'_>,
        header: impl FnOnce(&str) -> Option<&'a [u8]>,
    ) -> Selection<'a> {
        let selected = match &self.workspace {
            None => return Selection::KeysOwn,
            Some(WorkspaceChoice::Fixed(id)) => Some(&**id),
            Some(WorkspaceChoice::Header(name)) => {
                header(name).and_then(|value| std::str::from_utf8(value).ok())
            }
            Some(WorkspaceChoice::Host(template)) => {
                let host = target.host.as_ref().ok();
                host.and_then(|host| template.workspace(host))
            }
            Some(WorkspaceChoice::Path(template)) => {
                let path = target.path.as_ref().ok();
                path.and_then(|path| template.workspace(path))
            }
        };
        match selected {
            Some(id) if WorkspaceId::is_one(id) => Selection::Workspace(id),
            Some(_) | None => Selection::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str, value: &str) -> Policy {
        Policy::parse([(name, value)]).unwrap()
    }

    #[test]
    fn each_way_selects_one() {
        let target = Target::read("Klipy.example.com:443", "/w/%6bling/x?y");
        for (name, value, expected) in [
            ("workspace", "erathos", "erathos"),
            ("workspace_header", "X-Workspace", "headed"),
            ("workspace_host", "{workspace}.example.com", "klipy"),
            ("workspace_path", "/w/{workspace}/**", "kling"),
        ] {
            let policy = policy(name, value);
            let header = |asked: &str| (asked == "x-workspace").then_some(&b"headed"[..]);
            let selected = policy.select(&target, header);
            assert_eq!(selected, Selection::Workspace(expected), "{name}");
            assert_eq!(selected.asked(), Some(expected));
        }
        let selected = Policy::default();
        let selected = selected.select(&target, |_| Some(b"headed"));
        assert_eq!(selected, Selection::KeysOwn);
        assert_eq!(selected.asked(), None);
    }

    #[test]
    fn what_selects_nothing_never_selects_the_keys_own() {
        let long = "x".repeat(WorkspaceId::MAX_LEN + 1);
        for (name, value, host, path, header) in [
            ("workspace_header", "x-w", "h", "/", None),
            ("workspace_header", "x-w", "h", "/", Some("")),
            ("workspace_header", "x-w", "h", "/", Some("Klipy")),
            ("workspace_header", "x-w", "h", "/", Some("klipy ")),
            ("workspace_header", "x-w", "h", "/", Some("a,b")),
            ("workspace_header", "x-w", "h", "/", Some(long.as_str())),
            ("workspace_host", "{workspace}.e.com", "e.com", "/", None),
            (
                "workspace_host",
                "{workspace}.e.com",
                "a.b.e.com",
                "/",
                None,
            ),
            ("workspace_host", "{workspace}.e.com", "-a.e.com", "/", None),
            ("workspace_host", "{workspace}.e.com", "a.e.com.", "/", None),
            ("workspace_host", "{workspace}.e.com", "", "/", None),
            ("workspace_path", "/w/{workspace}/**", "h", "/w", None),
            ("workspace_path", "/w/{workspace}/**", "h", "/x/klipy", None),
            ("workspace_path", "/w/{workspace}/**", "h", "/w/Klipy", None),
            ("workspace_path", "/w/{workspace}/**", "h", "/w/%20a", None),
            (
                "workspace_path",
                "/w/{workspace}/**",
                "h",
                "/w/a/../b",
                None,
            ),
            ("workspace_path", "/w/{workspace}/**", "h", "", None),
        ] {
            let policy = policy(name, value);
            let target = Target::read(host, path);
            let selected = policy.select(&target, |_| header.map(str::as_bytes));
            assert_eq!(selected, Selection::Nothing, "{value} {host} {path}");
            let asked = selected.asked().unwrap();
            assert!(asked.parse::<WorkspaceId>().is_err());
        }
        let policy = policy("workspace_header", "x-w");
        let target = Target::read("h", "/");
        let selected = policy.select(&target, |_| Some(b"\xff"));
        assert_eq!(selected, Selection::Nothing);
    }
}
