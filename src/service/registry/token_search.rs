//! Whose tokens these are, which were found where they do not belong.

use crate::domain::admin::{ADMIN_TOKEN_PREFIX, Deed, Place};
use crate::domain::clock::Timestamp;
use crate::domain::digest::TokenDigest;
use crate::domain::id::{AdminKeyId, KeyId};
use crate::domain::key::KeyState;
use crate::domain::secret::{End, Secret};
use crate::domain::token::{self, Shape};
use crate::domain::violation::Violations;
use crate::store::{Record, RecordId, Versioned};

use super::super::admission::Actor;
use super::super::error::{Kind, RegistryError};
use super::admins::admin_in;
use super::{AdminKeyView, KeyView, Registry};

/// The most tokens of one call.
pub const MAX_TOKENS: usize = 250;

/// A token that was found, and whose it is as far as the caller may know.
#[derive(Clone, Debug)]
pub struct IdentifiedToken {
    /// What it is worth.
    pub state: TokenState,
    /// Whose it is; none, if nobody's that may be told.
    pub holder: Option<Holder>,
    /// What may be displayed of it; empty, if it is no token of keyward's.
    pub hint: String,
    /// When it stops working, or did, as another has taken its place.
    pub end_time: Option<Timestamp>,
}

/// Whose a token is.
#[derive(Clone, Debug)]
pub enum Holder {
    /// A key's.
    Key(Box<KeyView>),
    /// An admin key's.
    Admin(Box<AdminKeyView>),
}

/// What a token is worth to whoever has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenState {
    /// No key has it.
    Unknown,
    /// It works.
    Live,
    /// It does not work, and would if its key were switched on or given time.
    Dormant,
    /// It works never again.
    Ended,
    /// It may be of a key, or of an admin key, that the caller may not see.
    NotTold,
}

impl TokenState {
    /// What a token is worth whose key is in this state at `now`.
    fn of(secret: &Secret, key: KeyState, now: Timestamp) -> Self {
        match key {
            KeyState::Revoked => Self::Ended,
            _ if !secret.is_live(now) => Self::Ended,
            KeyState::Active => Self::Live,
            KeyState::Expired | KeyState::Disabled => Self::Dormant,
        }
    }
}

impl Registry {
    /// Tells whose each of `tokens` is, in their order.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Invalid`] if there are none or too many, or the store
    /// fails.
    pub async fn identify_tokens(
        &self,
        actor: &Actor,
        tokens: &[String],
    ) -> Result<Vec<IdentifiedToken>, RegistryError> {
        if tokens.is_empty() || tokens.len() > MAX_TOKENS {
            let told = format!("must be 1 to {MAX_TOKENS}, and are {}", tokens.len());
            return Err(Violations::of("tokens", told).into());
        }
        let mut identified = Vec::with_capacity(tokens.len());
        for token in tokens {
            identified.push(self.identify(actor, token.as_bytes()).await?);
        }
        Ok(identified)
    }

    async fn identify(
        &self,
        actor: &Actor,
        token: &[u8],
    ) -> Result<IdentifiedToken, RegistryError> {
        let unknown = |state| IdentifiedToken {
            state,
            holder: None,
            hint: token::hint_of(token).unwrap_or_default(),
            end_time: None,
        };
        if token::shape(token) != Shape::Native {
            return Ok(unknown(TokenState::Unknown));
        }
        let digest = self.hasher.digest(token);
        if token.starts_with(ADMIN_TOKEN_PREFIX.as_bytes()) {
            let sees_all = actor.admin().may(Deed::ManageAdmins, Place::System).is_ok();
            return Ok(match self.admin_of(actor, digest).await? {
                Some(found) => found.hinted(token),
                None if sees_all => unknown(TokenState::Unknown),
                None => unknown(TokenState::NotTold),
            });
        }
        let found = self.key_of(actor, digest).await?;
        // Nobody who sees less than all keys is told that a token is of none: it
        // may work elsewhere.
        let missing = match actor.workspace() {
            Some(_) => TokenState::NotTold,
            None => TokenState::Unknown,
        };
        Ok(found.map_or_else(|| unknown(missing), |found| found.hinted(token)))
    }

    /// The key whose token has this digest, if the caller may read it.
    async fn key_of(
        &self,
        actor: &Actor,
        digest: TokenDigest,
    ) -> Result<Option<IdentifiedToken>, RegistryError> {
        let Some(id) = self.visible_key(actor, digest) else {
            return Ok(None);
        };
        let found = self
            .read(RecordId::Key(id), Kind::Key, &id.to_string())
            .await?;
        // It may have been deleted in the meantime.
        let Some(Versioned {
            record: Record::Key(record),
            revision,
        }) = found
        else {
            return Ok(None);
        };
        let now = self.clock.now();
        let view = self.view(Versioned { record, revision }, now);
        let secrets = view.key.secrets.clone();
        let holder = Holder::Key(Box::new(view.clone()));
        Ok(identified(&secrets, digest, view.state, holder, now))
    }

    /// What is another workspace's is not even read.
    pub(super) fn visible_key(&self, actor: &Actor, digest: TokenDigest) -> Option<KeyId> {
        self.index.find(&digest, |key| {
            let key = key?;
            let own = actor.workspace();
            own.is_none_or(|own| key.workspace() == Some(own.as_str()))
                .then(|| key.id())
        })
    }

    /// The admin key whose token has this digest, if the caller may read it.
    async fn admin_of(
        &self,
        actor: &Actor,
        digest: TokenDigest,
    ) -> Result<Option<IdentifiedToken>, RegistryError> {
        let Some(id) = self.visible_admin(actor, digest) else {
            return Ok(None);
        };
        let found = self
            .read(RecordId::AdminKey(id), Kind::AdminKey, &id.to_string())
            .await?;
        let Some(found) = found.and_then(admin_in) else {
            return Ok(None);
        };
        let now = self.clock.now();
        let view = AdminKeyView::new(found, now);
        let secrets = view.admin.secrets.clone();
        let holder = Holder::Admin(Box::new(view.clone()));
        Ok(identified(&secrets, digest, view.state, holder, now))
    }

    /// As `GetAdminKey` has it: one's own, and those where one is OWNER.
    fn visible_admin(&self, actor: &Actor, digest: TokenDigest) -> Option<AdminKeyId> {
        let admin = self.index.admin(&digest)?;
        let may = admin.id == actor.admin().id
            || actor.admin().may(Deed::ManageAdmins, admin.place()).is_ok();
        may.then_some(admin.id)
    }
}

/// The token of this digest, among those of its holder; none, if it has taken
/// another since.
fn identified(
    secrets: &[Secret],
    digest: TokenDigest,
    state: KeyState,
    holder: Holder,
    now: Timestamp,
) -> Option<IdentifiedToken> {
    let secret = secrets.iter().find(|secret| secret.digest == digest)?;
    let end_time = match secret.end {
        Some(End::At { time, .. }) => Some(time),
        Some(End::Ended | End::AfterFirstUse { .. }) | None => None,
    };
    Some(IdentifiedToken {
        state: TokenState::of(secret, state, now),
        holder: Some(holder),
        hint: String::new(),
        end_time,
    })
}

impl IdentifiedToken {
    fn hinted(self, token: &[u8]) -> Self {
        Self {
            hint: token::hint_of(token).unwrap_or_default(),
            ..self
        }
    }
}
