//! Has costly work done one piece at a time, with everything else in between: a
//! flood of handshakes does not stand in front of checks.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;

/// A turn that is waited for.
type Coming = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// Whose turn it is, among those that work on one thread.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Semaphore>);

impl Turns {
    /// It is nobody's.
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// Does `work` in turns. None is held while the work waits.
    pub(super) const fn take<F>(self, work: F) -> InTurn<F> {
        InTurn {
            work,
            turns: self,
            coming: None,
        }
    }
}

pin_project! {
    /// Work that is done in turns.
    pub(super) struct InTurn<F> {
        #[pin]
        work: F,
        turns: Turns,
        coming: Option<Coming>,
    }
}

impl<F: Future> Future for InTurn<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let turns = &*this.turns;
        let coming = this
            .coming
            .get_or_insert_with(|| Box::pin(Arc::clone(&turns.0).acquire_owned()));
        let turn = ready!(coming.as_mut().poll(cx));
        *this.coming = None;
        let polled = this.work.poll(cx);
        // The next turn comes when all others that are ready had theirs, and it
        // was looked at what has arrived.
        tokio::spawn(async move {
            yield_now().await;
            drop(turn);
        });
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::rc::Rc;

    use super::*;

    #[tokio::test]
    async fn between_two_pieces_of_work_others_have_their_turn() {
        const WORKERS: usize = 50;
        let (turns, done) = (Turns::new(), Rc::new(Cell::new(0)));
        let local = tokio::task::LocalSet::new();
        for _ in 0..WORKERS {
            let (turns, done) = (turns.clone(), Rc::clone(&done));
            // Two pieces each.
            let mut pieces = 2;
            local.spawn_local(turns.take(poll_fn(move |cx| {
                done.set(done.get() + 1);
                pieces -= 1;
                if pieces == 0 {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            })));
        }
        local
            .run_until(async {
                let mut before = 0;
                while before < 2 * WORKERS {
                    yield_now().await;
                    assert!(done.get() <= before + 1, "{} after {before}", done.get());
                    before = done.get();
                }
            })
            .await;
    }

    #[tokio::test]
    async fn work_that_waits_keeps_no_other_from_its_turn() {
        let turns = Turns::new();
        let stuck = tokio::spawn(turns.clone().take(std::future::pending::<()>()));
        for _ in 0..10 {
            turns.clone().take(std::future::ready(())).await;
        }
        stuck.abort();
    }
}
