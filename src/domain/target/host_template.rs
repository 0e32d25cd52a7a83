//! Which hosts a rule is for, and where in a host the workspace is.

use std::fmt;
use std::net::Ipv4Addr;

use thiserror::Error;

use super::WORKSPACE;
use super::host::{HostRefusal, NormalHost};

/// The hosts that a rule is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HostTemplate {
    /// This one.
    Exact(Box<str>),
    /// All that end with a dot and this: `*.example.com`.
    Below(Box<str>),
    /// The same with one label before it, which is a workspace's id:
    /// `{workspace}.example.com`.
    Workspace(Box<str>),
}

/// The text is no template of hosts. It completes the sentence that starts with
/// the name of the field.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum HostTemplateError {
    /// What is not variable is no host.
    #[error("is no host: {0}")]
    Host(#[from] HostRefusal),
    /// There is a port.
    #[error("has a port, which rules do not look at: leave it out")]
    Port,
    /// A `*` or `{...}` is not the whole of the first label.
    #[error(
        "can have `*` or `{{workspace}}` as the whole of its first label, as in `*.example.com`, \
         and nothing else that is variable"
    )]
    Variable,
    /// What is below an address is no host.
    #[error("has an address behind its first label")]
    BelowAddress,
}

impl HostTemplate {
    /// Reads `api.example.com`, `*.example.com` or `{workspace}.example.com`.
    ///
    /// # Errors
    ///
    /// [`HostTemplateError`], if it is none of them.
    pub fn read(text: &str) -> Result<Self, HostTemplateError> {
        let (rest, make): (_, fn(Box<str>) -> Self) = if let Some(rest) = text.strip_prefix("*.") {
            (rest, Self::Below)
        } else if let Some(rest) = text
            .strip_prefix(WORKSPACE)
            .and_then(|rest| rest.strip_prefix('.'))
        {
            (rest, Self::Workspace)
        } else {
            (text, Self::Exact)
        };
        if rest.contains(['*', '{', '}']) {
            return Err(HostTemplateError::Variable);
        }
        let host = NormalHost::read(rest)?;
        // The brackets of an address are the last of it.
        if rest.rsplit(']').next().is_some_and(|end| end.contains(':')) {
            return Err(HostTemplateError::Port);
        }
        let host = host.as_str();
        let is_address = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
        if rest.len() < text.len() && is_address {
            return Err(HostTemplateError::BelowAddress);
        }
        Ok(make(host.into()))
    }

    /// Whether `host` is one of them. What stands where a workspace is expected
    /// need not be one.
    #[must_use]
    pub fn matches(&self, host: &NormalHost<'_>) -> bool {
        match self {
            Self::Exact(name) => **name == *host.as_str(),
            Self::Below(name) => label_before(host.as_str(), name).is_some(),
            Self::Workspace(name) => {
                label_before(host.as_str(), name).is_some_and(|label| !label.contains('.'))
            }
        }
    }

    /// What stands in `host` where the workspace is expected.
    #[must_use]
    pub fn workspace<'h>(&self, host: &'h NormalHost<'_>) -> Option<&'h str> {
        match self {
            Self::Workspace(name) => {
                label_before(host.as_str(), name).filter(|label| !label.contains('.'))
            }
            Self::Exact(_) | Self::Below(_) => None,
        }
    }

    /// Whether every host that `other` is for is one of these.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let one_label = |host: &str, name: &str| {
            label_before(host, name).is_some_and(|label| !label.contains('.'))
        };
        match (self, other) {
            (Self::Exact(one), Self::Exact(two)) | (Self::Workspace(one), Self::Workspace(two)) => {
                one == two
            }
            (Self::Workspace(name), Self::Exact(host)) => one_label(host, name),
            (Self::Below(name), Self::Exact(host)) => label_before(host, name).is_some(),
            (Self::Below(one), Self::Below(two) | Self::Workspace(two)) => {
                one == two || label_before(two, one).is_some()
            }
            (Self::Exact(_), Self::Below(_) | Self::Workspace(_))
            | (Self::Workspace(_), Self::Below(_)) => false,
        }
    }
}

/// What is before the dot before `name`, of which there is something.
fn label_before<'h>(host: &'h str, name: &str) -> Option<&'h str> {
    let before = host.strip_suffix(name)?.strip_suffix('.')?;
    (!before.is_empty()).then_some(before)
}

/// As it is written.
impl fmt::Display for HostTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
            Self::Workspace(name) => write!(f, "{WORKSPACE}.{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> HostTemplate {
        HostTemplate::read(text).unwrap()
    }

    fn host(text: &str) -> NormalHost<'_> {
        NormalHost::read(text).unwrap()
    }

    #[test]
    fn which_hosts_a_template_is_for() {
        for (text, matched, others) in [
            (
                "API.example.com",
                vec!["api.example.com", "Api.Example.com:8443"],
                vec!["example.com", "x.api.example.com", "api.example.com.evil"],
            ),
            (
                "*.example.com",
                vec!["a.example.com", "a.b.example.com"],
                vec!["example.com", "badexample.com", "example.com.evil"],
            ),
            (
                "{workspace}.example.com",
                vec!["klipy.example.com", "-x.example.com"],
                vec!["example.com", "a.b.example.com", "klipyexample.com"],
            ),
            ("[::1]", vec!["[::1]:80", "[0:0::1]"], vec!["[::2]"]),
            ("127.0.0.1", vec!["127.0.0.1:1"], vec!["127.0.0.2"]),
        ] {
            let template = template(text);
            for matching in matched {
                assert!(template.matches(&host(matching)), "{text} {matching}");
            }
            for other in others {
                assert!(!template.matches(&host(other)), "{text} {other}");
            }
            assert_eq!(HostTemplate::read(&template.to_string()), Ok(template));
        }
    }

    #[test]
    fn a_workspace_is_the_whole_first_label() {
        let template = template("{workspace}.example.com");
        let workspace = |text| template.workspace(&host(text)).map(str::to_owned);
        assert_eq!(workspace("KLIPY.example.com:443").as_deref(), Some("klipy"));
        assert_eq!(workspace("a.b.example.com"), None);
        assert_eq!(workspace("example.com"), None);
        assert_eq!(workspace("klipy.example.org"), None);
    }

    #[test]
    fn what_is_no_template_of_hosts() {
        use HostTemplateError::{BelowAddress, Host, Port, Variable};
        for (text, expected) in [
            ("", Host(HostRefusal::Empty)),
            ("*", Variable),
            ("*.", Host(HostRefusal::Empty)),
            ("a.*.example.com", Variable),
            ("a*.example.com", Variable),
            ("*.*.example.com", Variable),
            ("{tenant}.example.com", Variable),
            ("api.{workspace}.example.com", Variable),
            ("example.com:443", Port),
            ("[::1]:443", Port),
            ("example.com.", Host(HostRefusal::EmptyLabel)),
            ("https://example.com", Host(HostRefusal::Port)),
            ("example.com/v1", Host(HostRefusal::Character)),
            ("*.127.0.0.1", BelowAddress),
            ("*.[::1]", BelowAddress),
        ] {
            assert_eq!(HostTemplate::read(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn what_covers_what() {
        let all = [
            "example.com",
            "a.example.com",
            "a.b.example.com",
            "*.example.com",
            "*.b.example.com",
            "{workspace}.example.com",
            "{workspace}.b.example.com",
        ];
        let hosts = [
            "example.com",
            "a.example.com",
            "x.example.com",
            "b.example.com",
            "a.b.example.com",
            "x.b.example.com",
            "x.y.b.example.com",
            "x.y.example.com",
        ];
        for one in all.map(template) {
            for other in all.map(template) {
                // There are hosts enough to tell all of them apart.
                let expected = hosts
                    .map(host)
                    .iter()
                    .all(|host| one.matches(host) || !other.matches(host));
                assert_eq!(one.covers(&other), expected, "{one} {other}");
            }
        }
    }
}
