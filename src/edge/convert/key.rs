//! Keys.

use crate::domain::clock::Timestamp;
use crate::domain::import::ImportedForm;
use crate::domain::key_draft::{KeyDraft, KeyPatch};
use crate::domain::violation::Violations;
use crate::service::registry::{KeyFilter, KeyView, PageQuestion, RotationView, UnusedFilter};

use super::{
    credits, key_state, limit, mask, pb, read_filter_time, read_time, usage,
    wire_revocation_reason, wire_span, wire_state, wire_time,
};

/// What the issuer of a key asks for.
pub(in crate::edge) fn draft(request: pb::CreateKeyRequest) -> KeyDraft {
    KeyDraft {
        workspace: request.workspace,
        token_prefix: request.token_prefix,
        environment: request.environment,
        principal: request.principal,
        name: request.name,
        description: request.description,
        scopes: request.scopes,
        metadata: request.metadata,
        expire_time: request.expire_time.map(read_time),
        credits: request.credits.as_ref().map(credits::draft),
        request_id: request.request_id,
        limits: limit::drafts(request.limits),
        source_addresses: request.source_addresses,
    }
}

/// What an update is to change.
pub(in crate::edge) fn patch(
    key: pb::Key,
    update_mask: Option<prost_types::FieldMask>,
) -> Result<KeyPatch, Violations> {
    let known = [
        "name",
        "description",
        "scopes",
        "metadata",
        "expire_time",
        "limits",
        "source_addresses",
    ];
    let paths = mask(update_mask, &known)?;
    let named = |field| paths.iter().any(|path| path == field);
    Ok(KeyPatch {
        name: named("name").then_some(key.name),
        description: named("description").then_some(key.description),
        scopes: named("scopes").then_some(key.scopes),
        metadata: named("metadata").then_some(key.metadata),
        expire_time: named("expire_time").then_some(key.expire_time.map(read_time)),
        limits: named("limits").then(|| limit::drafts(key.limits)),
        source_addresses: named("source_addresses").then_some(key.source_addresses),
    })
}

/// Which keys are asked for, and which page of them.
pub(in crate::edge) fn question(
    request: pb::ListKeysRequest,
) -> Result<(KeyFilter, PageQuestion), Violations> {
    let mut violations = Violations::default();
    let filter = KeyFilter {
        workspace: request.workspace,
        principal: request.principal,
        state: key_state(request.state)?,
        environment: request.environment,
        scope: request.scope,
        expiring_before: read_filter_time(
            &mut violations,
            "expiring_before",
            request.expiring_before,
        ),
        rotation_due_before: read_filter_time(
            &mut violations,
            "rotation_due_before",
            request.rotation_due_before,
        ),
        unused: UnusedFilter {
            since: read_filter_time(&mut violations, "unused_since", request.unused_since),
            never: request.never_used,
        },
    };
    let page = PageQuestion {
        size: request.page_size,
        token: request.page_token,
    };
    violations.none().map(|()| (filter, page))
}

/// A key as it is shown.
pub(in crate::edge) fn shown(view: KeyView) -> pb::Key {
    let key = view.key;
    let workspace = key.workspace().map(ToString::to_string);
    let revocation = key.revocation;
    let (revoked_by, note) = revocation
        .as_ref()
        .map(|end| (end.by.clone(), end.note.clone()))
        .unwrap_or_default();
    let reason = revocation
        .as_ref()
        .map_or(pb::RevocationReason::Unspecified, |end| {
            wire_revocation_reason(end.reason)
        });
    pb::Key {
        id: key.id.to_string(),
        personal: workspace.is_none(),
        workspace: workspace.unwrap_or_default(),
        effective_scopes: view.effective_scopes.map(|scopes| pb::EffectiveScopes {
            scopes: scopes.iter().map(ToString::to_string).collect(),
        }),
        environment: key
            .environment
            .map(|name| name.as_str().to_owned())
            .unwrap_or_default(),
        principal: key.principal,
        name: key.name,
        description: key.description,
        scopes: key.scopes.iter().map(ToString::to_string).collect(),
        metadata: key.metadata,
        state: wire_state(view.state).into(),
        hint: view.hint,
        create_time: Some(wire_time(key.create_time)),
        created_by: key.created_by,
        expire_time: key.expire_time.map(wire_time),
        revoke_time: revocation.map(|end| wire_time(end.time)),
        revocation_reason: reason.into(),
        revoked_by,
        revocation_note: note,
        etag: view.etag,
        disabled: key.disabled,
        limits: limit::shown(&key.limits),
        source_addresses: key
            .source_addresses
            .iter()
            .map(ToString::to_string)
            .collect(),
        credits: view.credits.map(credits::shown),
        rotation: view.rotation.map(rotation),
        imported: view.imported.map(imported),
        rotate_time: view.rotate_time.map(wire_time),
        rotation_due_time: view.rotation_due_time.map(wire_time),
        usage: view.usage.as_ref().map(usage::shown),
    }
}

fn imported((form, time): (ImportedForm, Timestamp)) -> pb::ImportedToken {
    let form = match form {
        ImportedForm::Token => pb::ImportedForm::Token,
        ImportedForm::Sha256 => pb::ImportedForm::Sha256,
        ImportedForm::Blake3 => pb::ImportedForm::Blake3,
    };
    pb::ImportedToken {
        form: form.into(),
        import_time: Some(wire_time(time)),
    }
}

fn rotation(view: RotationView) -> pb::Rotation {
    pb::Rotation {
        new_hint: view.new_hint,
        old_hint: view.old_hint,
        start_time: Some(wire_time(view.start_time)),
        old_end_time: view.old_end_time.map(wire_time),
        overlap: Some(wire_span(view.overlap)),
    }
}
