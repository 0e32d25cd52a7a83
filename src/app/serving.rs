//! The tasks and threads that serve, from the moment that they listen to the end
//! of the last one.

use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tonic::service::Routes;

use crate::edge::drain::Drain;
use crate::edge::http_plane::HttpPlane;
use crate::edge::server::{self, CheckPlane, ServeError};

use super::RunError;
use super::doors::Doors;

/// How long who watches may take for a last look.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// What is served at which door.
pub(super) struct Planes {
    pub(super) check: CheckPlane,
    pub(super) admin: Routes,
    pub(super) http: HttpPlane,
    /// What there is at the http door for those who watch, too.
    pub(super) watched: HttpPlane,
}

/// All that serves.
pub(super) struct Serving {
    /// Gateways and operators.
    servers: JoinSet<Result<(), RunError>>,
    /// Those who watch at a door of their own, which are to see the end.
    watched: JoinSet<()>,
    stop: watch::Sender<bool>,
    stop_watched: watch::Sender<bool>,
}

impl Serving {
    /// Listens at all `doors`. Calls under way have `grace` once it is to stop.
    pub(super) fn open(
        doors: Doors,
        planes: Planes,
        threads: NonZeroUsize,
        grace: Duration,
    ) -> Result<Self, RunError> {
        let (stop, stopping) = watch::channel(false);
        let (stop_watched, watched_stopping) = watch::channel(false);
        let mut serving = Self {
            servers: JoinSet::new(),
            watched: JoinSet::new(),
            stop,
            stop_watched,
        };
        let drain = Drain {
            stop: stopping,
            grace,
        };
        let check = (doors.check, &planes.check);
        let http = doors.http.map(|door| (door, &planes.http));
        for ended in server::serve_on_threads(check, http, threads.get(), &drain)? {
            serving.servers.spawn(served(ended));
        }
        let admin = server::serve_admin(doors.admin, planes.admin, drain)?;
        serving.servers.spawn(async {
            admin.await;
            Ok(())
        });
        if let Some(door) = doors.metrics {
            let drain = Drain {
                stop: watched_stopping,
                grace: LAST_LOOK,
            };
            let watched = server::serve_metrics(door, &planes.watched, drain)?;
            serving.watched.spawn(watched);
        }
        Ok(serving)
    }

    /// Why something has ended that was not told to.
    pub(super) async fn ended(&mut self) -> RunError {
        let ended = tokio::select! {
            Some(_) = self.watched.join_next() => Ok(()),
            ended = self.servers.join_next() => flatten(ended),
        };
        ended.err().unwrap_or(RunError::ThreadDied)
    }

    /// Has gateways and operators come to their end.
    pub(super) async fn stop(&mut self) -> Result<(), RunError> {
        self.stop.send_replace(true);
        let mut result = Ok(());
        while let Some(ended) = self.servers.join_next().await {
            result = result.and(flatten(Some(ended)));
        }
        result
    }

    /// And those who watch.
    pub(super) async fn finish(mut self) {
        self.stop_watched.send_replace(true);
        while self.watched.join_next().await.is_some() {}
    }
}

/// How a thread that serves has ended.
async fn served<E>(
    ended: impl Future<Output = Result<Result<(), ServeError>, E>>,
) -> Result<(), RunError> {
    ended
        .await
        .map_err(|_| RunError::ThreadDied)?
        .map_err(RunError::from)
}

fn flatten(ended: Option<Result<Result<(), RunError>, JoinError>>) -> Result<(), RunError> {
    ended
        .unwrap_or(Ok(Ok(())))
        .unwrap_or(Err(RunError::ThreadDied))
}
