//! Law 1 where many are judged at once: no question of a conversation or of a
//! batch that is sent after the reply to a revocation passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use keyward::edge::pb::{
    CheckBatchRequest, CheckRequest, CheckStreamRequest, CheckStreamResponse, CreateKeyResponse,
    DenialReason,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::support::{self, Admin, Checks, Server, verdict_of};

/// How many keys are revoked, each under fire of a conversation and of batches.
const REVOCATIONS: usize = 2_000;

/// How many revocations are under way at once, each with connections of its
/// own.
const LANES: usize = 8;

/// How many questions are asked in each volley.
const VOLLEY: usize = 16;

/// How often a volley is fired after each reply.
const VOLLEYS_AFTER: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_asked_after_the_reply_passes() {
    let revocations = support::count("KEYWARD_TEST_REVOCATIONS", REVOCATIONS).min(REVOCATIONS);
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("klue", "klue", &[]).await;
    let keys = Arc::new(support::create_many(&admin, "klue", revocations).await);
    let next = Arc::new(AtomicUsize::default());
    let mut lanes = JoinSet::new();
    for _ in 0..LANES {
        let mut lane = Lane::open(&server).await;
        let (keys, next) = (Arc::clone(&keys), Arc::clone(&next));
        lanes.spawn(async move {
            let mut tally = Tally::default();
            while let Some(key) = keys.get(next.fetch_add(1, Ordering::Relaxed)) {
                lane.revoke_under_fire(key, &mut tally).await;
            }
            tally
        });
    }
    let mut all = Tally::default();
    for tally in lanes.join_all().await {
        all.passed += tally.passed;
        all.in_flight += tally.in_flight;
        all.after += tally.after;
    }
    println!("{all:#?}");
    // Each key passed before, was asked for while it was revoked, and after.
    let volley = VOLLEY * revocations;
    assert!(all.passed >= 2 * volley, "{all:?}");
    assert!(all.in_flight >= volley / 2, "this was no attack: {all:?}");
    assert_eq!(all.after, 2 * VOLLEYS_AFTER * volley);
}

/// Answers, by when the question was asked.
#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    /// Those asked after the revocation was sent and before its reply.
    in_flight: usize,
    after: usize,
}

/// One who revokes, and two who ask.
struct Lane {
    admin: Admin,
    batches: Checks,
    ask: mpsc::Sender<CheckStreamRequest>,
    answers: Streaming<CheckStreamResponse>,
    /// The id of the next question.
    id: u64,
}

/// How far the revocation of a key has come.
const STANDING: u64 = 0;
const SENT: u64 = 1;
const REPLIED: u64 = 2;

impl Lane {
    async fn open(server: &Server) -> Self {
        let (ask, asked) = mpsc::channel(VOLLEY);
        let mut client = server.checks().await.client;
        let answers = client.check_stream(ReceiverStream::new(asked)).await;
        Self {
            admin: server.admin().await,
            batches: server.checks().await,
            ask,
            answers: answers.unwrap().into_inner(),
            id: 0,
        }
    }

    async fn revoke_under_fire(&mut self, key: &CreateKeyResponse, tally: &mut Tally) {
        let check = support::check_request(&format!("Bearer {}", key.token), &["people:read"]);
        let key_id = &key.key.as_ref().unwrap().id;
        let stage = AtomicU64::new(STANDING);
        self.volley(&check, STANDING, tally).await;
        let mut admin = self.admin.clone();
        let revoking = async {
            stage.store(SENT, Ordering::SeqCst);
            admin.revoke(key_id).await;
            stage.store(REPLIED, Ordering::SeqCst);
        };
        let firing = async {
            while stage.load(Ordering::SeqCst) != REPLIED {
                self.volley(&check, stage.load(Ordering::SeqCst), tally)
                    .await;
            }
            for _ in 0..VOLLEYS_AFTER {
                self.volley(&check, REPLIED, tally).await;
            }
        };
        tokio::join!(revoking, firing);
    }

    /// Asks in the conversation and in a batch, at `stage`, and notes what came
    /// of it.
    async fn volley(&mut self, check: &CheckRequest, stage: u64, tally: &mut Tally) {
        let asking = async {
            for place in 0..VOLLEY as u64 {
                let question = CheckStreamRequest {
                    id: self.id + place,
                    check: Some(check.clone()),
                };
                self.ask.send(question).await.unwrap();
            }
        };
        let batch = CheckBatchRequest {
            checks: vec![check.clone(); VOLLEY],
        };
        let answering = async {
            let mut results = Vec::with_capacity(2 * VOLLEY);
            for place in 0..VOLLEY as u64 {
                let answer = self.answers.message().await.unwrap().unwrap();
                assert_eq!(answer.id, self.id + place);
                results.extend(answer.result);
            }
            results
        };
        let (mut results, batch, ()) =
            tokio::join!(answering, self.batches.client.check_batch(batch), asking);
        self.id += VOLLEY as u64;
        results.extend(batch.unwrap().into_inner().results);
        assert_eq!(results.len(), 2 * VOLLEY);
        for result in results {
            let passed = match verdict_of(result) {
                Ok(_) => true,
                Err(denied) => {
                    assert_eq!(denied.reason(), DenialReason::Revoked);
                    false
                }
            };
            match stage {
                STANDING => assert!(passed, "denied before it was revoked"),
                SENT => tally.in_flight += 1,
                _ => {
                    assert!(!passed, "passed after the reply to its revocation");
                    tally.after += 1;
                }
            }
            tally.passed += usize::from(passed);
        }
    }
}
