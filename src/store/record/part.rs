//! What records are made of: secrets, revocations, scopes, environments.

use std::str::FromStr;
use std::time::Duration;

use crate::domain::clock::Timestamp;
use crate::domain::digest::{PepperId, TokenDigest};
use crate::domain::import::{Imported, ImportedForm};
use crate::domain::key::{Revocation, RevocationReason};
use crate::domain::scope::{Scope, ScopeSet};
use crate::domain::secret::{End, Secret};
use crate::domain::token::EnvironmentName;
use crate::domain::tombstone::Tombstone;
use crate::store::pb;

use super::Unreadable;

pub(super) fn encode_secret(secret: &Secret) -> pb::SecretRecord {
    pb::SecretRecord {
        digest: secret.digest.0.to_vec(),
        tail: match secret.imported {
            None => String::from_utf8_lossy(&secret.tail).into_owned(),
            Some(_) => String::new(),
        },
        create_time: secret.create_time.as_micros(),
        pepper_id: secret.pepper_id.0.to_vec(),
        // That it has ended says all.
        end_time: secret
            .end_time()
            .filter(|_| secret.end != Some(End::Ended))
            .map(Timestamp::as_micros),
        ended: secret.end == Some(End::Ended),
        overlap: secret.end.and_then(End::overlap).map(micros),
        imported: secret.imported.as_ref().map(encode_imported),
    }
}

fn encode_imported(imported: &Imported) -> pb::ImportRecord {
    pb::ImportRecord {
        form: match imported.form {
            ImportedForm::Token => 1,
            ImportedForm::Sha256 => 2,
            ImportedForm::Blake3 => 3,
        },
        hint: imported.hint.to_string(),
    }
}

fn decode_imported(record: &pb::ImportRecord) -> Result<Imported, Unreadable> {
    Ok(Imported {
        form: match record.form {
            1 => ImportedForm::Token,
            2 => ImportedForm::Sha256,
            3 => ImportedForm::Blake3,
            _ => return Err(bad("imported.form")),
        },
        hint: record.hint.as_str().into(),
    })
}

/// A span in microseconds.
pub(super) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn end(record: &pb::SecretRecord) -> Option<End> {
    let overlap = record.overlap.map(Duration::from_micros);
    match (record.ended, record.end_time, overlap) {
        (true, _, _) => Some(End::Ended),
        (false, Some(time), overlap) => Some(End::At {
            time: Timestamp::from_micros(time),
            overlap: overlap.unwrap_or_default(),
        }),
        (false, None, Some(overlap)) => Some(End::AfterFirstUse { overlap }),
        (false, None, None) => None,
    }
}

fn decode_secret(record: &pb::SecretRecord) -> Result<Secret, Unreadable> {
    let imported = record.imported.as_ref().map(decode_imported).transpose()?;
    let tail = match &imported {
        None => record.tail.as_bytes().try_into().map_err(|_| bad("tail"))?,
        Some(_) => [0; 4],
    };
    Ok(Secret {
        digest: TokenDigest(
            record
                .digest
                .as_slice()
                .try_into()
                .map_err(|_| bad("digest"))?,
        ),
        tail,
        create_time: Timestamp::from_micros(record.create_time),
        pepper_id: PepperId(
            record
                .pepper_id
                .as_slice()
                .try_into()
                .map_err(|_| bad("pepper_id"))?,
        ),
        end: end(record),
        imported,
    })
}

/// The digests of a key's tokens.
pub(super) fn secrets(records: &[pb::SecretRecord]) -> Result<Vec<Secret>, Unreadable> {
    records.iter().map(decode_secret).collect()
}

/// The end of what is buried.
pub(super) fn encode_deletion(tombstone: &Tombstone) -> pb::DeletionRecord {
    pb::DeletionRecord {
        time: tombstone.time.as_micros(),
        by: tombstone.by.clone(),
    }
}

pub(super) fn encode_revocation(revocation: &Revocation) -> pb::RevocationRecord {
    let reason = match revocation.reason {
        RevocationReason::Unspecified => 0,
        RevocationReason::Unused => 1,
        RevocationReason::Superseded => 2,
        RevocationReason::PrivilegeWithdrawn => 3,
        RevocationReason::Leaked => 4,
        RevocationReason::Abused => 5,
    };
    pb::RevocationRecord {
        time: revocation.time.as_micros(),
        reason,
        by: revocation.by.clone(),
        note: revocation.note.clone(),
    }
}

pub(super) fn decode_revocation(record: pb::RevocationRecord) -> Result<Revocation, Unreadable> {
    let reason = match record.reason {
        0 => RevocationReason::Unspecified,
        1 => RevocationReason::Unused,
        2 => RevocationReason::Superseded,
        3 => RevocationReason::PrivilegeWithdrawn,
        4 => RevocationReason::Leaked,
        5 => RevocationReason::Abused,
        _ => return Err(bad("revocation.reason")),
    };
    Ok(Revocation {
        time: Timestamp::from_micros(record.time),
        reason,
        by: record.by,
        note: record.note,
    })
}

pub(super) fn bad(field: &str) -> Unreadable {
    Unreadable(format!("its {field} is not acceptable"))
}

pub(super) fn read<T: FromStr>(field: &str, text: &str) -> Result<T, Unreadable> {
    text.parse().map_err(|_| bad(field))
}

pub(super) fn environment(text: &str) -> Result<EnvironmentName, Unreadable> {
    EnvironmentName::try_from(text).map_err(|_| bad("environment"))
}

pub(super) fn optional_environment(text: &str) -> Result<Option<EnvironmentName>, Unreadable> {
    if text.is_empty() {
        Ok(None)
    } else {
        environment(text).map(Some)
    }
}

pub(super) fn optional(name: Option<&EnvironmentName>) -> String {
    name.map(|name| name.as_str().to_owned())
        .unwrap_or_default()
}

pub(super) fn texts(scopes: &ScopeSet) -> Vec<String> {
    scopes
        .iter()
        .map(|scope| scope.as_str().to_owned())
        .collect()
}

pub(super) fn scopes(texts: &[String]) -> Result<ScopeSet, Unreadable> {
    let scopes = texts
        .iter()
        .map(|text| Scope::try_from(text.as_str()).map_err(|_| bad("scopes")));
    scopes.collect::<Result<Vec<_>, _>>().map(ScopeSet::new)
}
