//! `/metrics`: what was counted, for Prometheus.
//!
//! One thread of the process writes it, one text after the other: it takes about
//! a millisecond, which is too long where checks are answered, and it waits for
//! no read of the store. However many ask, there is no second such thread.

use std::io;
use std::thread;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::sync::{mpsc, oneshot};
use tonic::codegen::http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use tonic::codegen::http::{HeaderMap, StatusCode};

use crate::metrics::{Exposition, Metrics};

/// Where it is served.
pub const PATH: &str = "/metrics";

/// How many wait for their text at a time: more than there are scrapers, and few
/// enough that the last one waits for some milliseconds.
const MAX_WAITING: usize = 8;

/// What those are told who are one too many.
const TOO_MANY: &str = "too many ask for metrics at once; try again\n";

/// Somebody who asks.
struct Scrape {
    accept: Option<String>,
    answer: oneshot::Sender<Option<Exposition>>,
}

/// Tells `metrics` to whoever asks, from a thread that this starts. It ends with
/// the router and all clones of that.
///
/// # Errors
///
/// The thread cannot be started.
pub fn routes(metrics: Metrics) -> io::Result<Router> {
    let (asking, mut asked) = mpsc::channel::<Scrape>(MAX_WAITING);
    thread::Builder::new()
        .name("metrics".to_owned())
        .spawn(move || {
            while let Some(scrape) = asked.blocking_recv() {
                // Who has gone is not waited for.
                if !scrape.answer.is_closed() {
                    let text = metrics.render(scrape.accept.as_deref()).ok();
                    let _ = scrape.answer.send(text);
                }
            }
        })?;
    Ok(Router::new().route(PATH, get(move |headers| scrape(asking, headers))))
}

async fn scrape(asking: mpsc::Sender<Scrape>, headers: HeaderMap) -> impl IntoResponse {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let (answer, text) = oneshot::channel();
    let scrape = Scrape {
        accept: accept.map(str::to_owned),
        answer,
    };
    if let Err(mpsc::error::TrySendError::Full(_)) = asking.try_send(scrape) {
        let later = [(RETRY_AFTER, "1")];
        return Err((StatusCode::SERVICE_UNAVAILABLE, later, TOO_MANY).into_response());
    }
    match text.await {
        Ok(Some(text)) => Ok(([(CONTENT_TYPE, text.content_type)], text.body)),
        Ok(None) | Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR.into_response()),
    }
}
