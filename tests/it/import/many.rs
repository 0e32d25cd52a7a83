//! How long many keys take, and what that costs. Sized down unless told:
//! `KEYWARD_TEST_IMPORT_MANY=100000 cargo test --release --test it
//! import::many -- --nocapture`.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::crash::{command, file, token};
use crate::support::{Site, count};

/// The peak of a process in KiB, and its seconds on a core.
fn spent(pid: u32) -> Option<(u64, f64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let peak = peak.trim().trim_end_matches(" kB").parse().ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<_> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some((peak, ticks / 100.0))
}

#[tokio::test(flavor = "multi_thread")]
async fn many_keys_come_in_at_the_pace_of_the_disk() {
    let keys = count("KEYWARD_TEST_IMPORT_MANY", 5_000);
    let server = Site::init().serve();
    let mut admin = server.admin().await;
    admin.workspace("klipy", "klp", &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.csv");
    file(&path, keys);
    let (_, before) = spent(server.pid()).unwrap();
    let start = Instant::now();
    let mut importing = command(&server, "import --workspace klipy --output json")
        .arg(&path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut client = (0, 0.0);
    let status = loop {
        client = spent(importing.id()).unwrap_or(client);
        if let Some(status) = importing.try_wait().unwrap() {
            break status;
        }
        assert!(
            start.elapsed() < Duration::from_secs(3_000),
            "it does not end"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(status.success());
    let took = start.elapsed().as_secs_f64();
    let (peak, after) = spent(server.pid()).unwrap();
    println!(
        "{keys} keys in {took:.1} s ({:.0} a second); server {:.1} s of CPU, {} MiB at most; client {:.1} s, {} MiB",
        keys as f64 / took,
        after - before,
        peak / 1_024,
        client.1,
        client.0 / 1_024
    );
    let mut checks = server.checks().await;
    for number in [0, keys / 2, keys - 1] {
        assert!(
            checks
                .header(&token(number), &["people:read"])
                .await
                .is_ok()
        );
    }
}
