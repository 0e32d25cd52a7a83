//! Who it is that was let in: what is told of them, and by which headers.

use std::fmt::Write as _;

use http::HeaderName;

use crate::domain::scope::ScopeSet;
use crate::service::checker::Outcome;

use super::decision::Header;

/// The longest value of the header that lists scopes, in bytes. One that would be
/// longer is left out whole: upstreams limit headers, and half of a list is
/// another list.
const MAX_SCOPES_LEN: usize = 4 * 1024;

/// By which headers an upstream is told who calls. None: by no header.
///
/// No two are the same, see [`Self::all`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdentityHeaders {
    /// The id of the key.
    pub key_id: Option<HeaderName>,
    /// Whoever acts with it.
    pub principal: Option<HeaderName>,
    /// The workspace that the request is for.
    pub workspace: Option<HeaderName>,
    /// The environment of the key.
    pub environment: Option<HeaderName>,
    /// What the key may do, apart by spaces.
    pub scopes: Option<HeaderName>,
}

impl Default for IdentityHeaders {
    fn default() -> Self {
        let named = |name| Some(HeaderName::from_static(name));
        Self {
            key_id: named("x-keyward-key-id"),
            principal: named("x-keyward-principal"),
            workspace: named("x-keyward-workspace"),
            environment: named("x-keyward-environment"),
            scopes: named("x-keyward-scopes"),
        }
    }
}

impl IdentityHeaders {
    /// All of them: whatever a client says by these names is taken off.
    pub fn all(&self) -> impl Iterator<Item = &HeaderName> {
        let Self {
            key_id,
            principal,
            workspace,
            environment,
            scopes,
        } = self;
        [key_id, principal, workspace, environment, scopes]
            .into_iter()
            .flatten()
    }
}

/// Who was let in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::edge) struct Identity {
    /// The id of the key.
    pub(in crate::edge) key_id: String,
    /// The name of the key for people.
    pub(in crate::edge) key_name: String,
    /// Whoever acts with it.
    pub(in crate::edge) principal: String,
    /// The workspace that the request is for.
    pub(in crate::edge) workspace: String,
    /// The environment of the key; empty: none.
    pub(in crate::edge) environment: String,
    /// What the key may do there.
    pub(in crate::edge) scopes: ScopeSet,
    /// What an operator wants handed over with it, by name.
    pub(in crate::edge) metadata: Vec<(String, String)>,
    /// The hint of a token that is being replaced, if it was that one.
    pub(in crate::edge) superseded: Option<String>,
}

impl Identity {
    /// The one that a check found; none, if it found no key.
    pub(super) fn of(outcome: &Outcome<'_>) -> Option<Self> {
        let (key, standing) = outcome.key.zip(outcome.standing)?;
        let scopes = outcome.effective?.scopes();
        let superseded = outcome
            .rotating
            .is_some_and(|rotating| rotating.superseded());
        Some(Self {
            key_id: key.id().to_string(),
            key_name: key.name().to_owned(),
            principal: key.principal().to_owned(),
            workspace: standing.workspace.to_owned(),
            environment: standing.environment.to_owned(),
            scopes: (*scopes).clone(),
            metadata: key
                .metadata()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            superseded: superseded.then(|| key.hint()),
        })
    }

    /// The headers that tell of it. What it has none of is told by no header.
    pub(super) fn headers(&self, names: &IdentityHeaders) -> Vec<Header> {
        let told = [
            (&names.key_id, visible(&self.key_id)),
            (&names.principal, visible(&self.principal)),
            (&names.workspace, visible(&self.workspace)),
            (&names.environment, visible(&self.environment)),
            (&names.scopes, self.scopes_in_a_header()),
        ];
        told.into_iter()
            .filter(|(_, value)| !value.is_empty())
            .filter_map(|(name, value)| Some((name.clone()?, value)))
            .collect()
    }

    fn scopes_in_a_header(&self) -> String {
        let len: usize = self
            .scopes
            .iter()
            .map(|scope| scope.as_str().len() + 1)
            .sum();
        let mut value = String::new();
        // A space goes before each but the first.
        if len > MAX_SCOPES_LEN + 1 {
            return value;
        }
        for scope in self.scopes.iter() {
            if !value.is_empty() {
                value.push(' ');
            }
            value.push_str(scope.as_str());
        }
        value
    }
}

/// `text` in visible ASCII: every other byte, the percent sign, and what joins and
/// quotes values of headers, is `%` and two digits of hexadecimal, as in URLs. Of
/// all that is told in headers, only a principal can have such.
fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"%,;\"".contains(&byte) {
            visible.push(char::from(byte));
        } else {
            // A string takes all that is written.
            let _ = write!(visible, "%{byte:02X}");
        }
    }
    visible
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::scope::Scope;

    fn scopes(texts: &[String]) -> ScopeSet {
        ScopeSet::new(
            texts
                .iter()
                .map(|text| Scope::try_from(text.as_str()).unwrap()),
        )
    }

    fn identity() -> Identity {
        Identity {
            key_id: "key_01".into(),
            key_name: "CRM sync".into(),
            principal: "user:ada".into(),
            workspace: "kling".into(),
            environment: "live".into(),
            scopes: scopes(&["read:a".into(), "write:b".into()]),
            metadata: vec![("team".into(), "crm".into())],
            superseded: None,
        }
    }

    fn told(identity: &Identity, names: &IdentityHeaders) -> Vec<String> {
        let headers = identity.headers(names);
        headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect()
    }

    #[test]
    fn an_identity_is_told_by_five_headers() {
        let names = IdentityHeaders::default();
        assert_eq!(
            told(&identity(), &names),
            [
                "x-keyward-key-id: key_01",
                "x-keyward-principal: user:ada",
                "x-keyward-workspace: kling",
                "x-keyward-environment: live",
                "x-keyward-scopes: read:a write:b",
            ]
        );
        assert_eq!(names.all().count(), 5);
    }

    #[test]
    fn what_there_is_none_of_is_told_by_no_header() {
        let bare = Identity {
            environment: String::new(),
            scopes: ScopeSet::default(),
            ..identity()
        };
        let names = IdentityHeaders {
            principal: None,
            workspace: Some(HeaderName::from_static("x-tenant")),
            ..IdentityHeaders::default()
        };
        assert_eq!(
            told(&bare, &names),
            ["x-keyward-key-id: key_01", "x-tenant: kling"]
        );
        assert_eq!(names.all().count(), 4);
    }

    #[test]
    fn scopes_that_are_too_long_are_left_out_whole() {
        // Each is 63 bytes and a space, but for the last.
        let some = |number: usize| -> Vec<String> {
            (0..number)
                .map(|n| format!("{n:03}{}", "x".repeat(60)))
                .collect()
        };
        for (number, told) in [(64, true), (65, false)] {
            let long = Identity {
                scopes: scopes(&some(number)),
                ..identity()
            };
            let headers = long.headers(&IdentityHeaders::default());
            let value = headers.iter().find(|(name, _)| name == "x-keyward-scopes");
            assert_eq!(value.is_some(), told, "{number}");
        }
        let full = Identity {
            scopes: scopes(&[some(63), vec!["y".repeat(64)]].concat()),
            ..identity()
        };
        assert_eq!(full.scopes_in_a_header().len(), MAX_SCOPES_LEN);
        let over = Identity {
            scopes: scopes(&[some(63), vec!["y".repeat(65)]].concat()),
            ..identity()
        };
        assert_eq!(over.scopes_in_a_header(), "");
    }

    #[test]
    fn values_are_visible_and_read_back_one_way() {
        for (text, expected) in [
            ("user:ada", "user:ada"),
            ("Ada Lovelace", "Ada%20Lovelace"),
            ("100%", "100%25"),
            ("a,b;c=\"d\"", "a%2Cb%3Bc=%22d%22"),
            ("jos\u{e9}", "jos%C3%A9"),
        ] {
            assert_eq!(visible(text), expected);
        }
    }

    proptest! {
        #[test]
        fn any_text_makes_a_header(text in "\\PC{0,40}|.{0,40}") {
            let visible = visible(&text);
            prop_assert!(HeaderValue::from_str(&visible).is_ok());
            let read: Vec<u8> = form_urlencoded::parse(format!("a={}", visible.replace('+', "%2B")).as_bytes())
                .next()
                .map(|(_, value)| value.into_owned().into_bytes())
                .unwrap_or_default();
            // What forms add to that are `&` and `+`, of which one is replaced.
            if !text.contains('&') {
                prop_assert_eq!(read, text.into_bytes());
            }
        }
    }
}
