//! Who may call what: each cell of the tables in docs/admin-rights.md, tried
//! through the socket.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use keyward::edge::pb::{self, AdminRole, AuditEvent};
use prost::Message;
use prost_types::FileDescriptorSet;
use tokio::task::JoinSet;

use crate::office::{Ask, Caller, Office, admin_key, create_admin, told};
use crate::support::Admin;

const DOCUMENT: &str = include_str!("../../docs/admin-rights.md");

/// What every caller may hand out, and a scope in it and one beyond it.
const CEILING: &str = "a:*";
const WITHIN: &str = "a:read";
const BEYOND: &str = "b:read";

/// What the audit log calls what a call does; other calls change nothing.
const CHANGES: [(&str, &str); 28] = [
    ("CreateWorkspace", "workspace.create"),
    ("UpdateWorkspace", "workspace.update"),
    ("DisableWorkspace", "workspace.disable"),
    ("EnableWorkspace", "workspace.enable"),
    ("DeleteWorkspace", "workspace.delete"),
    ("CreateKey", "key.create"),
    ("ImportKeys", "key.import"),
    ("UpdateKey", "key.update"),
    ("DisableKey", "key.disable"),
    ("EnableKey", "key.enable"),
    ("RotateKey", "key.rotate"),
    ("FinishRotation", "key.rotation_finish"),
    ("CancelRotation", "key.rotation_cancel"),
    ("RevokeKey", "key.revoke"),
    ("DeleteKey", "key.delete"),
    ("CreatePrincipal", "principal.create"),
    ("UpdatePrincipal", "principal.update"),
    ("DisablePrincipal", "principal.disable"),
    ("EnablePrincipal", "principal.enable"),
    ("DeletePrincipal", "principal.delete"),
    ("SetMembership", "membership.set"),
    ("RemoveMembership", "membership.remove"),
    ("SetCredits", "credits.set"),
    ("AdjustCredits", "credits.adjust"),
    ("CreateAdminKey", "admin.create"),
    ("UpdateAdminKey", "admin.update"),
    ("RotateAdminKey", "admin.rotate"),
    ("RevokeAdminKey", "admin.revoke"),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_caller_may_what_the_table_says_and_nothing_else() {
    let office = Arc::new(Office::open().await);
    let (header, rows) = table("## The table");
    let answers = answers();
    let mut tried = 0;
    let mut wrong = Vec::new();
    for row in rows {
        let mut cells = JoinSet::new();
        for (who, word) in header.iter().zip(&row).skip(2) {
            let [within, beyond] = answers[word].clone();
            // Nobody's own token is beyond his own rights.
            let can_be_beyond = (row[0].as_str(), row[1].as_str()) != ("RotateAdminKey", "itself");
            for (scope, expected) in [(WITHIN, within), (BEYOND, beyond)] {
                if scope == BEYOND && !can_be_beyond {
                    continue;
                }
                tried += 1;
                let cell = Cell {
                    call: row[0].clone(),
                    on: row[1].clone(),
                    who: who.clone(),
                    scope,
                };
                cells.spawn(cell.tried(Arc::clone(&office), expected));
            }
        }
        wrong.extend(cells.join_all().await.into_iter().filter_map(Result::err));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(tried > 600, "only {tried} were tried");
}

#[test]
fn every_call_is_in_the_table_for_every_place_that_it_has() {
    let (_, rows) = table("## The table");
    let mut listed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        let new = listed
            .entry(row[0].clone())
            .or_default()
            .insert(row[1].clone());
        assert!(new, "{} on {} is there twice", row[0], row[1]);
    }
    let described = FileDescriptorSet::decode(pb::ADMIN_DESCRIPTORS).unwrap();
    let service = described
        .file
        .iter()
        .flat_map(|file| &file.service)
        .find(|service| service.name() == "KeyAdmin")
        .unwrap();
    let calls: BTreeSet<_> = service.method.iter().map(|call| call.name()).collect();
    let names: BTreeSet<_> = listed.keys().map(String::as_str).collect();
    assert_eq!(names, calls);
    for (call, places) in &listed {
        let expected: &[&str] = match call.as_str() {
            "WhoAmI" => &["itself"],
            "CreateWorkspace" => &["system"],
            "ListWorkspaces" => &["all"],
            "CreateAdminKey" => &["system", "own", "other"],
            "ListKeys" | "ListAdminKeys" | "ListMemberships" | "ExplainCheck" => {
                &["all", "own", "other"]
            }
            "ListPrincipals" | "IdentifyTokens" => &["all"],
            principals if principals.contains("Principal") => &["system"],
            "CreateKey" | "GetKey" | "UpdateKey" | "DisableKey" | "EnableKey" | "RevokeKey"
            | "DeleteKey" | "RotateKey" | "FinishRotation" | "CancelRotation" | "SetCredits"
            | "AdjustCredits" => &["system", "own", "other"],
            "ListAuditEvents" => &["all", "system", "own", "other"],
            "UpdateWorkspace" => &["own", "other", "own default", "other default"],
            admins if admins.contains("AdminKey") => &["itself", "system", "own", "other"],
            _ => &["own", "other"],
        };
        let places: BTreeSet<_> = places.iter().map(String::as_str).collect();
        assert_eq!(places, expected.iter().copied().collect(), "{call}");
    }
}

/// One cell of the table, with resulting rights within the ceiling or beyond.
struct Cell {
    call: String,
    on: String,
    who: String,
    scope: &'static str,
}

impl Cell {
    /// Makes the call and compares the answer with what is expected, and what
    /// the audit log says was done with that.
    async fn tried(self, office: Arc<Office>, expected: String) -> Result<(), String> {
        let own = office.workspace().await;
        let (place, role) = self.who.split_once(' ').unwrap();
        let role = AdminRole::from_str_name(&format!("ADMIN_ROLE_{role}")).unwrap();
        let home = if place == "system" { "" } else { own.as_str() };
        // What keys with any scopes pass by is beyond all ceilings but one.
        let any = self.on.ends_with("default") || self.call == "EnablePrincipal";
        let ceiling = match (any, self.scope) {
            (true, WITHIN) => "*",
            (_, _) => CEILING,
        };
        let mut caller = office.caller(role, home, &[ceiling]).await;
        let ask = self.prepared(&office, &caller, &own).await;
        let answer = match ask.send(&mut caller.admin, &self.call).await {
            Ok(()) => "OK".to_owned(),
            Err(status) => told(&status),
        };
        let mut done = office.events_of(&caller.id).await;
        // A principal that a call makes by the way is told of beside it, and a
        // refusal is none of its doings.
        let makes_one = matches!(&*self.call, "CreateKey" | "SetMembership" | "ImportKeys");
        done.retain(|event: &AuditEvent| match &*event.action {
            "principal.create" => !makes_one,
            action => action != "call.deny",
        });
        let done: Vec<_> = done.iter().map(|event| event.action.as_str()).collect();
        let change = CHANGES.iter().find(|(call, _)| *call == self.call);
        let to_do: Vec<_> = change
            .filter(|_| expected == "OK")
            .into_iter()
            .map(|(_, what)| *what)
            .collect();
        if (&answer, &done) == (&expected, &to_do) {
            return Ok(());
        }
        let Self {
            call,
            on,
            who,
            scope,
        } = &self;
        Err(format!(
            "{who} calls {call} on {on} with {scope}: {answer}, did {done:?}; expected {expected}, {to_do:?}"
        ))
    }

    /// Makes the principal that the call is to act on, if it is to be there.
    async fn prepared_principal(&self, ask: &mut Ask, owner: &mut Admin) {
        let first: &[&str] = match self.call.as_str() {
            "EnablePrincipal" => &["CreatePrincipal", "DisablePrincipal"],
            "RemoveMembership" => &["SetMembership"],
            "CreatePrincipal" | "SetMembership" => &[],
            _ => &["CreatePrincipal"],
        };
        for call in first {
            ask.send(owner, call).await.unwrap();
        }
        // So that an update changes something.
        ask.name.push_str(", too");
    }

    /// Makes what the call is to act on, in a state in which it can.
    async fn prepared(&self, office: &Office, caller: &Caller, own: &str) -> Ask {
        let mut owner = office.owner.clone();
        let mut ask = Ask {
            workspace: match self.on.trim_end_matches(" default") {
                "own" => own.to_owned(),
                "other" => office.workspace().await,
                "system" | "all" | "itself" => String::new(),
                on => panic!("{on} is no place"),
            },
            name: "another name".to_owned(),
            scopes: vec![self.scope.to_owned()],
            system_log: self.on == "system",
            ..Ask::default()
        };
        match self.call.as_str() {
            "CreateWorkspace" => {
                ask.workspace = format!("by-{}-{}", &caller.id[4..], self.scope.len())
            }
            call if call.contains("Principal") || call.ends_with("Membership") => {
                ask.id = format!("user:{}-{}", caller.id, self.scope);
                self.prepared_principal(&mut ask, &mut owner).await;
            }
            "EnableWorkspace" | "DeleteWorkspace" => {
                ask.send(&mut owner, "DisableWorkspace").await.unwrap();
            }
            "UpdateWorkspace" if self.on.ends_with("default") => {
                ask.environment = "test".to_owned();
                ask.fields = vec!["default_environment".to_owned()];
            }
            "UpdateAdminKey" if self.on == "itself" => {
                ask.id.clone_from(&caller.id);
                ask.fields = vec!["name".to_owned(), "grant_ceiling".to_owned()];
            }
            call if call.ends_with("AdminKey") && self.on == "itself" => {
                ask.id.clone_from(&caller.id);
            }
            "GetAdminKey" | "UpdateAdminKey" | "RotateAdminKey" | "RevokeAdminKey" => {
                let asked = admin_key(AdminRole::Issuer, &ask.workspace, &[self.scope]);
                let made = create_admin(&mut owner, asked).await.unwrap();
                ask.id = made.admin_key.unwrap().id;
            }
            "GetKey" | "UpdateKey" | "DisableKey" | "EnableKey" | "RotateKey"
            | "FinishRotation" | "CancelRotation" | "RevokeKey" | "DeleteKey" | "SetCredits"
            | "AdjustCredits" => {
                ask.id = office.key(&ask.workspace, &[self.scope]).await.id;
                let first = match self.call.as_str() {
                    "EnableKey" => Some("DisableKey"),
                    "FinishRotation" | "CancelRotation" => Some("RotateKey"),
                    "DeleteKey" => Some("RevokeKey"),
                    "AdjustCredits" => Some("SetCredits"),
                    _ => None,
                };
                if let Some(first) = first {
                    ask.send(&mut owner, first).await.unwrap();
                }
            }
            _ => {}
        }
        ask
    }
}

/// What each word of the table is answered: within the ceiling, and beyond.
fn answers() -> BTreeMap<String, [String; 2]> {
    let (_, rows) = table("## What the words mean");
    rows.into_iter()
        .map(|row| {
            let (within, beyond) = row[2].split_once("; ").unwrap_or((&row[2], &row[2]));
            let word = row[0].trim_matches('`').to_owned();
            (word, [within.to_owned(), beyond.to_owned()])
        })
        .collect()
}

/// The header and the rows of the table under this heading.
fn table(heading: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let (_, section) = DOCUMENT.split_once(&format!("\n{heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut rows = section
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
        });
    let header = rows.next().unwrap();
    let rows: Vec<_> = rows.collect();
    assert!(
        rows.iter().all(|row| row.len() == header.len()),
        "{heading}"
    );
    (header, rows)
}
