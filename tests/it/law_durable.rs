//! Law 2, acknowledged means durable: through kill -9, through a stop, and on
//! a disk that fills up. What was not acknowledged happened whole or not at
//! all.
#![expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use keyward::edge::pb::{
    CheckRequest, CreateKeyRequest, DeleteKeyRequest, DenialReason, GetKeyRequest, Key, KeyState,
    ListAuditEventsRequest, ListKeysRequest, RevokeKeyRequest,
};
use prost::Message;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::support::{self, Checks, Server, Site};

/// How many times the server is killed.
const CRASHES: usize = 50;

/// Who change keys at the same time.
const CALLERS: usize = 12;

/// Long enough for anything that comes to an end by itself.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_nothing_acknowledged_and_leaves_nothing_half_done() {
    let crashes = support::count("KEYWARD_TEST_CRASHES", CRASHES);
    let mut site = new_site().await;
    let mut book = Book::default();
    let begin = Instant::now();
    for crash in 0..crashes {
        let server = serve(&site);
        book.verify(&server).await;
        book.repeat_what_was_unanswered(&server).await;
        let mut load = Load::start(&server, &format!("crash {crash}")).await;
        tokio::time::sleep(Duration::from_micros(rand::random_range(0..250_000))).await;
        site = tokio::task::block_in_place(|| server.kill());
        book.enter(load.end().await);
    }
    let server = serve(&site);
    book.verify(&server).await;
    book.verify_every_check(&server).await;
    book.verify_log(&server).await;
    println!(
        "{crashes} crashes in {:.1?}: {}",
        begin.elapsed(),
        book.summary()
    );
    assert!(
        book.keys.len() > crashes,
        "the crashes came before any change: {}",
        book.summary()
    );
    assert!(
        book.unanswered > 0,
        "no crash came in the midst of a change: {}",
        book.summary()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_loses_nothing_acknowledged() {
    let mut site = new_site().await;
    let mut book = Book::default();
    for stop in 0..5 {
        let server = serve(&site);
        let mut load = Load::start(&server, &format!("stop {stop}")).await;
        tokio::time::sleep(Duration::from_millis(rand::random_range(20..300))).await;
        site = server.site.clone();
        let begin = Instant::now();
        let (status, log) = tokio::task::block_in_place(|| server.stop());
        assert!(status.success(), "{status}\n{log}");
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "stopped only after {:?}",
            begin.elapsed()
        );
        assert!(!log.contains("cut off"), "{log}");
        book.enter(load.end().await);
        book.verify(&serve(&site)).await;
    }
    println!("{}", book.summary());
    book.verify_every_check(&serve(&site)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_never_ends_does_not_keep_the_server_from_stopping() {
    let site = new_site().await;
    let mut command = site.serve_command();
    command.args(["--drain-timeout", "1s"]);
    let server = Server::spawn(site, command).unwrap();
    let mut held = Vec::new();
    for address in [&server.check_address, &server.admin_address] {
        let mut health = HealthClient::new(support::connect(address).await);
        let request = HealthCheckRequest {
            service: String::new(),
        };
        held.push(health.watch(request).await.unwrap().into_inner());
    }
    let (answer, body) = start_check(&server.check_address).await;

    let begin = Instant::now();
    let (status, log) = tokio::task::block_in_place(|| server.stop());
    assert!(status.success(), "{status}\n{log}");
    assert!(
        begin.elapsed() >= Duration::from_secs(1),
        "stopped after {:?}",
        begin.elapsed()
    );
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "stopped only after {:?}",
        begin.elapsed()
    );
    drop(body);
    assert!(
        answer.await.is_err(),
        "no verdict on what was never asked to its end"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_ends_in_the_grace_is_answered() {
    let server = new_site().await.serve();
    let issued = server.admin().await.key("klue", &["*"]).await;
    let (answer, mut body) = start_check(&server.check_address).await;

    server.signal(Signal::TERM);
    tokio::time::timeout(PATIENCE, async {
        while !server.log().contains("stopping") {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let stopping = tokio::task::spawn_blocking(move || server.wait());
    let request = CheckRequest {
        credential: issued.token,
        ..CheckRequest::default()
    }
    .encode_to_vec();
    body.send_data(frame(&request), true).unwrap();
    let response = tokio::time::timeout(PATIENCE, answer)
        .await
        .unwrap()
        .unwrap();
    let mut reply = response.into_body();
    let message = reply.data().await.unwrap().unwrap();
    let verdict = keyward::edge::pb::CheckResponse::decode(&message[5..]).unwrap();
    assert!(support::verdict(verdict).is_ok());
    let (status, log) = stopping.await.unwrap();
    assert!(status.success(), "{status}\n{log}");
    assert!(!log.contains("cut off"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_changes_fail_and_checks_go_on() {
    let site = new_site().await;
    let server = Server::spawn(site.clone(), serve_without_xfsz(&site, "3s")).unwrap();
    let mut book = Book::default();
    let mut load = Load::start_with(&server, "room", Some(20)).await;
    book.enter(load.end().await);
    let mut health = Health::of(&server).await;
    assert_eq!(
        health.now().await,
        (ServingStatus::Serving, ServingStatus::Serving)
    );

    leave_room(&server, 0);
    let begin = Instant::now();
    let mut load = Load::start(&server, "no room").await;
    let deeds = tokio::time::timeout(PATIENCE, load.end())
        .await
        .expect("the log cannot grow for ever");
    println!("the store failed after {:.1?}", begin.elapsed());
    for status in deeds.iter().filter_map(Deed::failure) {
        assert!(["OUTCOME_UNKNOWN", "STORE_UNAVAILABLE"].contains(&unavailable(status).as_str()));
    }
    book.enter(deeds);
    let mut client = server.admin().await.client;
    let refused = client
        .create_key(support::key_request("klue", &["*"]))
        .await;
    assert_eq!(unavailable(&refused.unwrap_err()), "STORE_UNAVAILABLE");

    health.admin_is_down().await;
    assert_eq!(
        health.now().await,
        (ServingStatus::Serving, ServingStatus::NotServing)
    );
    book.verify_every_check(&server).await;

    let (status, log) = tokio::task::spawn_blocking(move || server.wait())
        .await
        .unwrap();
    assert_eq!(
        status.code(),
        Some(75),
        "{status} {:?}\n{log}",
        status.signal()
    );

    let server = serve(&site);
    book.verify(&server).await;
    book.verify_every_check(&server).await;
    server.admin().await.key("klue", &["*"]).await;
    println!("{}", book.summary());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_wherever_the_log_ends_loses_nothing_acknowledged() {
    const DISKS: u32 = 6;
    let site = new_site().await;
    let mut book = Book::default();
    for disk in 0..DISKS {
        let server = Server::spawn(site.clone(), serve_without_xfsz(&site, "100ms")).unwrap();
        book.verify(&server).await;
        leave_room(&server, rand::random_range(0..64 * 1024));
        let mut load = Load::start(&server, &format!("disk {disk}")).await;
        book.enter(load.end().await);
        let (status, log) = tokio::task::block_in_place(|| server.wait());
        assert_eq!(status.code(), Some(75), "{status}\n{log}");
    }
    let server = serve(&site);
    book.verify(&server).await;
    book.verify_every_check(&server).await;
    println!("{DISKS} full disks: {}", book.summary());
}

/// From now on the server's log cannot grow by more, as on a disk that has so
/// many bytes left.
pub(crate) fn leave_room(server: &Server, bytes: u64) {
    let log = std::fs::metadata(server.site.store_dir().join("db")).unwrap();
    let limit = Rlimit {
        current: Some(log.len() + bytes),
        maximum: getrlimit(Resource::Fsize).maximum,
    };
    let pid = Pid::from_raw(server.pid().cast_signed());
    prlimit(pid, Resource::Fsize, limit).unwrap();
}

/// The reason of an error that says that changes cannot be made.
fn unavailable(status: &Status) -> String {
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    status.get_details_error_info().unwrap().reason
}

/// The command that serves, in which a key can be deleted once it is revoked.
fn serve_command(site: &Site) -> Command {
    let mut command = site.serve_command();
    command.args(["--key-retention", "0s"]);
    command
}

fn serve(site: &Site) -> Server {
    Server::spawn(site.clone(), serve_command(site)).unwrap()
}

/// A store with one workspace.
async fn new_site() -> Site {
    let server = Server::start();
    server.admin().await.workspace("klue", "klue", &[]).await;
    let site = server.site.clone();
    assert!(tokio::task::block_in_place(|| server.stop()).0.success());
    site
}

/// What a caller did, and whether it was told of it.
enum Deed {
    Created {
        name: String,
        id: String,
        token: String,
    },
    CreationUnanswered {
        name: String,
        status: Status,
    },
    Revoked {
        id: String,
    },
    RevocationUnanswered {
        id: String,
        status: Status,
    },
    Deleted {
        id: String,
    },
    DeletionUnanswered {
        id: String,
        status: Status,
    },
}

impl Deed {
    fn failure(&self) -> Option<&Status> {
        match self {
            Self::CreationUnanswered { status, .. }
            | Self::RevocationUnanswered { status, .. }
            | Self::DeletionUnanswered { status, .. } => Some(status),
            Self::Created { .. } | Self::Revoked { .. } | Self::Deleted { .. } => None,
        }
    }
}

/// A request for a key of this name, which may be repeated.
fn named(name: &str) -> CreateKeyRequest {
    CreateKeyRequest {
        name: name.to_owned(),
        request_id: name.replace(' ', "-"),
        ..support::key_request("klue", &["*"])
    }
}

/// Callers who create keys, revoke every other one of them and delete every
/// other one of those, until they are not answered any more.
struct Load(JoinSet<Vec<Deed>>);

impl Load {
    async fn start(server: &Server, name: &str) -> Self {
        Self::start_with(server, name, None).await
    }

    /// As many keys per caller as `limit` says.
    async fn start_with(server: &Server, name: &str, limit: Option<usize>) -> Self {
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let (mut admin, name) = (server.admin().await, format!("{name} caller {caller}"));
            callers.spawn(async move {
                let mut deeds = Vec::new();
                for number in 0..limit.unwrap_or(usize::MAX) {
                    let name = format!("{name} key {number}");
                    let id = match admin.client.create_key(named(&name)).await {
                        Ok(reply) => {
                            let reply = reply.into_inner();
                            let id = reply.key.unwrap().id;
                            deeds.push(Deed::Created {
                                name,
                                id: id.clone(),
                                token: reply.token,
                            });
                            id
                        }
                        Err(status) => {
                            deeds.push(Deed::CreationUnanswered { name, status });
                            break;
                        }
                    };
                    if number % 2 == 0 {
                        continue;
                    }
                    match admin
                        .client
                        .revoke_key(RevokeKeyRequest {
                            key_id: id.clone(),
                            reason: 0,
                            ..RevokeKeyRequest::default()
                        })
                        .await
                    {
                        Ok(_) => deeds.push(Deed::Revoked { id: id.clone() }),
                        Err(status) => {
                            deeds.push(Deed::RevocationUnanswered { id, status });
                            break;
                        }
                    }
                    if number % 4 == 1 {
                        continue;
                    }
                    let request = DeleteKeyRequest {
                        key_id: id.clone(),
                        ..DeleteKeyRequest::default()
                    };
                    match admin.client.delete_key(request).await {
                        Ok(_) => deeds.push(Deed::Deleted { id }),
                        Err(status) => {
                            deeds.push(Deed::DeletionUnanswered { id, status });
                            break;
                        }
                    }
                }
                deeds
            });
        }
        Self(callers)
    }

    async fn end(&mut self) -> Vec<Deed> {
        std::mem::take(&mut self.0)
            .join_all()
            .await
            .into_iter()
            .flatten()
            .collect()
    }
}

/// What has to be in the store by what the callers were told.
#[derive(Default)]
struct Book {
    keys: BTreeMap<String, Entry>,
    /// The names of keys that may or may not exist.
    perhaps: BTreeSet<String>,
    /// Those since the last look at the store.
    fresh: Vec<String>,
    unanswered: usize,
    /// The names of keys that were asked for without an answer, since those
    /// were last repeated, and how many of them were made only then.
    unclear: Vec<String>,
    repeated: usize,
}

struct Entry {
    name: String,
    token: String,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Standing,
    Revoked,
    Unknown,
    Deleted,
    PerhapsDeleted,
}

impl Fate {
    fn allows(self, state: KeyState) -> bool {
        match self {
            Self::Standing => state == KeyState::Active,
            Self::Revoked => state == KeyState::Revoked,
            Self::PerhapsDeleted => state == KeyState::Revoked,
            Self::Unknown => [KeyState::Active, KeyState::Revoked].contains(&state),
            Self::Deleted => false,
        }
    }

    /// Whether nothing may be left of the key.
    fn allows_none(self) -> bool {
        matches!(self, Self::Deleted | Self::PerhapsDeleted)
    }
}

impl Book {
    fn enter(&mut self, deeds: Vec<Deed>) {
        for deed in deeds {
            self.unanswered += usize::from(deed.failure().is_some());
            match deed {
                Deed::Created { name, id, token } => {
                    self.fresh.push(id.clone());
                    self.keys.insert(
                        id,
                        Entry {
                            name,
                            token,
                            fate: Fate::Standing,
                        },
                    );
                }
                Deed::CreationUnanswered { name, .. } => {
                    self.unclear.push(name.clone());
                    self.perhaps.insert(name);
                }
                Deed::Revoked { id } => self.keys.get_mut(&id).unwrap().fate = Fate::Revoked,
                Deed::RevocationUnanswered { id, .. } => {
                    self.keys.get_mut(&id).unwrap().fate = Fate::Unknown
                }
                Deed::Deleted { id } => self.keys.get_mut(&id).unwrap().fate = Fate::Deleted,
                Deed::DeletionUnanswered { id, .. } => {
                    self.keys.get_mut(&id).unwrap().fate = Fate::PerhapsDeleted
                }
            }
        }
    }

    /// Holds the list of all keys against the book, and asks for each key that
    /// is new there by itself. What was unknown is known from then on.
    async fn verify(&mut self, server: &Server) {
        let listed = list(server).await;
        assert_eq!(
            listed.len(),
            tokens_loaded(server),
            "the index holds what the store holds"
        );
        let mut lost = Vec::new();
        for (id, entry) in &mut self.keys {
            if listed.contains_key(id) {
                continue;
            }
            if !entry.fate.allows_none() {
                lost.push(id);
            }
            entry.fate = Fate::Deleted;
        }
        assert!(lost.is_empty(), "acknowledged, and gone: {lost:?}");
        let mut seen = BTreeSet::new();
        for (id, key) in &listed {
            assert_whole(key);
            match self.keys.get_mut(id) {
                Some(entry) => {
                    assert_eq!(key.name, entry.name);
                    assert!(
                        entry.fate.allows(key.state()),
                        "{:?} but {:?}",
                        entry.fate,
                        key.state()
                    );
                    entry.fate = if key.state() == KeyState::Revoked {
                        Fate::Revoked
                    } else {
                        Fate::Standing
                    };
                }
                None => {
                    assert!(
                        self.perhaps.contains(&key.name),
                        "nobody asked for {}",
                        key.name
                    );
                    assert!(seen.insert(&key.name), "{} was made twice", key.name);
                    assert_eq!(key.state(), KeyState::Active);
                }
            }
        }
        // What was not there after the crash does not come up later.
        let seen: BTreeSet<String> = seen.into_iter().cloned().collect();
        self.perhaps = seen;

        let (mut admin, mut checks) = (server.admin().await, server.checks().await);
        for id in std::mem::take(&mut self.fresh) {
            let request = GetKeyRequest { key_id: id.clone() };
            match admin.client.get_key(request).await {
                Ok(reply) => assert_eq!(reply.into_inner().key.as_ref(), listed.get(&id)),
                Err(status) => {
                    assert_eq!(status.code(), Code::NotFound, "{status}");
                    assert_eq!(self.keys[&id].fate, Fate::Deleted);
                }
            }
            self.keys[&id].verify(&mut checks).await;
        }
    }

    async fn verify_every_check(&self, server: &Server) {
        let mut checks = server.checks().await;
        for entry in self.keys.values() {
            entry.verify(&mut checks).await;
        }
    }

    /// Asks again for each key that may or may not have been made: those that
    /// were are not made twice, and the others are.
    async fn repeat_what_was_unanswered(&mut self, server: &Server) {
        let mut admin = server.admin().await;
        for name in std::mem::take(&mut self.unclear) {
            match admin.client.create_key(named(&name)).await {
                Ok(reply) => {
                    assert!(!self.perhaps.contains(&name), "{name} was made twice");
                    let reply = reply.into_inner();
                    let id = reply.key.unwrap().id;
                    let token = reply.token;
                    self.enter(vec![Deed::Created { name, id, token }]);
                    self.repeated += 1;
                }
                Err(status) => {
                    assert_eq!(status.code(), Code::AlreadyExists, "{status}");
                    assert!(self.perhaps.contains(&name), "{name} was never made");
                }
            }
        }
    }

    /// Reads the audit log to its end: of each change that was acknowledged
    /// there is one event.
    async fn verify_log(&self, server: &Server) {
        let mut admin = server.admin().await;
        let mut told = BTreeMap::<(String, String), usize>::new();
        let mut page_token = String::new();
        loop {
            let request = ListAuditEventsRequest {
                page_size: 1_000,
                page_token,
                ..ListAuditEventsRequest::default()
            };
            let page = admin.client.list_audit_events(request).await.unwrap();
            let page = page.into_inner();
            for event in page.events {
                *told.entry((event.action, event.resource)).or_default() += 1;
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        for (id, entry) in &self.keys {
            let times = |action: &str| told.get(&(action.to_owned(), id.clone())).copied();
            let deleted = (entry.fate == Fate::Deleted).then_some(1);
            let revoked = (entry.fate != Fate::Standing).then_some(1);
            let found = ["key.create", "key.revoke", "key.delete"].map(times);
            assert_eq!(found, [Some(1), revoked, deleted], "{}", entry.name);
        }
    }

    fn summary(&self) -> String {
        let count = |fate| {
            self.keys
                .values()
                .filter(|entry| entry.fate == fate)
                .count()
        };
        format!(
            "{} keys standing, {} revoked, {} deleted; {} changes without an answer, of which {} \
             creations happened and {} were repeated",
            count(Fate::Standing),
            count(Fate::Revoked),
            count(Fate::Deleted),
            self.unanswered,
            self.perhaps.len(),
            self.repeated
        )
    }
}

impl Entry {
    async fn verify(&self, checks: &mut Checks) {
        let state = match checks.header(&self.token, &["people:read"]).await {
            Ok(_) => KeyState::Active,
            Err(denied) if self.fate == Fate::Deleted => {
                assert_eq!(denied.reason(), DenialReason::Unknown, "{}", self.name);
                return;
            }
            Err(denied) => {
                assert_eq!(denied.reason(), DenialReason::Revoked, "{}", self.name);
                KeyState::Revoked
            }
        };
        assert!(
            self.fate.allows(state),
            "{}: {:?} but {state:?}",
            self.name,
            self.fate
        );
    }
}

/// Nothing of what was asked for is missing.
fn assert_whole(key: &Key) {
    assert_eq!(
        (key.workspace.as_str(), key.principal.as_str()),
        ("klue", "user:ada")
    );
    assert_eq!(key.scopes, ["*"]);
    assert!(
        key.create_time.is_some() && key.hint.starts_with("klue_"),
        "{key:?}"
    );
    let is_revoked = key.state() == KeyState::Revoked;
    assert_eq!(key.revoke_time.is_some(), is_revoked);
    assert_eq!(key.revoked_by == key.created_by, is_revoked);
}

/// All keys, by their ids.
async fn list(server: &Server) -> BTreeMap<String, Key> {
    let mut admin = server.admin().await;
    let mut keys = BTreeMap::new();
    let mut page_token = String::new();
    loop {
        let request = ListKeysRequest {
            workspace: "klue".to_owned(),
            page_size: 1_000,
            page_token,
            ..ListKeysRequest::default()
        };
        let page = admin.client.list_keys(request).await.unwrap().into_inner();
        for key in page.keys {
            assert!(
                keys.insert(key.id.clone(), key).is_none(),
                "a key is listed twice"
            );
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return keys;
        }
    }
}

/// How many tokens the server says that it has loaded.
fn tokens_loaded(server: &Server) -> usize {
    let log = server.log();
    let mut events = log
        .lines()
        .map_while(|line| serde_json::from_str(line).ok());
    let loaded = events.find(|event: &serde_json::Value| event["message"] == "store loaded");
    usize::try_from(loaded.unwrap()["tokens"].as_u64().unwrap()).unwrap()
}

/// The command that serves, in which a write beyond the limit on the size of
/// files fails, where it would else end the process.
pub(crate) fn serve_without_xfsz(site: &Site, grace: &str) -> Command {
    let serve = serve_command(site);
    let mut command = Command::new("bash");
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.args(["-c", "trap '' XFSZ; exec \"$@\"", "bash"]);
    let mut command = support::wrapped(command, &serve);
    command.args(["--store-lost-grace", grace]);
    command
}

/// What the two services say of themselves.
struct Health {
    check: HealthClient<tonic::transport::Channel>,
    admin: HealthClient<tonic::transport::Channel>,
}

impl Health {
    async fn of(server: &Server) -> Self {
        let check = HealthClient::new(support::connect(&server.check_address).await);
        let admin = HealthClient::new(support::connect(&server.admin_address).await);
        Self { check, admin }
    }

    async fn now(&mut self) -> (ServingStatus, ServingStatus) {
        let ask = |service: &str| HealthCheckRequest {
            service: service.to_owned(),
        };
        let check = self
            .check
            .check(ask("keyward.v1.KeyCheck"))
            .await
            .unwrap()
            .into_inner();
        let admin = self
            .admin
            .check(ask("keyward.v1.KeyAdmin"))
            .await
            .unwrap()
            .into_inner();
        (check.status(), admin.status())
    }

    /// Returns when the admin service says that it does not serve.
    async fn admin_is_down(&mut self) {
        let request = HealthCheckRequest {
            service: "keyward.v1.KeyAdmin".to_owned(),
        };
        let mut statuses = self.admin.watch(request).await.unwrap().into_inner();
        let down = async {
            while statuses.message().await.unwrap().unwrap().status() != ServingStatus::NotServing {
            }
        };
        tokio::time::timeout(PATIENCE, down).await.unwrap();
    }
}

/// Starts a check whose message is still to come, on a connection of its own.
async fn start_check(address: &str) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
    let address: SocketAddr = address.trim_start_matches("http://").parse().unwrap();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post(format!("http://{address}/keyward.v1.KeyCheck/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let mut client = client.ready().await.unwrap();
    let (answer, body) = client.send_request(request, false).unwrap();
    // An answer to this tells that the request before it has arrived.
    let mut client = client.ready().await.unwrap();
    let other = http::Request::post(format!("http://{address}/keyward.v1.KeyCheck/None"))
        .body(())
        .unwrap();
    let (refusal, _) = client.send_request(other, true).unwrap();
    refusal.await.unwrap();
    (answer, body)
}

/// A message as gRPC frames it.
fn frame(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], length.as_slice(), message].concat().into()
}
