//! Imports of keys.

use zeroize::Zeroizing;

use crate::domain::digest::HashAlgorithm;
use crate::domain::id::KeyId;
use crate::domain::import::{Given, ImportDraft};
use crate::domain::key_draft::KeyDraft;
use crate::domain::violation::Violations;
use crate::service::registry::ImportOutcome;

use super::{credits, limit, pb, read_time};

/// What the importer of a key into `workspace` asks for.
pub(in crate::edge) fn draft(key: pb::ImportKey, workspace: &str) -> ImportDraft {
    ImportDraft {
        given: given(key.token, key.hash),
        disabled: key.disabled,
        key: KeyDraft {
            workspace: workspace.to_owned(),
            environment: key.environment,
            principal: key.principal,
            name: key.name,
            description: key.description,
            scopes: key.scopes,
            metadata: key.metadata,
            expire_time: key.expire_time.map(read_time),
            credits: key.credits.as_ref().map(credits::draft),
            limits: limit::drafts(key.limits),
            source_addresses: key.source_addresses,
            ..KeyDraft::default()
        },
    }
}

fn given(token: String, hash: Option<pb::TokenHash>) -> Given {
    let token = Zeroizing::new(token);
    match hash {
        None if !token.is_empty() => Given::Token(token),
        Some(hash) if token.is_empty() => Given::Hash {
            algorithm: match hash.algorithm() {
                pb::HashAlgorithm::Unspecified => None,
                pb::HashAlgorithm::Sha256 => Some(HashAlgorithm::Sha256),
                pb::HashAlgorithm::Blake3 => Some(HashAlgorithm::Blake3),
            },
            value: Zeroizing::new(hash.value),
            hint: hash.hint,
        },
        Some(_) | None => Given::Unclear,
    }
}

/// What became of the key of this number.
pub(in crate::edge) fn result(number: u64, outcome: ImportOutcome) -> pb::ImportResult {
    let told = |key: Option<KeyId>| key.map(|key| key.to_string()).unwrap_or_default();
    let result = |outcome: pb::ImportOutcome| pb::ImportResult {
        number,
        outcome: outcome.into(),
        ..pb::ImportResult::default()
    };
    match outcome {
        ImportOutcome::Imported { key, warning } => pb::ImportResult {
            key_id: told(key),
            warnings: warning.into_iter().collect(),
            ..result(pb::ImportOutcome::Imported)
        },
        ImportOutcome::Already { key, differs } => pb::ImportResult {
            key_id: key.to_string(),
            differs,
            ..result(pb::ImportOutcome::AlreadyImported)
        },
        ImportOutcome::Reserved { key } => pb::ImportResult {
            key_id: told(key),
            ..result(pb::ImportOutcome::Reserved)
        },
        ImportOutcome::Refused(violations) => pb::ImportResult {
            violations: shown(&violations),
            ..result(pb::ImportOutcome::Refused)
        },
        ImportOutcome::Beyond(error) => pb::ImportResult {
            violations: shown(&Violations::of("scopes", error.to_string())),
            ..result(pb::ImportOutcome::Refused)
        },
    }
}

fn shown(violations: &Violations) -> Vec<pb::ImportViolation> {
    let shown = violations.iter().map(|violation| pb::ImportViolation {
        field: violation.field.clone(),
        description: violation.description.clone(),
    });
    shown.collect()
}
