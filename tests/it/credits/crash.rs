//! Credits when the server ends: killed, told to stop, or left without a disk.

use std::time::{Duration, Instant};

use tonic::Code;
use tonic_types::StatusExt;

use super::*;
use crate::law_durable::{leave_room, serve_without_xfsz};
use crate::support::{Site, count};

/// The largest block: what one crash may forfeit.
const BLOCK: u64 = 1_000;

/// Each may have been granted one more, whose answer the crash cut off.
const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_grants_nothing_twice_and_loses_a_block_at_most() {
    let rounds = count("KEYWARD_CREDIT_KILLS", 50);
    let (server, mut admin) = start().await;
    let spender = spender(&mut admin, credits(5_000)).await;
    let (mut given, mut left, mut granted, mut lost) = (5_000, 5_000, 0, 0);
    let mut worst = 0;
    let mut server = server;
    for round in 0..rounds {
        if left < 500 {
            let mut admin = server.admin().await;
            let key = adjust(&mut admin, &spender.key, 5_000).await.unwrap();
            given += 5_000;
            left = key.credits.unwrap().balance.unwrap();
        }
        let before = left;
        let crowd = Crowd::start(&server, &spender.token, CLIENTS, false).await;
        let patience = rand::random_range(5..150);
        tokio::time::sleep(Duration::from_millis(patience)).await;
        let site = tokio::task::block_in_place(|| server.kill());
        let (now_granted, _) = crowd.end().await;
        server = tokio::task::block_in_place(|| site.serve());
        left = balance(&mut server.admin().await, &spender.key)
            .await
            .unwrap();
        granted += now_granted;
        let gone = before.checked_sub(left).expect("a kill gave credits");
        let forfeited = gone.checked_sub(now_granted);
        let forfeited = forfeited
            .unwrap_or_else(|| panic!("round {round}: {now_granted} granted, and {gone} gone"));
        assert!(
            forfeited <= (before / 10).clamp(1, BLOCK) + CLIENTS as u64,
            "round {round}: {forfeited} lost of {before}"
        );
        worst = worst.max(forfeited);
        lost += forfeited;
    }
    assert_eq!(granted + lost + left, given);
    println!("{rounds} kills: {granted} granted, {lost} lost, at most {worst} by one kill");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_gives_back_what_is_in_hand() {
    let (server, mut admin) = start().await;
    let site = server.site.clone();
    let mut spenders = Vec::new();
    for number in 1..=30 {
        spenders.push(spender(&mut admin, credits(number * 1_000)).await);
    }
    let mut checks = server.checks().await;
    for spender in &spenders {
        for _ in 0..7 {
            checks.header(&spender.token, &[]).await.unwrap();
        }
    }
    // Under load, too.
    let busy = spender(&mut admin, credits(1_000_000)).await;
    let crowd = Crowd::start(&server, &busy.token, CLIENTS, true).await;
    while crowd.granted() < 500 {
        tokio::task::yield_now().await;
    }
    let (status, log) = tokio::task::spawn_blocking(move || server.stop())
        .await
        .unwrap();
    assert!(status.success(), "{log}");
    assert!(log.contains("credits in hand given back"), "{log}");
    let (granted, _) = crowd.end().await;

    let server = tokio::task::block_in_place(|| site.serve());
    let mut admin = server.admin().await;
    for (spender, number) in spenders.iter().zip(1..) {
        let left = balance(&mut admin, &spender.key).await;
        assert_eq!(left, Some(number * 1_000 - 7));
    }
    // What was accepted is answered, so that nothing is lost here either.
    let left = balance(&mut admin, &busy.key).await.unwrap();
    assert!(granted <= 1_000_000 - left);
    assert!(
        1_000_000 - left - granted <= CLIENTS as u64,
        "{left} left, {granted} granted"
    );
}

/// A store that takes nothing: what is in hand is spent, and then it is said
/// that nothing can be decided.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_no_denial() {
    let site = Site::init();
    let server = Server::spawn(site.clone(), serve_without_xfsz(&site, "30s")).unwrap();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &["live"]).await;
    let spender = spender(&mut admin, credits(200_000)).await;
    let last = super::spender(&mut admin, credits(1)).await;
    let free = admin.key("kling", &[]).await;
    let mut checks = server.checks().await;
    assert!(checks.header(&spender.token, &[]).await.is_ok());
    assert!(checks.header(&last.token, &[]).await.is_ok());

    fill(&server, &mut admin).await;
    let crowd = Crowd::start(&server, &spender.token, 4, true).await;
    let (granted, failures) = tokio::time::timeout(Duration::from_secs(120), crowd.end())
        .await
        .expect("what is in hand is soon spent");
    assert!(granted > 0, "what is in hand is spent");
    println!("{granted} granted on a full disk");
    assert_eq!(failures.len(), 4);
    for status in &failures {
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.reason, "CREDITS_UNAVAILABLE");
        assert!(status.get_details_retry_info().is_some());
    }
    // At once, as it will not get better.
    let begin = Instant::now();
    let request = check_request(&spender.token, &[]);
    let status = checks.client.check(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(begin.elapsed() < Duration::from_secs(2));
    // What is known is decided, and others pass.
    assert_eq!(
        checks.denial(&last.token).await,
        DenialReason::CreditsExhausted
    );
    assert_eq!(
        checks
            .header(&spender.token, &["people:write"])
            .await
            .unwrap_err()
            .reason(),
        DenialReason::InsufficientScope
    );
    assert!(checks.header(&free.token, &[]).await.is_ok());

    let site = tokio::task::block_in_place(|| server.kill());
    let server = tokio::task::block_in_place(|| site.serve());
    let left = balance(&mut server.admin().await, &spender.key)
        .await
        .unwrap();
    assert!(granted < 200_000 - left, "{granted} granted, {left} left");
    assert!(
        200_000 - left - granted <= 2 * BLOCK + 1,
        "{granted} granted, {left} left"
    );
}

/// Has the disk be full, and the store lost by that.
async fn fill(server: &Server, admin: &mut Admin) {
    leave_room(server, 0);
    let begin = Instant::now();
    // The log is given room in large pieces, and some of the last one is left.
    while admin
        .client
        .create_key(key_request("kling", &["*"]))
        .await
        .is_ok()
    {
        assert!(begin.elapsed() < Duration::from_secs(120));
    }
}
