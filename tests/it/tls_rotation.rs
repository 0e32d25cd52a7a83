//! TLS files that are replaced while everybody calls: no call is lost, whatever
//! library the clients are made of, and whether they stay or come and go.
#![expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use keyward::edge::pb::ListKeysRequest;
use rustix::process::Signal;
use tokio::task::JoinSet;

use crate::load::{ClientFiles, Load, Target};
use crate::pki::{Authority, Files, Pair, Shake, channel, replace};
use crate::support::{Server, Site, admin_over};
use crate::tls::{SEEN, admin, checks, serve, until_shown};

const ROUNDS: usize = 48;

#[tokio::test(flavor = "multi_thread")]
async fn certificates_change_under_load_and_no_call_is_lost() {
    let (site, servers) = (Site::init(), Arc::new(Authority::new("servers")));
    // Those who sign clients' certificates change, too: half of them are of the
    // one, half of the other, and both are always among those trusted.
    let signers = ["old", "new"].map(Authority::new);
    let identities = signers.each_ref().map(Authority::issue);
    let trusted = |number: usize| {
        let further = Authority::new(&format!("further {number}"));
        let mut all = [&*signers[0].pem, &signers[1].pem, &further.pem];
        all.rotate_left(number % 3);
        all.concat()
    };
    let files = Files::write(&site, &servers.issue());
    let server = serve(&site, |command| {
        files.on_both(command);
        files.ask(command, &signers[0], "required");
        replace(&files.client_ca, &trusted(0));
    });
    let mut owner = admin(&server, &servers, Some(&identities[0])).await;
    owner.workspace("w", "klg", &[]).await;
    let token = owner.key("w", &["a"]).await.token;

    let given = Target::new(
        &server,
        &token,
        Some(ClientFiles::write(&site, &servers, &identities)),
    );
    let foreign = [Load::python(&given, false), Load::node(&given)];
    let own = Own::start(&server, &servers, &identities, &token);
    foreign.iter().for_each(Load::started);
    // One that stays through it all.
    let mut old = checks(
        channel(&server.check_address, &servers, Some(&identities[1]))
            .await
            .unwrap(),
    );
    let shake = Shake {
        client: Some(&identities[1]),
        ..Shake::of(&servers)
    };
    let until_new = async |pair: &Pair| {
        for address in [&server.check_address, &server.admin_address] {
            until_shown(address, &shake, pair).await;
        }
    };
    for round in 0..ROUNDS {
        let pair = servers.issue();
        match round % 6 {
            // Half of a new pair, half a file, no CA: nobody is to see them.
            0 => replace(&files.key, &pair.key),
            1 => fs::write(&files.certificate, &pair.certificate[..100]).unwrap(),
            2 => {
                files.replace(&pair);
                replace(&files.client_ca, "");
            }
            // Whole again, all at once or one after the other.
            3 => {
                files.replace(&pair);
                replace(&files.client_ca, &trusted(round));
            }
            4 => replace(&files.client_ca, &trusted(round)),
            _ => files.replace(&pair),
        }
        server.signal(Signal::HUP);
        own.go_on(20).await;
        assert!(old.header(&token, &["a"]).await.is_ok());
        if round % 6 == 5 {
            until_new(&pair).await;
        }
    }
    // Nobody has to be told.
    let last = servers.issue();
    files.replace(&last);
    until_new(&last).await;

    own.stop().await;
    for load in foreign {
        let told = load.end();
        assert!(told.failures.is_empty(), "{told:?} {}", server.log());
        println!("{:?}", told.counted);
        assert!(told.counted.values().all(|&times| times > 5), "{told:?}");
    }
    let log = server.log();
    for (file, why) in [
        (&files.key, "is not the one of"),
        (&files.certificate, "cannot be used"),
        (&files.client_ca, "cannot be used"),
    ] {
        let file = file.display().to_string();
        let told =
            |line: &str| line.contains("ERROR") && line.contains(&file) && line.contains(why);
        assert!(log.lines().any(told), "{file} {why}: {log}");
    }
    // Nor is there anything to tell of the clients.
    assert!(!log.contains("\"WARN\""), "{log}");
}

/// Gateways and operators of tonic's, who connect, call, and connect again.
struct Own {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: JoinSet<()>,
}

impl Own {
    fn start(
        server: &Server,
        servers: &Arc<Authority>,
        identities: &[Pair; 2],
        token: &str,
    ) -> Self {
        const CALLS: usize = 10;
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        for number in 0..6 {
            let (stop, answered, servers) = (stop.clone(), answered.clone(), servers.clone());
            let identity = identities[number % 2].clone();
            let (token, admin_token) = (token.to_owned(), server.site.admin_token());
            let is_operator = number >= 4;
            let address = if is_operator {
                server.admin_address.clone()
            } else {
                server.check_address.clone()
            };
            clients.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let channel = channel(&address, &servers, Some(&identity)).await.unwrap();
                    let mut operator = admin_over(channel.clone(), &admin_token);
                    let mut gateway = checks(channel);
                    for _ in 0..CALLS {
                        if is_operator {
                            let listed = operator.client.list_keys(ListKeysRequest::default());
                            assert_eq!(listed.await.unwrap().into_inner().keys.len(), 1);
                        } else {
                            assert!(gateway.header(&token, &["a"]).await.is_ok());
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
        Self {
            stop,
            answered,
            clients,
        }
    }

    /// Waits until so many more checks have been answered.
    async fn go_on(&self, checks: usize) {
        let (start, before) = (Instant::now(), self.answered.load(Ordering::Relaxed));
        while self.answered.load(Ordering::Relaxed) < before + checks {
            assert!(start.elapsed() < SEEN, "the gateways are not answered");
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    /// Ends; panics if any call was not answered.
    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.join_all().await;
    }
}
