//! The moment from which conversations come to their end.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::sync::watch;
use tokio::task::coop;

/// That moment, as one conversation waits for it.
pub(super) struct Ending {
    receiver: watch::Receiver<bool>,
    wait: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Who is woken when it comes.
    waker: Option<Waker>,
}

impl Ending {
    /// It comes when `receiver` turns true, or nobody can tell any more.
    pub(super) fn new(receiver: watch::Receiver<bool>) -> Self {
        let mut waiting = receiver.clone();
        // Polled once for each waker: it must not be put off to another turn.
        let wait = Box::pin(coop::unconstrained(async move {
            let _ = waiting.wait_for(|ending| *ending).await;
        }));
        Self {
            receiver,
            wait,
            waker: None,
        }
    }

    /// Whether it has come. It turns true once, so any change is that one.
    pub(super) fn has_come(&self) -> bool {
        self.receiver.has_changed().unwrap_or(true)
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_come() {
            return Poll::Ready(());
        }
        // To wait takes a lock, so not at each question.
        let waits = |waker: &Waker| waker.will_wake(cx.waker());
        if self.waker.as_ref().is_some_and(waits) {
            return Poll::Pending;
        }
        self.waker = Some(cx.waker().clone());
        self.wait.as_mut().poll(cx)
    }
}

impl std::fmt::Debug for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ending").finish_non_exhaustive()
    }
}
