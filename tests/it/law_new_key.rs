//! Law 3, a key just issued works: whatever was said of its token before, the
//! first check after the reply passes.

use std::sync::Arc;
use std::time::Duration;

use keyward::config::listener::ConnectionLimits;
use keyward::domain::clock::{Clock, SystemClock};
use keyward::domain::digest::Pepper;
use keyward::domain::id::KeyId;
use keyward::domain::key::{Key, Secret};
use keyward::domain::token::Token;
use keyward::domain::workspace::Workspace;
use keyward::edge::drain::Drain;
use keyward::edge::ext_authz::{AuthorizationService, UndecidedAnswer};
use keyward::edge::gateway::{Gateway, IdentityHeaders};
use keyward::edge::listener::Bound;
use keyward::edge::pb::DenialReason;
use keyward::edge::pb::key_check_client::KeyCheckClient;
use keyward::edge::protocol::Protocols;
use keyward::edge::server::{self, Door};
use keyward::index::follower;
use keyward::meter::Meter;
use keyward::meter::clock::SystemBootClock;
use keyward::service::checker::Checker;
use keyward::service::credits::Reserver;
use keyward::store::home::Home;
use keyward::store::{Record, RecordId, Store};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic_health::server::HealthReporter;

use crate::records;
use crate::support::{self, Checks, Server, Site};

/// How many keys are issued and checked at once.
const ROUNDS: usize = 2_000;

/// Loops that do so side by side, with connections of their own.
const LOOPS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_passes_as_soon_as_it_is_issued() {
    let server = Server::start();
    server.admin().await.workspace("klue", "klue", &[]).await;
    let mut loops = JoinSet::new();
    for _ in 0..LOOPS {
        let mut admin = server.admin().await;
        // Two connections, which the server deals to two threads.
        let mut checks = [server.checks().await, server.checks().await];
        loops.spawn(async move {
            for round in 0..ROUNDS / LOOPS {
                let issued = admin.key("klue", &["people:read"]).await;
                let verdict = checks[round % 2]
                    .header(&issued.token, &["people:read"])
                    .await;
                assert!(verdict.is_ok(), "round {round}: {verdict:?}");
            }
        });
    }
    loops.join_all().await;
}

/// A token is random, so nobody can ask for one before it is issued; a key is
/// planted in the store for a token that was. The listener and all behind it
/// are the program's own, so this proves that nothing on the way from socket
/// to index remembers that a token was unknown.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_unknown_passes_once_it_is_issued() {
    const TOKENS: u64 = 50;
    const CHECKS_BEFORE: usize = 20;
    let site = Site::init();
    let home = Home::new(site.store_dir(), site.guard_dir()).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let opened = home.open(Arc::clone(&clock)).unwrap();
    let (store, pepper) = (Arc::new(opened.0), opened.1);
    let loading = Arc::clone(&store);
    let index = tokio::task::spawn_blocking(move || follower::start(&*loading).unwrap())
        .await
        .unwrap();
    let meter = Meter::start(Arc::new(SystemBootClock)).unwrap();
    let reserving: Arc<dyn Store> = store.clone();
    let (desk, _reserver) = Reserver::new(reserving, Arc::clone(&index), Arc::clone(&clock));
    let checker = Checker::new(
        Arc::clone(&index),
        pepper.token_hasher(),
        clock,
        meter,
        desk,
    );
    let (mut connections, stop) = serve(checker).await;

    let workspace = records::workspace("kling");
    store
        .commit(records::create(Record::Workspace(workspace.clone())))
        .await
        .unwrap();
    for number in 0..TOKENS {
        let token = mint(&workspace);
        for _ in 0..CHECKS_BEFORE {
            for checks in &mut connections {
                assert_eq!(checks.denial(token.expose()).await, DenialReason::Unknown);
            }
        }
        let key = key_for(&token, &workspace, &pepper, number);
        let revision = store.commit(records::issue(key)).await.unwrap();
        // What the reply to CreateKey waits for.
        index.reached(revision).await.unwrap();
        for checks in &mut connections {
            let verdict = checks.header(token.expose(), &["people:read"]).await;
            assert!(verdict.is_ok(), "token {number}: {verdict:?}");
        }
    }
    stop.send_replace(true);
    tokio::task::spawn_blocking(move || store.close())
        .await
        .unwrap();
}

/// As above, with the built program, and its end between the denials and the
/// key: nothing that it leaves behind remembers that a token was unknown.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_unknown_to_the_run_before_passes() {
    const TOKENS: u64 = 20;
    const CHECKS_BEFORE: usize = 20;
    let server = Server::start();
    server
        .admin()
        .await
        .workspace("kling", "klg", &["live", "test"])
        .await;
    let tokens: Vec<_> = (0..TOKENS)
        .map(|_| mint(&records::workspace("kling")))
        .collect();
    let mut checks = server.checks().await;
    for token in &tokens {
        for _ in 0..CHECKS_BEFORE {
            assert_eq!(checks.denial(token.expose()).await, DenialReason::Unknown);
        }
    }
    let site = server.site.clone();
    assert!(server.stop().0.success());

    plant(&site, &tokens).await;

    let server = site.serve();
    let mut checks = server.checks().await;
    for token in &tokens {
        let verdict = checks.header(token.expose(), &["people:read"]).await;
        assert!(verdict.is_ok(), "{verdict:?}");
    }
}

/// Writes a key for each of the tokens into a store that nobody serves.
async fn plant(site: &Site, tokens: &[Token]) {
    let home = Home::new(site.store_dir(), site.guard_dir()).unwrap();
    let (store, pepper) = home.open(Arc::new(SystemClock::default())).unwrap();
    let store = tokio::task::spawn_blocking(move || {
        store
            .snapshot()
            .unwrap()
            .for_each(|record| drop(record.unwrap()));
        store
    });
    let store = store.await.unwrap();
    let id = RecordId::Workspace("kling".parse().unwrap());
    let Record::Workspace(workspace) = store.get(&id).unwrap().unwrap().record else {
        panic!("not a workspace under a workspace's id")
    };
    for (number, token) in tokens.iter().enumerate() {
        let key = key_for(token, &workspace, &pepper, number as u64);
        store.commit(records::issue(key)).await.unwrap();
    }
    // Lets go of the files.
    tokio::task::spawn_blocking(move || store.close())
        .await
        .unwrap();
}

fn mint(workspace: &Workspace) -> Token {
    Token::mint(
        &workspace.token_prefix,
        workspace.default_environment.as_ref(),
    )
}

fn key_for(token: &Token, workspace: &Workspace, pepper: &Pepper, number: u64) -> Key {
    let create_time = records::time(number);
    let secret = Secret {
        digest: pepper.token_hasher().digest(token.expose().as_bytes()),
        tail: token.tail(),
        create_time,
        pepper_id: pepper.id(),
        end: None,
        imported: None,
    };
    Key {
        id: KeyId::generate(create_time),
        secrets: vec![secret],
        ..records::key(workspace, number)
    }
}

/// Serves `checker` as the program does, on two threads; connections to it, and
/// what stops it.
async fn serve(checker: Checker) -> (Vec<Checks>, watch::Sender<bool>) {
    let (stop, stopping) = watch::channel(false);
    let drain = Drain {
        stop: stopping,
        grace: Duration::from_secs(1),
    };
    let plane = server::check_plane(
        checker.clone(),
        AuthorizationService::new(
            Gateway::new(checker, IdentityHeaders::default()),
            UndecidedAnswer::default(),
        ),
        HealthReporter::new(),
        false,
    )
    .unwrap();
    let bound = Bound::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let address = format!("http://{}", bound.address());
    let door = Door::new(
        "check",
        bound,
        Protocols::Grpc,
        None,
        ConnectionLimits::default(),
    );
    drop(server::serve_on_threads((door, &plane), None, 2, &drain).unwrap());
    let mut connections = Vec::new();
    for _ in 0..4 {
        connections.push(Checks {
            client: KeyCheckClient::new(support::connect(&address).await),
        });
    }
    (connections, stop)
}
