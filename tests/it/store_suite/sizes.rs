//! How large records and groups can get.

use std::collections::BTreeMap;
use std::time::Duration;

use keyward::domain::admin::{AdminKey, Reach};
use keyward::domain::audit::{AuditAction, AuditEntry};
use keyward::domain::catalog::{MAX_CATALOG, MAX_CATALOG_LEN};
use keyward::domain::clock::Timestamp;
use keyward::domain::fields::{
    MAX_DESCRIPTION_LEN, MAX_METADATA, MAX_METADATA_LEN, MAX_NAME_LEN, MAX_NOTE_LEN,
    MAX_PRINCIPAL_LEN, MAX_SCOPES, MAX_SCOPES_LEN,
};
use keyward::domain::id::WorkspaceId;
use keyward::domain::import::{Imported, ImportedForm, MAX_HINT_LEN};
use keyward::domain::key::{self, Key};
use keyward::domain::key_draft::{KeyDraft, KeySpec};
use keyward::domain::limit::{
    LimitDraft, MAX_LIMIT_COUNT, MAX_LIMIT_NAME_LEN, MAX_LIMITS, MAX_WINDOW_SECS,
};
use keyward::domain::principal::PrincipalDraft;
use keyward::domain::rotation::{MAX_OVERLAP, MAX_PERIOD};
use keyward::domain::secret::End;
use keyward::domain::source::MAX_SOURCE_RANGES;
use keyward::domain::workspace::{
    MAX_DISPLAY_NAME_LEN, MAX_ENVIRONMENTS, Workspace, WorkspaceDraft,
};
use keyward::store::{Batch, Expect, Record, RecordId, Revision, StoreError, StoreHealth, Write};

use crate::records::{self, admin, create, revoked, secret, time, update};

use super::{Backend, Subject, list_keys};

suite! {
    what_is_too_large_changes_nothing
    records_at_every_limit_fit
    many_large_commits_are_split_into_groups
}

fn what_is_too_large_changes_nothing(backend: Backend) {
    let (subject, workspace) = Subject::with_workspace(backend);
    let before = subject.load();
    let small = records::key(&workspace, 1);
    let large = Key {
        description: "x".repeat(7_000),
        ..records::key(&workspace, 2)
    };
    let mut second_too_large = create(Record::Key(small.clone()));
    second_too_large.writes.push(Write {
        record: Record::Key(large.clone()),
        expect: Expect::Absent,
    });
    let mut entry_too_large = create(Record::Key(small.clone()));
    entry_too_large
        .audit
        .detail
        .insert("scopes".to_owned(), "x".repeat(7_000));

    for batch in [
        create(Record::Key(large)),
        second_too_large.clone(),
        entry_too_large,
    ] {
        let error = subject.commit(batch).unwrap_err();
        assert!(
            matches!(error, StoreError::TooLarge { len, max, .. } if len > 7_000 && max < 7_000),
            "{error}"
        );
        assert!(error.certainly_not_applied() && !error.retryable());
        assert_eq!(subject.load(), before);
        assert_eq!(
            list_keys(&*subject.store, Some(&workspace.id), None, 10).unwrap(),
            []
        );
    }

    // Nor does it harm what shares its group.
    let results =
        subject.commit_as_one_group(vec![second_too_large, create(Record::Key(small.clone()))]);
    assert!(
        matches!(
            results.as_slice(),
            [Err(StoreError::TooLarge { .. }), Ok(_)]
        ),
        "{results:?}"
    );
    assert_eq!(list_keys(&*subject.store, None, None, 10).unwrap(), [small]);
    let (revision, _) = subject.load();
    assert_eq!(revision, Revision(before.0.0 + 1));
    assert_eq!(subject.store.health().borrow().clone(), StoreHealth::Sound);
}

/// Guards the limits on fields against the limit on stored values.
fn records_at_every_limit_fit(backend: Backend) {
    let subject = backend();
    subject.load();
    let workspace = largest_workspace();
    subject
        .commit(create(Record::Workspace(workspace.clone())))
        .unwrap();

    let key = largest_key(&workspace, 1);
    let batch = largest_issue(&workspace, &key);
    let at = subject.commit(batch).unwrap();
    let mut revoked = revoked(&key);
    let end = revoked.revocation.as_mut().unwrap();
    end.by = key.created_by.clone();
    end.note = "n".repeat(MAX_NOTE_LEN);
    subject.commit(update(Record::Key(revoked), at)).unwrap();

    let found = subject
        .store
        .get(&RecordId::Principal(key.principal.clone()));
    let made = found.unwrap().unwrap().revision;
    subject.commit(largest_principal(&key, made)).unwrap();

    let largest_admin = AdminKey {
        name: "x".repeat(MAX_NAME_LEN),
        reach: Reach::Workspace(workspace.id),
        grant_ceiling: key.scopes.clone(),
        secrets: key.secrets,
        created_by: key.created_by,
        expire_time: Some(Timestamp::MAX),
        ..admin(2)
    };
    subject
        .commit(create(Record::AdminKey(largest_admin)))
        .unwrap();
    subject.load();
}

/// The issue of `key` with the principal and the membership, whose ceiling is as
/// large as that of an admin key can be, and credits.
fn largest_issue(workspace: &Workspace, key: &Key) -> Batch {
    let mut batch = records::issue(key.clone());
    for write in &mut batch.writes {
        if let Record::Membership(membership) = &mut write.record {
            membership.scope_ceiling = key.scopes.clone();
            membership.created_by = key.created_by.clone();
        }
    }
    let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let environment = key
        .environment
        .as_ref()
        .map(|name| name.as_str().to_owned())
        .unwrap();
    batch.audit.actor = key.created_by.clone();
    batch.audit.detail = BTreeMap::from([
        ("name".to_owned(), key.name.clone()),
        ("principal".to_owned(), key.principal.clone()),
        ("scopes".to_owned(), scopes.join(" ")),
        ("environment".to_owned(), environment),
        ("expire_time".to_owned(), Timestamp::MAX.to_string()),
        ("limits".to_owned(), key.limits.to_string()),
        (
            "source_addresses".to_owned(),
            key.source_addresses.to_string(),
        ),
        ("credits".to_owned(), largest_credits()),
        ("membership_made".to_owned(), scopes.join(" ")),
    ]);
    batch.beside = Some(AuditEntry {
        workspace: None,
        action: AuditAction::CreatePrincipal,
        resource: key.principal.clone(),
        detail: BTreeMap::from([
            ("call".to_owned(), "CreateKey".to_owned()),
            ("workspace".to_owned(), workspace.id.to_string()),
        ]),
        ..batch.audit.clone()
    });
    batch
}

fn largest_workspace() -> Workspace {
    let environments: Vec<_> = (0..MAX_ENVIRONMENTS)
        .map(|number| format!("{number:x>12}"))
        .collect();
    let draft = WorkspaceDraft {
        id: "w".repeat(WorkspaceId::MAX_LEN),
        display_name: "x".repeat(MAX_DISPLAY_NAME_LEN),
        token_prefix: "p".repeat(21),
        default_environment: environments[0].clone(),
        unmarked_environment: environments[1].clone(),
        environments,
        scope_catalog: (0..MAX_CATALOG).map(largest_scope).collect(),
        default_limits: largest_limits(),
        rotation_period: Some(MAX_PERIOD),
    };
    let workspace = draft
        .build(admin(0).id.to_string(), Timestamp::MAX)
        .unwrap();
    let catalog = workspace.scope_catalog.scopes();
    let length: usize = catalog.iter().map(|scope| scope.as_str().len()).sum();
    assert_eq!((catalog.len(), length), (MAX_CATALOG, MAX_CATALOG_LEN));
    workspace
}

/// A principal with every field as long as it can be made, and all that the
/// change of its limits tells.
fn largest_principal(key: &Key, made: Revision) -> Batch {
    let draft = PrincipalDraft {
        id: key.principal.clone(),
        display_name: "x".repeat(MAX_DISPLAY_NAME_LEN),
        description: "d".repeat(MAX_DESCRIPTION_LEN),
        limits: largest_limits(),
    };
    let actor = key.created_by.clone();
    let principal = draft.build(actor.clone(), Timestamp::MAX).unwrap();
    let fields = "display_name description limits".to_owned();
    let limits = principal.limits.to_string();
    let mut batch = update(Record::Principal(principal), made);
    batch.audit.actor = actor;
    batch.audit.detail = BTreeMap::from([
        ("fields".to_owned(), fields),
        ("limits_before".to_owned(), limits.clone()),
        ("limits".to_owned(), limits),
    ]);
    batch
}

/// The text of a balance as long as can be, with its refill.
fn largest_credits() -> String {
    format!("{} MONTHLY={}", u64::MAX, u64::MAX)
}

/// As many limits as there can be, each as large as can be.
fn largest_limits() -> Vec<LimitDraft> {
    let largest = |number: usize| LimitDraft {
        name: format!("{number:l>MAX_LIMIT_NAME_LEN$}"),
        count: MAX_LIMIT_COUNT,
        window: Duration::from_secs(MAX_WINDOW_SECS.into()),
        always: true,
    };
    (0..MAX_LIMITS).map(largest).collect()
}

/// A scope of a catalog as large as can be, of which the first are as many and
/// as long as a key's can be.
fn largest_scope(number: usize) -> String {
    let longer = number % MAX_SCOPES < MAX_SCOPES_LEN % MAX_SCOPES;
    let len = MAX_SCOPES_LEN / MAX_SCOPES + usize::from(longer);
    format!("{number:s>len$}")
}

/// A range that is written as long as can be.
fn largest_range(number: usize) -> String {
    format!(
        "2001:db8:1111:2222:3333:4444:5555:{:x}/128",
        0xf000 + number
    )
}

/// The same of a token that was imported.
fn imported(secret: key::Secret) -> key::Secret {
    key::Secret {
        imported: Some(Imported {
            form: ImportedForm::Blake3,
            hint: "h".repeat(MAX_HINT_LEN).into(),
        }),
        tail: [0; 4],
        ..secret
    }
}

/// A key with every field as long as it can be made, and two secrets.
fn largest_key(workspace: &Workspace, number: u64) -> Key {
    let entry = |number: usize| {
        (
            format!("{number:n>4}"),
            "v".repeat(MAX_METADATA_LEN / MAX_METADATA - 4),
        )
    };
    let draft = KeyDraft {
        workspace: workspace.id.to_string(),
        token_prefix: String::new(),
        environment: workspace.environments[0].as_str().to_owned(),
        principal: "p".repeat(MAX_PRINCIPAL_LEN),
        name: "x".repeat(MAX_NAME_LEN),
        description: "d".repeat(MAX_DESCRIPTION_LEN),
        scopes: (0..MAX_SCOPES).map(largest_scope).collect(),
        metadata: (0..MAX_METADATA).map(entry).collect(),
        expire_time: Some(Timestamp::MAX),
        credits: None,
        request_id: String::new(),
        limits: largest_limits(),
        source_addresses: (0..MAX_SOURCE_RANGES).map(largest_range).collect(),
    };
    let KeySpec {
        bond,
        environment,
        scopes,
        limits,
        source_addresses,
        ..
    } = draft.check(workspace, time(0)).unwrap();
    let length: usize = scopes.iter().map(|scope| scope.as_str().len()).sum();
    assert_eq!((scopes.len(), length), (MAX_SCOPES, MAX_SCOPES_LEN));
    let secret = |number| key::Secret {
        create_time: Timestamp::MAX,
        end: Some(End::At {
            time: Timestamp::MAX,
            overlap: MAX_OVERLAP,
        }),
        ..secret(number)
    };
    Key {
        bond,
        environment,
        principal: draft.principal,
        name: draft.name,
        description: draft.description,
        scopes,
        metadata: draft.metadata,
        secrets: vec![imported(secret(2 * number)), secret(2 * number + 1)],
        create_time: Timestamp::MAX,
        created_by: admin(0).id.to_string(),
        expire_time: draft.expire_time,
        disabled: true,
        limits,
        source_addresses,
        ..records::key(workspace, number)
    }
}

/// A group's batch has to stay smaller than a segment of the log.
fn many_large_commits_are_split_into_groups(backend: Backend) {
    const COMMITS: u64 = 2_600;
    let subject = backend();
    subject.load();
    let workspace = largest_workspace();
    subject
        .commit(create(Record::Workspace(workspace.clone())))
        .unwrap();
    let (start, _) = subject.load();
    let model = largest_key(&workspace, 0);
    let groups = subject.gate.passed();

    let large = |number| {
        let small = records::key(&workspace, number);
        Key {
            id: small.id,
            secrets: small.secrets,
            ..model.clone()
        }
    };
    let results = subject.commit_at_once(
        (0..COMMITS)
            .map(|number| create(Record::Key(large(number))))
            .collect(),
    );
    let mut revisions: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    revisions.sort_unstable();
    assert_eq!(
        revisions,
        (start.0 + 1..=start.0 + COMMITS)
            .map(Revision)
            .collect::<Vec<_>>()
    );
    let groups = subject.gate.passed() - groups;
    assert!(
        groups >= 30,
        "more than 12 MB in groups of at most 400 KB, not in {groups}"
    );
    assert_eq!(subject.load().0, Revision(start.0 + COMMITS));
}
