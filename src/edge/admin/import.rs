//! `ImportKeys`: keys come in, and results go out as they are known.
//!
//! So many keys at a time are on their way to the store, where those that come
//! together share a sync. A client that takes no results is held up: then no
//! more is read, and nothing piles up here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};
use tracing::info;
use zeroize::Zeroizing;

use crate::domain::violation::Violations;
use crate::service::admission::Actor;
use crate::service::error::{Kind, RegistryError};
use crate::service::registry::{Import, ImportEnd, ImportOutcome};

use super::super::convert::import;
use super::super::pb::{self, ImportKey, ImportKeysRequest, ImportKeysResponse, ImportResult};
use super::{KeyAdminService, authorization};

/// How many keys are on their way to the store: as many as it takes at once.
const WINDOW: usize = 256;

/// How many results go into a message, each of which can be a few KiB.
const MAX_RESULTS: usize = 100;

/// How many messages wait for the client to take them.
const MAX_WAITING: usize = 4;

/// How many keys a message may have: those of one wait here as a whole.
const MAX_KEYS: usize = 1_000;

/// How long a client may leave results untaken before its import ends: what it
/// holds up counts as under way.
const MAX_UNTAKEN: Duration = Duration::from_secs(60);

/// How often a key is tried again when the caller's admin key changes.
const MAX_CALLERS: usize = 4;

/// The name of the call.
pub(super) const CALL: &str = "ImportKeys";

/// The results of an import.
pub(super) type Results = ReceiverStream<Result<ImportKeysResponse, Status>>;

impl KeyAdminService {
    /// Starts an import, which goes on by itself: whoever hangs up in the middle
    /// does not take back what was begun.
    pub(super) fn import(
        &self,
        request: Request<Streaming<ImportKeysRequest>>,
    ) -> Result<Response<Results>, Status> {
        let (metadata, extensions, asked) = request.into_parts();
        let caller = Caller {
            own: self.clone(),
            authorization: Zeroizing::new(authorization(&metadata).to_vec()),
        };
        let actor = caller
            .authenticate()
            .map_err(|error| self.ended(CALL, self.refuse(None, CALL, &error)))?;
        let (results, told) = mpsc::channel(MAX_WAITING);
        let importing = Importing {
            caller: Arc::new(caller),
            results,
            under_way: JoinSet::new(),
            done: Vec::new(),
            imported: 0,
        };
        tokio::spawn(async move {
            // Counted until it is done.
            let _under_way = extensions;
            importing.run(actor, asked).await;
        });
        Ok(Response::new(ReceiverStream::new(told)))
    }
}

/// Whoever imports: looked at anew for each key, as an import can outlast an
/// admin key.
struct Caller {
    own: KeyAdminService,
    authorization: Zeroizing<Vec<u8>>,
}

impl Caller {
    fn authenticate(&self) -> Result<Actor, RegistryError> {
        self.own.admission.authenticate(&self.authorization)
    }

    /// Imports one key.
    async fn import(&self, import: &Import, key: ImportKey) -> Result<ImportResult, RegistryError> {
        let number = key.number;
        let draft = import::draft(key, import.workspace());
        let mut tries = 0;
        loop {
            let actor = self.authenticate()?;
            match import.key(&actor, &draft).await {
                Ok(outcome) => {
                    if let ImportOutcome::Beyond(error) = &outcome {
                        self.own.note(Some(&actor), CALL, error);
                    }
                    return Ok(import::result(number, outcome));
                }
                Err(ImportEnd::CallerChanged) if tries < MAX_CALLERS => tries += 1,
                Err(ImportEnd::CallerChanged) => {
                    let (kind, id) = (Kind::AdminKey, actor.id());
                    return Err(RegistryError::Conflict { kind, id });
                }
                Err(ImportEnd::Failed(error)) => return Err(error),
            }
        }
    }
}

/// One call.
struct Importing {
    caller: Arc<Caller>,
    results: mpsc::Sender<Result<ImportKeysResponse, Status>>,
    under_way: JoinSet<Result<ImportResult, RegistryError>>,
    /// Results that were not sent yet.
    done: Vec<ImportResult>,
    imported: u64,
}

/// Why an import ends before its end.
enum End {
    /// The client takes no more results.
    Left,
    /// No key can be imported any more.
    Failed(RegistryError),
    /// Its messages cannot be read.
    Broken(Status),
}

impl From<RegistryError> for End {
    fn from(error: RegistryError) -> Self {
        Self::Failed(error)
    }
}

fn refuse_many(message: &ImportKeysRequest) -> Result<(), End> {
    if message.keys.len() <= MAX_KEYS {
        return Ok(());
    }
    let many = format!("must be at most {MAX_KEYS} in a message: send more messages");
    Err(End::Failed(Violations::of("keys", many).into()))
}

impl Importing {
    async fn run(mut self, actor: Actor, mut asked: Streaming<ImportKeysRequest>) {
        let ended = self.import(&actor, &mut asked).await;
        // What is on its way is known in a moment, and told to whoever listens.
        while let Some(done) = self.under_way.join_next().await {
            // The first that failed has ended the import.
            let _ = self.note(done);
        }
        let told = match ended {
            Err(End::Left) => Ok(()),
            Ok(()) | Err(End::Failed(_) | End::Broken(_)) => self.tell().await,
        };
        let imported = self.imported;
        info!(actor = actor.id(), imported, "import ended");
        let status = match (ended, told) {
            (Err(End::Broken(status)), _) => status,
            (Err(End::Failed(error)), _) => self.caller.own.refuse(Some(&actor), CALL, &error),
            (Ok(()), _) => return self.caller.own.counts.ended(CALL, Code::Ok as i32),
            (Err(End::Left), _) => {
                return self.caller.own.counts.ended(CALL, Code::Cancelled as i32);
            }
        };
        let status = self.caller.own.ended(CALL, status);
        let _ = self.results.send_timeout(Err(status), MAX_UNTAKEN).await;
    }

    async fn import(
        &mut self,
        actor: &Actor,
        asked: &mut Streaming<ImportKeysRequest>,
    ) -> Result<(), End> {
        let first = asked.message().await.map_err(End::Broken)?;
        let mut first = first.unwrap_or_default();
        refuse_many(&first)?;
        let missing = || Violations::of("options", "is required, in the first message");
        let options = first
            .options
            .take()
            .ok_or_else(|| End::Failed(missing().into()))?;
        let registry = Arc::clone(&self.caller.own.registry);
        let (workspace, dry_run) = (options.workspace, options.dry_run);
        let import = Import::start(registry, actor, workspace, dry_run).await?;
        let workspace = import.workspace();
        info!(actor = actor.id(), workspace, dry_run, "import begun");
        let import = Arc::new(import);
        let mut next = VecDeque::from(first.keys);
        let mut all_asked = false;
        loop {
            self.begin(&import, &mut next);
            tokio::select! {
                biased;
                Some(done) = self.under_way.join_next() => {
                    self.note(done)?;
                    // Those that shared its sync are there with it.
                    while let Some(done) = self.under_way.try_join_next() {
                        self.note(done)?;
                        if self.done.len() == MAX_RESULTS {
                            self.tell().await?;
                        }
                    }
                    self.tell().await?;
                }
                message = asked.message(), if next.is_empty() && !all_asked => {
                    match message.map_err(End::Broken)? {
                        None => all_asked = true,
                        Some(message) if message.options.is_some() => {
                            let twice = "is for the first message alone";
                            return Err(End::Failed(Violations::of("options", twice).into()));
                        }
                        Some(message) => {
                            refuse_many(&message)?;
                            next = message.keys.into();
                        }
                    }
                }
                else => return Ok(()),
            }
        }
    }

    /// Has as many keys on their way as there may be.
    fn begin(&mut self, import: &Arc<Import>, next: &mut VecDeque<ImportKey>) {
        while self.under_way.len() < WINDOW
            && let Some(key) = next.pop_front()
        {
            let (caller, import) = (Arc::clone(&self.caller), Arc::clone(import));
            self.under_way
                .spawn(async move { caller.import(&import, key).await });
        }
    }

    fn note(
        &mut self,
        done: Result<Result<ImportResult, RegistryError>, JoinError>,
    ) -> Result<(), RegistryError> {
        // One that panicked is in the log.
        let result = done.map_err(|_| RegistryError::Internal)??;
        self.imported += u64::from(result.outcome() == pb::ImportOutcome::Imported);
        self.done.push(result);
        Ok(())
    }

    /// Sends the results that there are, when the client takes them.
    async fn tell(&mut self) -> Result<(), End> {
        while !self.done.is_empty() {
            let some = self.done.len().min(MAX_RESULTS);
            let results = self.done.drain(..some).collect();
            let results = Ok(ImportKeysResponse { results });
            let sent = self.results.send_timeout(results, MAX_UNTAKEN).await;
            sent.map_err(|_| End::Left)?;
        }
        Ok(())
    }
}
