//! The end of a server: no more is taken on, and what is under way has its time.

use std::time::Duration;

use tokio::sync::watch;

/// When to stop, and how long to let calls under way come to their end.
#[derive(Clone, Debug)]
pub struct Drain {
    /// Turns true when it is time to stop.
    pub stop: watch::Receiver<bool>,
    /// How long calls under way may take from then on.
    pub grace: Duration,
}

impl Drain {
    /// Waits until it is time to stop.
    pub(super) async fn begun(mut self) {
        // If nobody can tell any more, it is time too.
        let _ = self.stop.wait_for(|stop| *stop).await;
    }

    /// Waits until calls have had their time.
    pub(super) async fn over(self) {
        let grace = self.grace;
        self.begun().await;
        tokio::time::sleep(grace).await;
    }
}
