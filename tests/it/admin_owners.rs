//! The system is never without an OWNER who can be relied on, whatever its
//! OWNERs do to each other.

use std::sync::Arc;

use keyward::domain::clock::{Clock, SystemClock};
use keyward::edge::pb::*;
use prost_types::Timestamp;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tonic::Status;

use crate::office::{Caller, Office, get_admin, revoke_admin, said, told, update_admin, whoami};
use crate::support::{Admin, count};

#[tokio::test(flavor = "multi_thread")]
async fn the_last_owner_cannot_be_ended_in_any_way() {
    let office = Office::open().await;
    let mut owner = office.owner.clone();
    let last = whoami(&mut owner).await.unwrap();
    let here = office.workspace().await;
    // None of these can take over: they end, or act in one place, or may less.
    let expiring = AdminKey {
        expire_time: Some(in_an_hour()),
        ..crate::office::admin_key(AdminRole::Owner, "", &["*"])
    };
    crate::office::create_admin(&mut owner, expiring)
        .await
        .unwrap();
    let revoked = office.caller(AdminRole::Owner, "", &["*"]).await;
    revoke_admin(&mut owner, &revoked.id).await.unwrap();
    office.caller(AdminRole::Owner, &here, &["*"]).await;
    office.caller(AdminRole::Issuer, "", &["*"]).await;
    let mut narrow = office.caller(AdminRole::Owner, "", &["a:*", "b"]).await;

    for mut by in [owner.clone(), narrow.admin.clone()] {
        refuses_to_end(&mut by, &last).await;
    }
    // A name can change, and what is no less.
    let mut kept = last.clone();
    kept.name = "another".to_owned();
    let kept = update_admin(
        &mut owner,
        kept,
        &["name", "role", "grant_ceiling", "expire_time"],
    )
    .await
    .unwrap();
    assert_eq!(kept.name, "another");

    // Once there is another, it can go; and that one is the last then.
    let next = office.caller(AdminRole::Owner, "", &["*"]).await;
    revoke_admin(&mut narrow.admin, &last.id).await.unwrap();
    assert_eq!(
        told(&whoami(&mut owner).await.unwrap_err()),
        "UNAUTHENTICATED, ADMIN_TOKEN_INVALID"
    );
    let mut admin = next.admin.clone();
    let last = whoami(&mut admin).await.unwrap();
    refuses_to_end(&mut admin, &last).await;
}

/// Tries all that would leave the system without it.
async fn refuses_to_end(by: &mut Admin, last: &AdminKey) {
    let changed = |change: fn(&mut AdminKey)| {
        let mut admin = last.clone();
        admin.etag = String::new();
        change(&mut admin);
        admin
    };
    let mut refused: Vec<Status> = vec![revoke_admin(by, &last.id).await.unwrap_err()];
    // A caller of less rights has to narrow it first, which it may not.
    for (change, fields) in [
        (
            changed(|admin| admin.role = AdminRole::Issuer.into()),
            &["role", "grant_ceiling"][..],
        ),
        (
            changed(|admin| admin.role = AdminRole::Reader.into()),
            &["role", "grant_ceiling"],
        ),
        (
            changed(|admin| admin.expire_time = Some(in_an_hour())),
            &["expire_time", "grant_ceiling"],
        ),
        (changed(|_| {}), &["grant_ceiling"]),
    ] {
        let narrowed = AdminKey {
            grant_ceiling: vec!["a:*".to_owned()],
            ..change
        };
        refused.push(update_admin(by, narrowed, fields).await.unwrap_err());
    }
    for status in refused {
        assert_eq!(
            told(&status),
            "FAILED_PRECONDITION, PRECONDITION_FAILED",
            "{status:?}"
        );
        assert_eq!(said(&status, "condition"), "LAST_OWNER");
        assert_eq!(
            (said(&status, "type"), said(&status, "id")),
            ("admin_key".into(), last.id.clone())
        );
    }
    let found = get_admin(by, &last.id).await.unwrap();
    assert_eq!(found, *last);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_owners_that_end_each_other_at_the_same_moment_one_stays() {
    let office = Office::open().await;
    let mut survivor = Caller {
        id: office.owner_id().await,
        token: office.server.site.admin_token(),
        admin: office.owner.clone(),
    };
    let rounds = count("KEYWARD_TEST_OWNER_ROUNDS", 60);
    let mut lost_by_the_second = 0;
    for round in 0..rounds {
        // Two, and now and then three, in a ring or all against all.
        let size = if round % 3 == 2 { 3 } else { 2 };
        let mut owners = vec![survivor.clone()];
        for _ in 1..size {
            owners.push(another(&office, &mut survivor.admin).await);
        }
        let barrier = Arc::new(Barrier::new(size));
        let mut attacks = JoinSet::new();
        for (position, owner) in owners.iter().cloned().enumerate() {
            let victim = owners[(position + 1) % size].id.clone();
            let barrier = Arc::clone(&barrier);
            attacks.spawn(end(owner, victim, round, barrier));
        }
        let answers = attacks.join_all().await;
        let mut alive = Vec::new();
        for owner in &owners {
            if whoami(&mut owner.admin.clone())
                .await
                .is_ok_and(is_an_owner)
            {
                alive.push(owner.clone());
            }
        }
        assert!(
            !alive.is_empty(),
            "round {round}: nobody is left: {answers:?}"
        );
        assert_eq!(alive.len(), 1, "round {round}: {answers:?}");
        lost_by_the_second += answers.iter().filter(|answer| answer.is_err()).count();
        survivor = alive.remove(0);
    }
    // Each round had a loser.
    assert!(lost_by_the_second >= rounds);
}

/// Ends `victim` in one of the ways there are.
async fn end(
    mut owner: Caller,
    victim: String,
    round: usize,
    barrier: Arc<Barrier>,
) -> Result<AdminKey, String> {
    let mut less = AdminKey {
        id: victim.clone(),
        role: AdminRole::Reader.into(),
        grant_ceiling: vec!["a".to_owned()],
        expire_time: Some(in_an_hour()),
        ..AdminKey::default()
    };
    barrier.wait().await;
    let done = match round % 4 {
        0 | 1 => revoke_admin(&mut owner.admin, &victim).await,
        2 => update_admin(&mut owner.admin, less, &["role"]).await,
        _ => {
            less.role = AdminRole::Owner.into();
            update_admin(&mut owner.admin, less, &["role", "expire_time"]).await
        }
    };
    done.map_err(|status| format!("{} {}", told(&status), status.message()))
}

fn is_an_owner(admin: AdminKey) -> bool {
    admin.role() == AdminRole::Owner && admin.expire_time.is_none()
}

async fn another(office: &Office, by: &mut Admin) -> Caller {
    let asked = crate::office::admin_key(AdminRole::Owner, "", &["*"]);
    let made = crate::office::create_admin(by, asked).await.unwrap();
    Caller {
        id: made.admin_key.unwrap().id,
        admin: office.admin(&made.token),
        token: made.token,
    }
}

fn in_an_hour() -> Timestamp {
    let micros = SystemClock::default().now().as_micros();
    Timestamp {
        seconds: i64::try_from(micros / 1_000_000).unwrap() + 3_600,
        nanos: 0,
    }
}
