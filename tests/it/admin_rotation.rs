//! Two tokens of one admin key live while one replaces the other, and what was
//! replaced ends when it was said to, crash or not.

use std::time::{Duration, Instant};

use keyward::edge::pb::*;
use tonic::Status;

use crate::office::{Office, rotate_admin, said, told, whoami};
use crate::support::Admin;

const INVALID: &str = "UNAUTHENTICATED, ADMIN_TOKEN_INVALID";

#[tokio::test(flavor = "multi_thread")]
async fn both_tokens_work_for_the_overlap_and_the_old_one_ends_on_time() {
    let office = Office::open().await;
    let here = office.workspace().await;
    for place in ["", &*here] {
        let caller = office.caller(AdminRole::Reader, place, &["a"]).await;
        let mut old = caller.admin.clone();
        let before = Instant::now();
        let rotated = rotate_admin(&mut old, &caller.id, 1_500).await.unwrap();
        let mut new = office.admin(&rotated.token);
        assert_ne!(rotated.token, caller.token);
        let shown = rotated.admin_key.unwrap();
        assert!(rotated.token.ends_with(&shown.hint[shown.hint.len() - 4..]));
        assert!(shown.old_token_end_time.is_some());
        // As long as it is surely not over, both are the same admin key.
        let mut both = 0;
        while before.elapsed() < Duration::from_millis(1_300) {
            let (one, other) = (whoami(&mut old).await, whoami(&mut new).await);
            if before.elapsed() < Duration::from_millis(1_400) {
                assert_eq!(one.unwrap(), other.unwrap());
                both += 1;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(both > 0);
        tokio::time::sleep(Duration::from_millis(1_600).saturating_sub(before.elapsed())).await;
        while before.elapsed() < Duration::from_millis(1_600) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        is_over(&mut old, "EXPIRED").await;
        let found = whoami(&mut new).await.unwrap();
        assert_eq!(
            (found.id, found.old_token_end_time),
            (caller.id.clone(), None)
        );
        // What ended on time names its admin key to who reads the log.
        let denial = &office.denials_of(&caller.id, 1).await[0];
        assert_eq!(
            (denial.workspace.as_str(), &*denial.detail["denial"]),
            (place, "EXPIRED")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_is_pending_only_a_rotation_that_ends_all_old_ones_is_taken() {
    let office = Office::open().await;
    let caller = office.caller(AdminRole::Issuer, "", &["a"]).await;
    let mut first = caller.admin.clone();
    let second = rotate_admin(&mut first, &caller.id, 60_000).await.unwrap();
    let until = second
        .admin_key
        .as_ref()
        .unwrap()
        .old_token_end_time
        .unwrap();
    let mut second = office.admin(&second.token);
    for by in [&mut first, &mut second, &mut office.owner.clone()] {
        for overlap in [1, 1_000, 30 * 24 * 3_600 * 1_000] {
            is_pending(
                &rotate_admin(by, &caller.id, overlap).await.unwrap_err(),
                until,
            );
        }
        let request = RotateAdminKeyRequest {
            admin_key_id: caller.id.clone(),
            overlap: None,
        };
        is_pending(
            &by.client.rotate_admin_key(request).await.unwrap_err(),
            until,
        );
    }
    let third = rotate_admin(&mut second, &caller.id, 0).await.unwrap();
    assert_eq!(third.admin_key.unwrap().old_token_end_time, None);
    let mut third = office.admin(&third.token);
    // The one that was replaced last is known, and one before it is nobody's.
    is_over(&mut first, "UNKNOWN").await;
    is_over(&mut second, "EXPIRED").await;
    assert_eq!(whoami(&mut third).await.unwrap().id, caller.id);
    // Then there is none pending.
    let fourth = rotate_admin(&mut third, &caller.id, 60_000).await.unwrap();
    assert!(whoami(&mut third).await.is_ok());
    assert!(whoami(&mut office.admin(&fourth.token)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_at_once_is_over_for_the_very_next_call() {
    let office = Office::open().await;
    let mut caller = office.caller(AdminRole::Reader, "", &[]).await;
    for _ in 0..40 {
        let rotated = rotate_admin(&mut caller.admin, &caller.id, 0)
            .await
            .unwrap();
        assert_eq!(rotated.admin_key.unwrap().old_token_end_time, None);
        is_over(&mut caller.admin, "EXPIRED").await;
        caller.admin = office.admin(&rotated.token);
    }
    // Also of rotations at the same moment, one token works in the end.
    for _ in 0..10 {
        let rotations = (0..4).map(|_| {
            let (mut admin, id) = (caller.admin.clone(), caller.id.clone());
            tokio::spawn(async move { rotate_admin(&mut admin, &id, 0).await })
        });
        let mut working = Vec::new();
        for rotation in rotations.collect::<Vec<_>>() {
            match rotation.await.unwrap() {
                Ok(rotated) => {
                    let mut admin = office.admin(&rotated.token);
                    working.extend(whoami(&mut admin).await.is_ok().then_some(admin));
                }
                Err(status) => {
                    let told = told(&status);
                    assert!(
                        [INVALID, "ABORTED, CONFLICT"].contains(&&*told),
                        "{status:?}"
                    );
                }
            }
        }
        assert!(whoami(&mut caller.admin).await.is_err());
        assert_eq!(working.len(), 1);
        caller.admin = working.remove(0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_keeps_what_was_replaced_as_it_was() {
    let office = Office::open().await;
    let at_once = office.caller(AdminRole::Reader, "", &[]).await;
    let soon = office.caller(AdminRole::Reader, "", &[]).await;
    let later = office.caller(AdminRole::Reader, "", &[]).await;
    let mut tokens = Vec::new();
    for (caller, overlap) in [(&at_once, 0), (&soon, 1_000), (&later, 600_000)] {
        let mut admin = caller.admin.clone();
        let rotated = rotate_admin(&mut admin, &caller.id, overlap).await.unwrap();
        tokens.push((caller.id.clone(), rotated.token));
    }
    let site = office.server.kill();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let office = Office::of(site).await;
    for (id, token) in &tokens {
        assert_eq!(whoami(&mut office.admin(token)).await.unwrap().id, *id);
    }
    is_over(&mut office.admin(&at_once.token), "EXPIRED").await;
    is_over(&mut office.admin(&soon.token), "EXPIRED").await;
    let mut old = office.admin(&later.token);
    let found = whoami(&mut old).await.unwrap();
    let until = found.old_token_end_time.unwrap();
    is_pending(
        &rotate_admin(&mut old, &later.id, 1_000).await.unwrap_err(),
        until,
    );
    rotate_admin(&mut old, &later.id, 0).await.unwrap();
    let site = office.server.kill();
    let office = Office::of(site).await;
    is_over(&mut office.admin(&later.token), "UNKNOWN").await;
    is_over(&mut office.admin(&tokens[2].1), "EXPIRED").await;
}

/// A token that leaked is replaced at once. Who tries it after that, with the
/// server started again or not, shows in the log with the admin key.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_ended_at_once_names_its_admin_key_in_the_log() {
    let mut office = Office::open().await;
    let here = office.workspace().await;
    let leaked = office.caller(AdminRole::Owner, &here, &["*"]).await;
    rotate_admin(&mut office.owner.clone(), &leaked.id, 0)
        .await
        .unwrap();
    for count in 1..=2 {
        is_over(&mut office.admin(&leaked.token), "EXPIRED").await;
        let denials = office.denials_of(&leaked.id, count).await;
        assert_eq!(denials.len(), count);
        assert_eq!(
            (&*denials[0].workspace, &*denials[0].detail["denial"]),
            (&*here, "EXPIRED")
        );
        office = Office::of(office.server.kill()).await;
    }
}

async fn is_over(admin: &mut Admin, denial: &str) {
    let status = whoami(admin).await.unwrap_err();
    assert_eq!(
        (&*told(&status), &*said(&status, "denial")),
        (INVALID, denial)
    );
}

fn is_pending(status: &Status, until: prost_types::Timestamp) {
    assert_eq!(told(status), "FAILED_PRECONDITION, PRECONDITION_FAILED");
    assert_eq!(said(status, "condition"), "ROTATION_PENDING");
    let end: jiff::Timestamp = said(status, "endTime").parse().unwrap();
    assert_eq!(
        end.as_microsecond(),
        until.seconds * 1_000_000 + i64::from(until.nanos / 1_000)
    );
}
