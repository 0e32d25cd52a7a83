//! A key as the index holds it: what checks look at side by side, what many
//! keys share held once, and the rest in one run of bytes.

use std::sync::Arc;

use crate::domain::clock::Timestamp;
use crate::domain::id::KeyId;
use crate::domain::key::{Key, Secret};
use crate::domain::limit::LimitSet;
use crate::domain::scope::ScopeSet;
use crate::domain::source::PackedRanges;
use crate::domain::token;
use crate::domain::verdict::Standing;
use crate::domain::workspace::Workspace;

use super::IndexedWorkspace;
use super::credits::CreditAccount;
use super::interner::Interner;
use super::rotating::Rotating;

/// A key, as one of its tokens finds it.
#[derive(Debug)]
pub struct IndexedKey {
    id: KeyId,
    expire_time: Option<Timestamp>,
    workspace: Arc<IndexedWorkspace>,
    scopes: Arc<ScopeSet>,
    limits: Arc<LimitSet>,
    environment: Arc<str>,
    /// The ranges that the key is confined to, and behind them its texts.
    run: Box<[u8]>,
    /// Apart, as few keys are being rotated at a time.
    rotating: Option<Box<Rotating>>,
    credits: Option<Arc<CreditAccount>>,
    tail: [u8; 4],
    revoked: bool,
    disabled: bool,
    /// How many ranges there are.
    ranges: u8,
}

impl IndexedKey {
    /// Packs `key` as `secret`, one of its tokens, finds it.
    pub(super) fn new(
        key: &Key,
        secret: &Secret,
        workspace: Arc<IndexedWorkspace>,
        shared: &mut Shared,
    ) -> Self {
        let environment = key.environment.as_ref().map_or("", |name| name.as_str());
        let mut run = key.source_addresses.pack();
        Text::pack(key, &mut run);
        Self {
            id: key.id,
            // The token is dead with its key, or before.
            expire_time: key.expire_time.into_iter().chain(secret.end_time()).min(),
            workspace,
            scopes: shared
                .scopes
                .intern(&key.scopes, |scopes| Arc::new(scopes.clone())),
            limits: shared
                .limits
                .intern(&key.limits, |limits| Arc::new(limits.clone())),
            environment: shared
                .environments
                .intern(environment, |name| Arc::from(name)),
            run: run.into(),
            rotating: Rotating::of(key, secret).map(Box::new),
            credits: None,
            tail: secret.tail,
            revoked: key.revocation.is_some(),
            disabled: key.disabled,
            // Records have at most 16.
            ranges: u8::try_from(key.source_addresses.len()).unwrap_or(u8::MAX),
        }
    }

    /// The same key with the credits that all of its tokens share.
    pub(super) fn with_credits(mut self, credits: Option<Arc<CreditAccount>>) -> Self {
        self.credits = credits;
        self
    }

    /// The credits of the key; none: it needs none.
    #[must_use]
    pub const fn credits(&self) -> Option<&Arc<CreditAccount>> {
        self.credits.as_ref()
    }

    /// The id.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The name for people.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text().name()
    }

    /// Whoever acts with the key.
    #[must_use]
    pub fn principal(&self) -> &str {
        self.text().principal()
    }

    /// The id of the workspace that the key is bound to.
    #[must_use]
    pub fn workspace(&self) -> &str {
        &self.workspace.id
    }

    /// The environment of the key; empty: none.
    #[must_use]
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// What the key may do.
    #[must_use]
    pub fn scopes(&self) -> &ScopeSet {
        &self.scopes
    }

    /// What is handed to the gateway, by name.
    #[must_use]
    pub fn metadata(&self) -> Metadata<'_> {
        self.text().metadata()
    }

    /// Where requests with the key may come from. What is nobody's business but
    /// the verdict's costs a key without any one comparison.
    #[must_use]
    pub fn sources(&self) -> PackedRanges<'_> {
        PackedRanges::new(self.parts().0)
    }

    fn text(&self) -> Text<'_> {
        Text(self.parts().1)
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        let ranges = PackedRanges::len_of(usize::from(self.ranges));
        self.run.split_at(ranges.min(self.run.len()))
    }

    /// When the token stops working: with the key, or before.
    #[must_use]
    pub const fn expire_time(&self) -> Option<Timestamp> {
        self.expire_time
    }

    /// The rotation of the key, if it has one; perhaps it is over by now.
    #[must_use]
    pub fn rotating(&self) -> Option<&Rotating> {
        self.rotating.as_deref()
    }

    /// What may be displayed of the token.
    #[must_use]
    pub fn hint(&self) -> String {
        let workspace = self.workspace.current.load();
        let unmarked = workspace
            .unmarked_environment
            .as_ref()
            .map_or("", |name| name.as_str());
        let mark = Some(self.environment()).filter(|name| !name.is_empty() && *name != unmarked);
        token::hint(workspace.token_prefix.as_str(), mark, self.tail)
    }

    /// Hands what the verdict looks at to `judge`.
    pub fn with_standing<T>(&self, judge: impl FnOnce(Standing<'_>) -> T) -> T {
        let workspace = self.workspace.current.load();
        judge(Standing {
            workspace: self.workspace(),
            workspace_disabled: workspace.disabled,
            default_environment: default_environment(&workspace),
            environment: self.environment(),
            revoked: self.revoked,
            expire_time: self.expire_time,
            disabled: self.disabled,
            scopes: self.scopes(),
            limits: &self.limits,
            default_limits: &workspace.default_limits,
            sources: self.sources(),
        })
    }
}

fn default_environment(workspace: &Workspace) -> &str {
    workspace
        .default_environment
        .as_ref()
        .map_or("", |name| name.as_str())
}

/// What keys share.
#[derive(Debug)]
pub(super) struct Shared {
    scopes: Interner<ScopeSet>,
    limits: Interner<LimitSet>,
    environments: Interner<str>,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            scopes: Interner::new(),
            limits: Interner::new(),
            environments: Interner::new(),
        }
    }
}

/// Name, principal and metadata, each behind its length in one byte: the
/// limits on the fields of a key see to it that one is enough.
struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    fn pack(key: &Key, bytes: &mut Vec<u8>) {
        let entries = key.metadata.iter().flat_map(|(name, value)| [name, value]);
        for text in [&key.name, &key.principal].into_iter().chain(entries) {
            push(bytes, text);
        }
    }

    fn name(&self) -> &'a str {
        pull(self.0).0
    }

    fn principal(&self) -> &'a str {
        pull(pull(self.0).1).0
    }

    fn metadata(&self) -> Metadata<'a> {
        Metadata(pull(pull(self.0).1).1)
    }
}

/// The metadata of a key, by name.
#[derive(Clone, Debug)]
pub struct Metadata<'a>(&'a [u8]);

impl<'a> Iterator for Metadata<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let (name, rest) = pull(self.0);
        let (value, rest) = pull(rest);
        self.0 = rest;
        Some((name, value))
    }
}

/// A text too long for its length byte is cut at a character: it names things
/// for people and decides nothing.
fn push(bytes: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(usize::from(u8::MAX))];
    bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    bytes.extend(text.as_bytes());
}

fn pull(bytes: &[u8]) -> (&str, &[u8]) {
    let Some((length, rest)) = bytes.split_first() else {
        return ("", &[]);
    };
    let (text, rest) = rest.split_at(usize::from(*length).min(rest.len()));
    (std::str::from_utf8(text).unwrap_or_default(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn texts_come_out_as_they_went_in(texts in proptest::collection::vec(".{0,60}", 0..20)) {
            let mut bytes = Vec::new();
            texts.iter().for_each(|text| push(&mut bytes, text));
            let mut rest = bytes.as_slice();
            for text in &texts {
                let (pulled, behind) = pull(rest);
                prop_assert_eq!(pulled, text);
                rest = behind;
            }
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn an_overlong_text_is_cut_between_characters() {
        let mut bytes = Vec::new();
        push(&mut bytes, &"ä".repeat(200));
        assert_eq!(pull(&bytes), ("ä".repeat(127).as_str(), [].as_slice()));
    }
}
