//! Whether a server is alive, and whether it is ready, told over plain HTTP.

use axum::Router;
use axum::routing::get;
use http::StatusCode;
use tokio::sync::watch;

/// Why a server is not ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unready {
    /// It has been told to stop.
    Stopping,
    /// Its store is lost, and the time that it may go on without is over.
    StoreLost,
    /// A part of it has failed.
    Failed,
}

impl Unready {
    const fn told(self) -> &'static str {
        match self {
            Self::Stopping => "keyward is stopping\n",
            Self::StoreLost => "the store is lost, and keyward is stopping; its log says more\n",
            Self::Failed => "a part of keyward has failed, and it is stopping; its log says more\n",
        }
    }
}

/// Whether a server is ready: where it is said, and where it is seen.
#[derive(Clone, Debug)]
pub struct Readiness(watch::Sender<Option<Unready>>);

impl Default for Readiness {
    /// It is ready.
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Readiness {
    /// From now on it is not.
    pub fn end(&self, why: Unready) {
        self.0.send_replace(Some(why));
    }
}

/// `/livez`: the process answers. `/readyz`: checks are served.
pub fn routes(readiness: Readiness) -> Router {
    let ready = move || async move {
        match *readiness.0.borrow() {
            None => (StatusCode::OK, "ready\n"),
            Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why.told()),
        }
    };
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
}
