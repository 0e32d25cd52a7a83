//! TLS on the listeners: who is let in, and which files are used, at the start
//! and when they change.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use keyward::edge::pb::key_check_client::KeyCheckClient;
use rcgen::date_time_ymd;
use rustix::process::{Pid, Signal, kill_process};
use rustls::version::{TLS12, TLS13};
use tokio::net::UnixStream;
use tonic::transport::Channel;

use crate::pki::{Authority, Files, Pair, Shake, channel, replace, shown};
use crate::support::{Admin, Checks, Server, Site, admin_over, keyward, run};

/// Longer than the server takes to see that a file has changed.
pub(crate) const SEEN: Duration = Duration::from_secs(20);

pub(crate) fn serve(site: &Site, change: impl FnOnce(&mut Command)) -> Server {
    let mut command = site.serve_command();
    change(&mut command);
    Server::spawn(site.clone(), command).unwrap()
}

pub(crate) fn checks(channel: Channel) -> Checks {
    Checks {
        client: KeyCheckClient::new(channel),
    }
}

pub(crate) async fn admin(server: &Server, authority: &Authority, client: Option<&Pair>) -> Admin {
    let channel = channel(&server.admin_address, authority, client)
        .await
        .unwrap();
    admin_over(channel, &server.site.admin_token())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_listeners_encrypt_and_ask_clients_for_certificates_as_they_are_told() {
    let (servers, clients, strangers) = (
        Authority::new("servers"),
        Authority::new("clients"),
        Authority::new("strangers"),
    );
    let (good, bad) = (clients.issue(), strangers.issue());
    // How certificates are asked for; who is let in with none, one of theirs,
    // one of others.
    let table = [
        (None, [true, true, true]),
        (Some("optional"), [true, true, false]),
        (Some("required"), [false, true, false]),
    ];
    for (how, expected) in table {
        let site = Site::init();
        let files = Files::write(&site, &servers.issue());
        let server = serve(&site, |command| {
            files.on_both(command);
            if let Some(how) = how {
                files.ask(command, &clients, how);
            }
        });
        for address in [&server.check_address, &server.admin_address] {
            for (client, expected) in [None, Some(&good), Some(&bad)].into_iter().zip(expected) {
                for version in [&TLS12, &TLS13] {
                    let versions = &[version];
                    let shake = Shake {
                        client,
                        versions,
                        ..Shake::of(&servers)
                    };
                    let shaken = shake.at(address).await;
                    assert_eq!(shaken.is_ok(), expected, "{how:?} {version:?} {shaken:?}");
                }
            }
        }
        let mut owner = admin(&server, &servers, Some(&good)).await;
        owner.workspace("w", "klg", &[]).await;
        let token = owner.key("w", &["a"]).await.token;
        let gateway = channel(&server.check_address, &servers, Some(&good)).await;
        let verdict = checks(gateway.unwrap()).header(&token, &["a"]).await;
        assert!(verdict.is_ok(), "{verdict:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_http2_over_tls_is_spoken() {
    let (site, authority) = (Site::init(), Authority::new("a"));
    let files = Files::write(&site, &authority.issue());
    let server = serve(&site, |command| files.on_both(command));
    for (alpn, expected) in [
        (&["h2"][..], true),
        (&["http/1.1", "h2"], true),
        (&[], true),
        (&["http/1.1"], false),
    ] {
        let shake = Shake {
            alpn,
            ..Shake::of(&authority)
        };
        let shaken = shake.at(&server.check_address).await;
        assert_eq!(shaken.is_ok(), expected, "{alpn:?} {shaken:?}");
    }
    // In clear it is nothing.
    for address in [&server.check_address, &server.admin_address] {
        let connected = tonic::transport::Endpoint::from_shared(address.clone())
            .unwrap()
            .connect()
            .await;
        if let Ok(channel) = connected {
            let asked = checks(channel)
                .client
                .check(crate::support::check_request("x", &[]))
                .await;
            assert!(asked.is_err(), "{asked:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unix_sockets_and_addresses_that_others_reach_can_encrypt() {
    let (site, authority) = (Site::init(), Authority::new("a"));
    let files = Files::write(&site, &authority.issue());
    let socket = site.path().join("check.sock");
    let mut command = keyward();
    command
        .args(["serve", "--log-format", "json", "--data-dir"])
        .arg(site.data_dir())
        .arg("--check-listen")
        .arg(format!("unix:{}", socket.display()))
        // Without a word of what encrypts elsewhere.
        .args(["--admin-listen", "0.0.0.0:0"]);
    files.on_both(&mut command);
    let server = Server::spawn(site.clone(), command).unwrap();
    let shake = Shake::of(&authority);
    let stream = UnixStream::connect(&socket).await.unwrap();
    shake.on(stream).await.unwrap();
    let nearby = server.admin_address.replace("0.0.0.0", "127.0.0.1");
    shake.at(&nearby).await.unwrap();
}

#[test]
fn files_that_cannot_be_used_are_named_at_the_start() {
    let site = Site::init();
    let (one, other) = (Authority::new("a").issue(), Authority::new("b").issue());
    let file = |name: &str, text: &str| {
        let path = site.path().join(name);
        replace(&path, text);
        path.display().to_string()
    };
    let certificate = file("good.crt", &one.certificate);
    let key = file("good.key", &one.key);
    let missing = site.path().join("nowhere").display().to_string();
    let empty = file("empty.pem", "");
    let cut = file("cut.pem", &one.key[..one.key.len() / 2]);
    let foreign = file("foreign.key", &other.key);
    // The certificate, the key, the client CA; the code, and what is named.
    let table = [
        (&missing, &key, None, 74, &missing),
        (&certificate, &missing, None, 74, &missing),
        (&certificate, &key, Some(&missing), 74, &missing),
        (&empty, &key, None, 64, &empty),
        (&key, &key, None, 64, &key),
        (&certificate, &empty, None, 64, &empty),
        (&certificate, &cut, None, 64, &cut),
        (&certificate, &certificate, None, 64, &certificate),
        (&certificate, &foreign, None, 64, &foreign),
        (&certificate, &key, Some(&empty), 64, &empty),
    ];
    for listener in ["check", "admin"] {
        let flag = |name: &str| format!("--{listener}-tls-{name}");
        for (certificate, key, client_ca, code, named) in table {
            let mut command = site.serve_command();
            command.args([&flag("certificate"), certificate, &flag("key"), key]);
            if let Some(client_ca) = client_ca {
                command.args([&flag("client-ca"), client_ca]);
                command.args([&flag("client-certificate"), "required"]);
            }
            let output = run(&mut command);
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{told}");
            let error = told.lines().find(|line| line.starts_with("error: "));
            let error = error.unwrap_or_else(|| panic!("{told}"));
            assert!(error.contains(named) && error.contains(listener), "{error}");
            // The key is nobody's business.
            assert!(!told.contains(one.key.lines().nth(1).unwrap()), "{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_expires_and_a_key_for_all_to_read_are_warned_of() {
    let authority = Authority::new("a");
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 3);
    let date = soon.to_zoned(jiff::tz::TimeZone::UTC).date();
    let (year, month, day) = (
        i32::from(date.year()),
        u8::try_from(date.month()).unwrap(),
        u8::try_from(date.day()).unwrap(),
    );
    for (not_after, warning) in [
        (date_time_ymd(2024, 2, 3), Some("has expired")),
        (date_time_ymd(year, month, day), Some("expires soon")),
        (date_time_ymd(2999, 1, 1), None),
    ] {
        let site = Site::init();
        let pair = authority.issue_with(|params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = not_after;
        });
        let files = Files::write(&site, &pair);
        let server = serve(&site, |command| files.on_both(command));
        for text in ["has expired", "expires soon"] {
            let said = server.log().contains(text);
            assert_eq!(said, warning == Some(text), "{text}: {}", server.log());
        }
        assert!(!server.log().contains("every user"), "{}", server.log());
        // What is read later is looked at, too.
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o644)).unwrap();
        server.signal(Signal::HUP);
        until(&server, "every user of this machine can read the TLS key").await;
    }
}

/// A deployment that renews certificates does not know how far a start has
/// come. From the first word of the log on, none ends it.
#[test]
fn a_sighup_while_the_store_is_loaded_ends_nothing() {
    let site = Site::init();
    for _ in 0..10 {
        let mut server = site
            .serve_command()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&server);
        let hang_up = || kill_process(pid, Signal::HUP).unwrap();
        let mut log = BufReader::new(server.stderr.take().unwrap()).lines();
        let mut told = log.next().unwrap().unwrap();
        hang_up();
        for line in log.by_ref().map_while(Result::ok) {
            told += &line;
            hang_up();
            if line.contains("\"listening\"") {
                break;
            }
        }
        kill_process(pid, Signal::TERM).unwrap();
        let rest: Vec<_> = log.map_while(Result::ok).collect();
        let status = server.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{status}: {told} {rest:?}");
    }
}

/// Waits until the log has `text`.
async fn until(server: &Server, text: &str) {
    let start = Instant::now();
    while !server.log().contains(text) {
        assert!(start.elapsed() < SEEN, "no {text:?} in {}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a new connection is shown `pair`.
pub(crate) async fn until_shown(address: &str, shake: &Shake<'_>, pair: &Pair) {
    let start = Instant::now();
    loop {
        let tls = shake.at(address).await.unwrap();
        if shown(&tls) == pair.der() {
            return;
        }
        assert!(start.elapsed() < SEEN, "the new certificate is not shown");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_cannot_be_used_leaves_the_one_before() {
    let (site, authority) = (Site::init(), Authority::new("a"));
    let first = authority.issue();
    let files = Files::write(&site, &first);
    let server = serve(&site, |command| files.on_both(command));
    let spoilt: [fn(&Files, &Pair); 5] = [
        |files, other| replace(&files.key, &other.key),
        |files, _| fs::write(&files.certificate, "").unwrap(),
        |files, _| fs::remove_file(&files.key).unwrap(),
        |files, _| fs::write(&files.key, "-----BEGIN PRIVATE KEY-----\nMIGH").unwrap(),
        |files, other| fs::write(&files.certificate, other.certificate.replace('M', "?")).unwrap(),
    ];
    for (number, spoil) in spoilt.into_iter().enumerate() {
        spoil(&files, &authority.issue());
        // Both listeners tell, each once, without being told to look.
        let start = Instant::now();
        while server
            .log()
            .matches("those read before stay in use")
            .count()
            < 2 * (number + 1)
        {
            assert!(start.elapsed() < SEEN, "{number}: {}", server.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let tls = Shake::of(&authority)
            .at(&server.check_address)
            .await
            .unwrap();
        assert_eq!(shown(&tls), first.der());
        files.replace(&first);
        let start = Instant::now();
        while server.log().matches("TLS files read again").count() < 2 * (number + 1) {
            assert!(start.elapsed() < SEEN, "{number}: {}", server.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// As Kubernetes does it: a folder of links into a folder behind a link, which
/// is turned to another.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_turned_is_followed() {
    let (site, authority) = (Site::init(), Authority::new("a"));
    let volume = site.path().join("volume");
    let turn = |number: u32, pair: &Pair| {
        let folder = volume.join(format!("..{number}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("tls.crt"), &pair.certificate).unwrap();
        fs::write(folder.join("tls.key"), &pair.key).unwrap();
        symlink(&folder, volume.join("..data_tmp")).unwrap();
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    };
    let link = |name: &str| {
        symlink(Path::new("..data").join(name), volume.join(name)).unwrap();
        volume.join(name)
    };
    let first = authority.issue();
    turn(0, &first);
    let files = Files {
        certificate: link("tls.crt"),
        key: link("tls.key"),
        client_ca: volume.join("clients.crt"),
    };
    let server = serve(&site, |command| files.on_both(command));
    until_shown(&server.check_address, &Shake::of(&authority), &first).await;
    for number in 1..4 {
        let next = authority.issue();
        turn(number, &next);
        fs::remove_dir_all(volume.join(format!("..{}", number - 1))).unwrap();
        until_shown(&server.check_address, &Shake::of(&authority), &next).await;
    }
    assert!(!server.log().contains("cannot be used"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_client_ca_is_for_new_connections() {
    let (site, servers) = (Site::init(), Authority::new("servers"));
    let (before, after) = (Authority::new("before"), Authority::new("after"));
    let (old, new) = (before.issue(), after.issue());
    let files = Files::write(&site, &servers.issue());
    let server = serve(&site, |command| {
        files.on_both(command);
        files.ask(command, &before, "required");
    });
    let mut owner = admin(&server, &servers, Some(&old)).await;
    owner.workspace("w", "klg", &[]).await;
    replace(&files.client_ca, &after.pem);
    let shake = |client| Shake {
        client: Some(client),
        ..Shake::of(&servers)
    };
    let start = Instant::now();
    while shake(&new).at(&server.admin_address).await.is_err() {
        assert!(start.elapsed() < SEEN, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for version in [&TLS12, &TLS13] {
        let versions = &[version];
        let shake = Shake {
            versions,
            ..shake(&old)
        };
        assert!(shake.at(&server.admin_address).await.is_err());
    }
    // Who was let in before stays.
    owner.key("w", &[]).await;
    let log = server.log();
    let told = log
        .lines()
        .find(|line| line.contains("TLS handshake failed"));
    let told = told.unwrap_or_else(|| panic!("{log}"));
    assert!(
        told.contains("admin") && told.contains("127.0.0.1:"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_does_no_harm_without_tls() {
    let server = Server::start();
    let mut owner = server.admin().await;
    owner.workspace("w", "klg", &[]).await;
    for _ in 0..3 {
        server.signal(Signal::HUP);
    }
    until(&server, "every other setting needs a restart").await;
    owner.key("w", &[]).await;
    let (status, log) = server.stop();
    assert!(status.success(), "{log}");
}
