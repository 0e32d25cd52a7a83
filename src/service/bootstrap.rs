//! OWNERs of the system that nobody called for: the first one, and the one
//! that takes over when the last is lost.

use crate::domain::admin::{ADMIN_TOKEN_PREFIX, AdminKey, Reach, Role};
use crate::domain::audit::{AuditAction, AuditEntry, OFFLINE};
use crate::domain::clock::Timestamp;
use crate::domain::digest::Pepper;
use crate::domain::id::AdminKeyId;
use crate::domain::scope::{Scope, ScopeSet};
use crate::domain::secret::Secret;
use crate::domain::token::{LabelError, Token, TokenPrefix};
use crate::store::{Batch, Expect, Record, Write};

/// Mints the token of an admin key.
///
/// # Errors
///
/// None in fact: the prefix is a constant, and a test mints one.
pub fn mint_admin_token() -> Result<Token, LabelError> {
    TokenPrefix::try_from(ADMIN_TOKEN_PREFIX).map(|prefix| Token::mint(&prefix, None))
}

/// The change that makes `token` that of the first OWNER of the system, who may
/// hand out any scope.
#[must_use]
pub fn first_owner(token: &Token, pepper: &Pepper, now: Timestamp) -> Batch {
    owner(token, pepper, now, "first owner", AuditAction::Init)
}

/// The change that makes `token` that of another OWNER of the system, where
/// all others may be lost. They stay as they are.
#[must_use]
pub fn recovered_owner(token: &Token, pepper: &Pepper, now: Timestamp) -> Batch {
    owner(token, pepper, now, "recovered owner", AuditAction::Recover)
}

fn owner(token: &Token, pepper: &Pepper, now: Timestamp, name: &str, action: AuditAction) -> Batch {
    let id = AdminKeyId::generate(now);
    let secret = Secret {
        digest: pepper.token_hasher().digest(token.expose().as_bytes()),
        tail: token.tail(),
        create_time: now,
        pepper_id: pepper.id(),
        end: None,
        imported: None,
    };
    let owner = AdminKey {
        id,
        name: name.to_owned(),
        role: Role::Owner,
        reach: Reach::System,
        grant_ceiling: Scope::try_from("*").into_iter().collect::<ScopeSet>(),
        secrets: vec![secret],
        create_time: now,
        created_by: String::new(),
        expire_time: None,
        disabled: false,
        revocation: None,
    };
    Batch {
        writes: vec![Write {
            record: Record::AdminKey(owner),
            expect: Expect::Absent,
        }],
        requires: Vec::new(),
        audit: AuditEntry {
            workspace: None,
            time: now,
            actor: OFFLINE.to_owned(),
            action,
            resource: id.to_string(),
            detail: [("role".to_owned(), Role::Owner.to_string())].into(),
        },
        beside: None,
    }
}
