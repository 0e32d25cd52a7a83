//! Looks after a listener's TLS files while it serves.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, interval};

use super::Tls;

/// How often the files are looked at. Looking costs next to nothing, works on
/// every file system, and sees what is put there by any means.
const LOOK: Duration = Duration::from_secs(1);

/// How often a certificate that nobody replaces is warned of.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads the files of `tls` again whenever they have changed. Does not end.
pub async fn watch(tls: Arc<Tls>) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut warned = Instant::now();
    loop {
        looks.tick().await;
        let is_due = warned.elapsed() >= DAY;
        if is_due {
            warned = Instant::now();
        }
        let tls = Arc::clone(&tls);
        // The files may lie on a disk that hangs.
        let looked = spawn_blocking(move || {
            tls.reload_if_changed();
            if is_due {
                tls.check_expiry();
            }
        });
        // A panic is in the log, and the next look may see better.
        let _ = looked.await;
    }
}
