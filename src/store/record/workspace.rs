//! Workspaces, and what is left of them.

use std::time::Duration;

use crate::domain::catalog::ScopeCatalog;
use crate::domain::clock::Timestamp;
use crate::domain::rotation::USUAL_PERIOD;
use crate::domain::token::TokenPrefix;
use crate::domain::tombstone::{Buried, Tombstone};
use crate::domain::workspace::Workspace;
use crate::store::{Record, pb};

use super::Unreadable;
use super::limit::{decode_limits, encode_limits};
use super::part::{
    bad, encode_deletion, environment, micros, optional, optional_environment, read, scopes, texts,
};

pub(super) fn encode(workspace: &Workspace) -> pb::WorkspaceRecord {
    pb::WorkspaceRecord {
        id: workspace.id.to_string(),
        display_name: workspace.display_name.clone(),
        token_prefix: workspace.token_prefix.as_str().to_owned(),
        environments: workspace
            .environments
            .iter()
            .map(|name| name.as_str().to_owned())
            .collect(),
        default_environment: optional(workspace.default_environment.as_ref()),
        unmarked_environment: optional(workspace.unmarked_environment.as_ref()),
        create_time: workspace.create_time.as_micros(),
        created_by: workspace.created_by.clone(),
        disabled: workspace.disabled,
        scope_catalog: texts(workspace.scope_catalog.scopes()),
        deletion: None,
        default_limits: encode_limits(&workspace.default_limits),
        rotation_period: micros(workspace.rotation_period),
    }
}

pub(super) fn decode(record: pb::WorkspaceRecord) -> Result<Record, Unreadable> {
    if let Some(deletion) = record.deletion {
        return Ok(Record::Tombstone(Tombstone {
            of: Buried::Workspace(read("id", &record.id)?),
            time: Timestamp::from_micros(deletion.time),
            by: deletion.by,
        }));
    }
    Ok(Record::Workspace(Workspace {
        id: read("id", &record.id)?,
        display_name: record.display_name,
        token_prefix: TokenPrefix::try_from(record.token_prefix.as_str())
            .map_err(|_| bad("token_prefix"))?,
        environments: record
            .environments
            .iter()
            .map(|name| environment(name))
            .collect::<Result<_, _>>()?,
        default_environment: optional_environment(&record.default_environment)?,
        unmarked_environment: optional_environment(&record.unmarked_environment)?,
        create_time: Timestamp::from_micros(record.create_time),
        created_by: record.created_by,
        disabled: record.disabled,
        scope_catalog: ScopeCatalog::new(scopes(&record.scope_catalog)?),
        default_limits: decode_limits(&record.default_limits)?,
        rotation_period: match record.rotation_period {
            0 => USUAL_PERIOD,
            micros => Duration::from_micros(micros),
        },
    }))
}

/// What is stored of a workspace that was deleted.
pub(super) fn bury(tombstone: &Tombstone) -> pb::WorkspaceRecord {
    let mut record = pb::WorkspaceRecord {
        deletion: Some(encode_deletion(tombstone)),
        ..pb::WorkspaceRecord::default()
    };
    if let Buried::Workspace(id) = &tombstone.of {
        record.id = id.to_string();
    }
    record
}
