//! A store full of keys, and their tokens: made once and kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use keyward::domain::audit::{AuditAction, AuditEntry, OFFLINE};
use keyward::domain::clock::{Clock, SystemClock};
use keyward::domain::digest::Pepper;
use keyward::domain::id::KeyId;
use keyward::domain::key::{Key, Secret};
use keyward::domain::key_draft::KeyDraft;
use keyward::domain::principal::{Membership, Principal};
use keyward::domain::scope::{Scope, ScopeSet};
use keyward::domain::token::Token;
use keyward::domain::workspace::{Workspace, WorkspaceDraft};
use keyward::store::home::Home;
use keyward::store::{Batch, Expect, Record, Store, Write};
use tokio::task::JoinSet;

use crate::Result;

/// What every key may do. The first of them is what the questions require.
pub(crate) const SCOPES: [&str; 3] = ["read:customers", "write:orders", "people:read"];

/// What every key is of.
pub(crate) const WORKSPACE: &str = "bench";

/// Enough for the store to sync many commits at once.
const IN_FLIGHT: usize = 1_024;

/// The principal of the key of that number.
pub(crate) fn principal(number: usize) -> String {
    format!("user:{number}")
}

/// The tokens of the `count` keys in the store in `folder`, which is made if
/// it is not there. What an interrupted run has left is thrown away.
pub(crate) fn tokens(folder: &Path, count: usize) -> Result<Vec<String>> {
    let list = folder.join("tokens");
    if let Ok(text) = fs::read_to_string(&list) {
        return Ok(text.lines().map(str::to_owned).collect());
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    println!(
        "making a store of {count} keys in {}, once",
        folder.display()
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tokens = fill(&runtime, folder, count)?;
    // Last, for it says that the store is whole.
    fs::write(&list, tokens.join("\n"))?;
    Ok(tokens)
}

/// Makes `folder` a copy of the store in `from`, of the same keys, unless it is
/// there. Nobody serves either.
pub(crate) fn copy(from: &Path, folder: &Path) -> Result<()> {
    if folder.join("tokens").exists() || from == folder {
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    copy_within(from, folder)?;
    // Last, for it says that the copy is whole.
    fs::copy(from.join("tokens"), folder.join("tokens"))?;
    Ok(())
}

fn copy_within(from: &Path, to: &Path) -> Result<()> {
    // The guard's folder is refused if others can read it.
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, place) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_within(&path, &place)?;
        } else if entry.file_name() != "tokens" {
            fs::copy(&path, &place)?;
        }
    }
    Ok(())
}

/// Makes the store and commits the keys, each by itself, as the server would.
fn fill(runtime: &tokio::runtime::Runtime, folder: &Path, count: usize) -> Result<Vec<String>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let workspace = WorkspaceDraft {
        id: WORKSPACE.to_owned(),
        token_prefix: "klg".to_owned(),
        environments: vec!["live".to_owned(), "test".to_owned()],
        ..WorkspaceDraft::default()
    };
    let workspace = workspace
        .build(OFFLINE.to_owned(), clock.now())
        .map_err(|violations| format!("{violations:?}"))?;
    let home = Home::new(folder.join("data/store"), folder.join("guard"))?;
    let first = |_: &Pepper| {
        let record = Record::Workspace(workspace.clone());
        batch(&workspace, &*clock, AuditAction::CreateWorkspace, record)
    };
    runtime.block_on(home.init(Arc::clone(&clock), first))?;

    let (store, pepper) = home.open(Arc::clone(&clock))?;
    store.snapshot()?.try_for_each(|record| record.map(drop))?;
    let store = Arc::new(store);
    let hand = Arc::new(Hand {
        workspace,
        pepper,
        clock,
    });
    let tokens = runtime.block_on(async {
        let mut tokens = vec![String::new(); count];
        let mut commits = JoinSet::new();
        for number in 0..count {
            if commits.len() == IN_FLIGHT {
                keep(&mut tokens, commits.join_next().await)?;
            }
            let (store, hand) = (Arc::clone(&store), Arc::clone(&hand));
            commits.spawn(async move {
                let (token, batch) = hand.issue(number)?;
                store
                    .commit(batch)
                    .await
                    .map_err(|error| error.to_string())?;
                Ok((number, token))
            });
        }
        while let Some(commit) = commits.join_next().await {
            keep(&mut tokens, Some(commit))?;
        }
        Ok(tokens)
    });
    store.close();
    tokens
}

type Issued = std::result::Result<(usize, String), String>;

fn keep(
    tokens: &mut [String],
    commit: Option<std::result::Result<Issued, tokio::task::JoinError>>,
) -> Result<()> {
    if let Some(commit) = commit {
        let (number, token) = commit??;
        tokens[number] = token;
    }
    Ok(())
}

/// What it takes to issue a key.
struct Hand {
    workspace: Workspace,
    pepper: Pepper,
    clock: Arc<dyn Clock>,
}

impl Hand {
    /// What is kept of a token.
    fn secret(&self, token: &Token) -> Secret {
        Secret {
            digest: self.pepper.token_hasher().digest(token.expose().as_bytes()),
            tail: token.tail(),
            create_time: self.clock.now(),
            pepper_id: self.pepper.id(),
            end: None,
            imported: None,
        }
    }

    fn issue(&self, number: usize) -> std::result::Result<(String, Batch), String> {
        let now = self.clock.now();
        let draft = KeyDraft {
            principal: principal(number),
            name: format!("key {number}"),
            scopes: SCOPES.map(str::to_owned).to_vec(),
            ..KeyDraft::default()
        };
        let spec = draft
            .check(&self.workspace, now)
            .map_err(|violations| format!("{violations:?}"))?;
        let token = Token::mint(
            &self.workspace.token_prefix,
            self.workspace.mark(spec.environment.as_ref()),
        );
        let principal = Principal::plain(&draft.principal, OFFLINE.to_owned(), now);
        let membership = Membership {
            workspace: self.workspace.id.clone(),
            principal: draft.principal.clone(),
            scope_ceiling: ScopeSet::new([Scope::try_from("*").map_err(|e| e.to_string())?]),
            create_time: now,
            created_by: OFFLINE.to_owned(),
            removal: None,
        };
        let key = Key {
            id: KeyId::generate(now),
            bond: spec.bond,
            environment: spec.environment,
            principal: draft.principal,
            name: draft.name,
            description: String::new(),
            scopes: spec.scopes,
            metadata: BTreeMap::new(),
            secrets: vec![self.secret(&token)],
            create_time: now,
            created_by: OFFLINE.to_owned(),
            expire_time: None,
            disabled: false,
            revocation: None,
            limits: spec.limits,
            source_addresses: spec.source_addresses,
        };
        let mut batch = batch(
            &self.workspace,
            &*self.clock,
            AuditAction::CreateKey,
            Record::Key(key),
        );
        let first = [Record::Principal(principal), Record::Membership(membership)];
        batch.writes.extend(first.map(|record| Write {
            record,
            expect: Expect::Absent,
        }));
        Ok((token.expose().to_owned(), batch))
    }
}

/// One new record, and the audit record that goes with it.
fn batch(workspace: &Workspace, clock: &dyn Clock, action: AuditAction, record: Record) -> Batch {
    Batch {
        requires: Vec::new(),
        audit: AuditEntry {
            workspace: Some(workspace.id.clone()),
            time: clock.now(),
            actor: OFFLINE.to_owned(),
            action,
            resource: record.id().to_string(),
            detail: BTreeMap::new(),
        },
        writes: vec![Write {
            record,
            expect: Expect::Absent,
        }],
        beside: None,
    }
}
