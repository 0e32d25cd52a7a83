//! An answer that is there at once, but for a few: those cost a box, and others
//! nothing.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The answer, or what it comes of.
pub(super) enum Promptly<T> {
    Now(Ready<T>),
    Later(Pin<Box<dyn Future<Output = T> + Send>>),
}

impl<T> Promptly<T> {
    pub(super) fn now(answer: T) -> Self {
        Self::Now(ready(answer))
    }

    pub(super) fn later(answer: impl Future<Output = T> + Send + 'static) -> Self {
        Self::Later(Box::pin(answer))
    }
}

impl<T: Unpin> Future for Promptly<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match self.get_mut() {
            Self::Now(answer) => Pin::new(answer).poll(cx),
            Self::Later(answer) => answer.as_mut().poll(cx),
        }
    }
}
