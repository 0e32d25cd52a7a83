//! An admin key that has ended does nothing, and is told why.

use keyward::domain::admin::{AdminKey, Reach, Role};
use keyward::domain::clock::{Clock, SystemClock};
use keyward::domain::digest::Pepper;
use keyward::domain::id::AdminKeyId;
use keyward::domain::key::{Revocation, RevocationReason, Secret};
use keyward::edge::pb::{self, AdminRole};
use keyward::service::bootstrap;
use keyward::store::Record;
use prost::Message;
use prost_types::FileDescriptorSet;

use crate::office::{Ask, Office, revoke_admin, said, told};
use crate::records;
use crate::support::Site;

const INVALID: &str = "UNAUTHENTICATED, ADMIN_TOKEN_INVALID";

type Change = fn(&mut AdminKey);

/// No call switches an admin key off, and none makes one that has expired, so
/// these are put into the store while no server runs.
const PLANTED: [(&str, Change); 3] = [
    ("EXPIRED", |admin| {
        admin.expire_time = Some(admin.create_time)
    }),
    ("DISABLED", |admin| admin.disabled = true),
    ("REVOKED", |admin| {
        admin.revocation = Some(Revocation {
            time: admin.create_time,
            reason: RevocationReason::Leaked,
            by: String::new(),
            note: String::new(),
        });
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_admin_key_does_nothing_and_is_told_why() {
    let site = Site::init();
    let mut tokens = Vec::new();
    let plant = |pepper: &Pepper, _| {
        PLANTED
            .into_iter()
            .map(|(denial, finish)| {
                let (mut admin, token) = an_owner(pepper);
                finish(&mut admin);
                tokens.push((denial, admin.id.to_string(), token));
                records::create(Record::AdminKey(admin))
            })
            .collect()
    };
    site.edit(plant).await;
    let office = Office::of(site).await;
    let here = office.workspace().await;
    let key = office.key(&here, &["a"]).await;
    for (denial, id, token) in tokens {
        let mut admin = office.admin(&token);
        for call in calls() {
            let ask = Ask {
                workspace: here.clone(),
                id: if call.contains("Admin") {
                    id.clone()
                } else {
                    key.id.clone()
                },
                name: "a name".to_owned(),
                ..Ask::default()
            };
            let status = ask.send(&mut admin, &call).await.unwrap_err();
            assert_eq!(
                (&*told(&status), &*said(&status, "denial")),
                (INVALID, denial),
                "{call}"
            );
        }
        // Who it was is for the audit log, and not for whoever has the token.
        let denials = office.denials_of(&id, 10).await;
        assert!(denials.iter().all(|event| event.detail["denial"] == denial));
        // It is an admin's token all the same, and no key's.
        let denied = office.server.checks().await.header(&token, &[]).await;
        assert_eq!(denied.unwrap_err().key_id, "");
    }
    let mut owner = office.owner.clone();
    let found = owner
        .client
        .get_key(pb::GetKeyRequest {
            key_id: key.id.clone(),
        })
        .await;
    assert_eq!(found.unwrap().into_inner().key.unwrap(), key);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_very_next_call_after_the_reply_to_its_revocation_is_refused() {
    let office = Office::open().await;
    let here = office.workspace().await;
    let mut owner = office.owner.clone();
    for place in ["", &*here] {
        let mut caller = office.caller(AdminRole::Owner, place, &["*"]).await;
        // Also the one that it ends itself with.
        revoke_admin(&mut caller.admin, &caller.id).await.unwrap();
        let ask = Ask::default();
        let status = ask.send(&mut caller.admin, "WhoAmI").await.unwrap_err();
        assert_eq!(
            (&*told(&status), &*said(&status, "denial")),
            (INVALID, "REVOKED")
        );
        let again = revoke_admin(&mut owner, &caller.id).await.unwrap();
        assert_eq!(again.revoked_by, caller.id);
    }
}

/// The names of all calls.
fn calls() -> Vec<String> {
    let described = FileDescriptorSet::decode(pb::ADMIN_DESCRIPTORS).unwrap();
    let services = described.file.iter().flat_map(|file| &file.service);
    let admin = services.filter(|service| service.name() == "KeyAdmin");
    admin
        .flat_map(|service| &service.method)
        .map(|call| call.name().to_owned())
        .collect()
}

fn an_owner(pepper: &Pepper) -> (AdminKey, String) {
    let now = SystemClock::default().now();
    let token = bootstrap::mint_admin_token().unwrap();
    let secret = Secret {
        digest: pepper.token_hasher().digest(token.expose().as_bytes()),
        tail: token.tail(),
        create_time: now,
        pepper_id: pepper.id(),
        end: None,
        imported: None,
    };
    let admin = AdminKey {
        id: AdminKeyId::generate(now),
        name: "an admin".to_owned(),
        role: Role::Owner,
        reach: Reach::System,
        grant_ceiling: ["*".try_into().unwrap()].into_iter().collect(),
        secrets: vec![secret],
        create_time: now,
        created_by: String::new(),
        expire_time: None,
        disabled: false,
        revocation: None,
    };
    (admin, token.expose().to_owned())
}
