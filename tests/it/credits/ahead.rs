//! Credits that a clock which was far ahead has filled: a start says of how many
//! keys, and to set their refill anew has them filled again.

use std::time::{Duration, Instant};

use keyward::domain::clock::{Clock, SystemClock, Timestamp};
use keyward::domain::credits::{Balance, Credits as Stored, Period, Refill};
use keyward::edge::pb::CreditsPeriod as Named;
use keyward::edge::pb::Key;
use keyward::store::Record;

use crate::records::update;
use crate::support::{Server, Site};

use super::{refilled, set, spender};

const YEAR: u64 = 365 * 24 * 60 * 60 * 1_000_000;

/// Fills the credits of all keys of the store as of `then`.
async fn fill_at(site: &Site, then: Timestamp) {
    site.edit(|_, records| {
        let credits = records.into_iter().filter_map(|found| {
            let Record::Credits(stored) = found.record else {
                return None;
            };
            let refill = Refill {
                period: Period::Day,
                amount: 7,
            };
            let filled = Stored {
                generation: stored.generation + 1,
                balance: Some(Balance::new(7, Some(refill), then)),
                ..stored
            };
            Some(update(Record::Credits(filled), found.revision))
        });
        credits.collect()
    })
    .await;
}

fn refill_time(key: &Key) -> u64 {
    let time = key.credits.as_ref().unwrap().refill_time.unwrap();
    u64::try_from(time.seconds).unwrap() * 1_000_000
}

fn warnings(server: &Server) -> Vec<String> {
    let log = server.log();
    let lines = log
        .lines()
        .filter(|line| line.contains("clock that was ahead"));
    lines.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_tells_of_credits_that_are_not_filled_for_years_and_a_set_heals_them() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let daily = refilled(Some(7), Named::Daily.into(), 7);
    let mut keys = Vec::new();
    for _ in 0..3 {
        keys.push(spender(&mut admin, daily).await.key);
    }
    let site = server.kill();
    let now = SystemClock::default().now().as_micros();
    fill_at(&site, Timestamp::from_micros(now + 9 * YEAR)).await;

    let server = site.serve();
    let end = Instant::now() + Duration::from_secs(30);
    while warnings(&server).is_empty() {
        assert!(Instant::now() < end, "nothing is said: {}", server.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let told = warnings(&server);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("WARN") && told[0].contains('3'),
        "{told:?}"
    );
    assert!(told[0].contains("set those of which"), "{told:?}");
    let mut admin = server.admin().await;
    for key in &keys {
        let healed = set(
            &mut admin,
            key,
            Some(refilled(None, Named::Daily.into(), 7)),
        );
        let healed = healed.await.unwrap();
        assert_eq!(healed.credits.as_ref().unwrap().balance, Some(7));
        assert!(refill_time(&healed) < now + YEAR, "{healed:?}");
    }
    let server = server.kill().serve();
    assert_eq!(warnings(&server), [""; 0]);
}
