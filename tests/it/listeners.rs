//! What `keyward serve` listens on, and everything that keeps it from starting:
//! each with its own exit code and one sentence, and nothing left running.

use std::fs::{self, Permissions};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyward::domain::clock::{Clock, ManualClock, SystemClock, Timestamp};
use keyward::store::home::Home;
use keyward::store::{Record, Store};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;

use crate::records::{self, copy_folder};
use crate::support::{Server, Site, admin_client, connect, keyward, run};

#[tokio::test(flavor = "multi_thread")]
async fn it_listens_when_it_says_so() {
    let site = Site::init();
    for _ in 0..10 {
        let server = site.serve();
        for address in [&server.admin_address, &server.check_address] {
            let connected = TcpStream::connect(address.trim_start_matches("http://"));
            assert!(connected.is_ok(), "{connected:?} {}", server.log());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_listeners_can_be_unix_sockets() {
    let site = Site::init();
    let (check, admin) = (
        site.path().join("check.sock"),
        site.path().join("admin.sock"),
    );
    let server = Server::spawn(site.clone(), on_sockets(&site, &check, &admin)).unwrap();
    assert_eq!(server.check_address, format!("unix:{}", check.display()));
    for socket in [&check, &admin] {
        let about = fs::metadata(socket).unwrap();
        assert!(about.file_type().is_socket());
        assert_eq!(
            about.permissions().mode() & 0o777,
            0o660,
            "not for everybody"
        );
    }
    let mut owner = server.admin().await;
    owner.workspace("w", "klg", &[]).await;
    let issued = owner.key("w", &["a"]).await;
    assert!(
        server
            .checks()
            .await
            .header(&issued.token, &["a"])
            .await
            .is_ok()
    );

    // The command line finds its way there, too.
    let list = run(keyward()
        .args(["keys", "list", "--admin-server", &server.admin_address])
        .env("KEYWARD_ADMIN_TOKEN_FILE", site.token_file()));
    let list = String::from_utf8(list.stdout).unwrap();
    assert!(list.contains(&issued.key.unwrap().id), "{list}");
    let verdict = run(keyward().args([
        "check",
        &issued.token,
        "--check-server",
        &server.check_address,
    ]));
    assert_eq!(verdict.status.code(), Some(0));

    // Whoever is stopped cleans up.
    let (status, log) = server.stop();
    assert!(status.success(), "{log}");
    assert!(!check.exists() && !admin.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_file_is_replaced_only_if_nobody_listens_on_it() {
    let (site, other) = (Site::init(), Site::init());
    let (check, admin) = (
        site.path().join("check.sock"),
        site.path().join("admin.sock"),
    );
    let server = Server::spawn(site.clone(), on_sockets(&site, &check, &admin)).unwrap();
    // Somebody else's server does not push this one aside.
    let taken = refused(
        on_sockets(&other, &other.path().join("check.sock"), &admin),
        69,
    );
    assert!(
        taken.contains(&format!("unix:{}", admin.display())) && taken.contains("in use"),
        "{taken}"
    );
    server.admin().await.workspace("w", "klg", &[]).await;
    // A crash leaves the files behind; the next start takes their place.
    server.kill();
    assert!(check.exists() && admin.exists());
    assert!(UnixStream::connect(&check).is_err());
    let server = Server::spawn(site.clone(), on_sockets(&site, &check, &admin)).unwrap();
    server.admin().await.key("w", &[]).await;
    server.stop();
    // What is no socket is not touched.
    fs::write(&check, "a diary").unwrap();
    refused(on_sockets(&site, &check, &admin), 69);
    assert_eq!(fs::read_to_string(&check).unwrap(), "a diary");
    assert!(!admin.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_leaves_no_socket_file_behind() {
    let site = Site::init();
    let (check, admin) = (
        site.path().join("check.sock"),
        site.path().join("admin.sock"),
    );
    let _listening = UnixListener::bind(&admin).unwrap();
    refused(on_sockets(&site, &check, &admin), 69);
    assert!(!check.exists(), "the second address was taken");
    fs::remove_file(&admin).unwrap();
    fs::set_permissions(pepper(&site), Permissions::from_mode(0o644)).unwrap();
    refused(on_sockets(&site, &check, &admin), 77);
    assert!(!check.exists() && !admin.exists(), "the store was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_an_exit_and_nothing_is_left_running() {
    let site = Site::init();
    let listening = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listening.local_addr().unwrap().to_string();
    let free = {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().to_string()
    };
    for (check, admin) in [(&taken, &free), (&free, &taken)] {
        let mut command = keyward();
        command.args(["serve", "--check-listen", check, "--admin-listen", admin]);
        command.arg("--data-dir").arg(site.data_dir());
        let told = refused(command, 69);
        assert!(
            told.starts_with(&format!("error: cannot listen on {taken}: ")),
            "{told}"
        );
        assert!(
            TcpStream::connect(&free).is_err(),
            "the other is not served alone"
        );
    }
    // The store was not left locked.
    site.serve().admin().await.workspace("w", "klg", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_do_not_cross_a_network_in_clear_unless_it_is_said_that_they_do_not() {
    let site = Site::init();
    for (check, admin) in [
        ("0.0.0.0:0", "127.0.0.1:0"),
        ("127.0.0.1:0", "0.0.0.0:0"),
        ("[::]:0", "127.0.0.1:0"),
    ] {
        let mut command = keyward();
        command.args(["serve", "--check-listen", check, "--admin-listen", admin]);
        command.arg("--data-dir").arg(site.data_dir());
        let told = refused(command, 64);
        assert!(
            told.contains("--encrypted-elsewhere") && told.contains("in clear"),
            "{told}"
        );
    }
    let mut command = keyward();
    command.args(["serve", "--log-format", "json", "--encrypted-elsewhere"]);
    command.args(["--check-listen", "0.0.0.0:0", "--admin-listen", "0.0.0.0:0"]);
    command.arg("--data-dir").arg(site.data_dir());
    let server = Server::spawn(site, command).unwrap();
    let nearby = server.admin_address.replace("0.0.0.0", "127.0.0.1");
    let mut owner = admin_client(&nearby, &server.site.admin_token()).await;
    owner.workspace("w", "klg", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_does_not_end_is_cut_off_when_the_drain_is_over() {
    let site = Site::init();
    let mut command = site.serve_command();
    command.args(["--drain-timeout", "300ms"]);
    let server = Server::spawn(site, command).unwrap();
    // A conversation in which nothing is ever said, on each listener.
    let mut calls = Vec::new();
    for address in [&server.check_address, &server.admin_address] {
        let mut client = ServerReflectionClient::new(connect(address).await);
        let silence = tokio_stream::pending::<ServerReflectionRequest>();
        calls.push(client.server_reflection_info(silence).await.unwrap());
    }
    let told = Instant::now();
    server.signal(rustix::process::Signal::TERM);
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
    assert!(log.contains("cut off") && log.contains("stopped"), "{log}");
    let took = told.elapsed();
    assert!(
        took >= Duration::from_millis(300) && took < Duration::from_secs(10),
        "{took:?}"
    );
}

/// One way to spoil a site: its name, the exit code of `serve`, a part of what
/// it says, and what is done. The site has a workspace and a key.
type Refusal = (&'static str, i32, &'static str, fn(&Site));

const REFUSALS: [Refusal; 15] = [
    (
        "not initialised",
        66,
        "make one with `keyward init`",
        |site| {
            fs::remove_dir_all(site.data_dir()).unwrap();
        },
    ),
    ("another pepper", 67, "the wrong one", |site| {
        fs::write(pepper(site), [7; 32]).unwrap();
    }),
    ("emptied", 72, "the store is empty", |site| {
        fs::remove_dir_all(site.store_dir()).unwrap();
        fs::create_dir(site.store_dir()).unwrap();
    }),
    ("gone", 72, "the store is empty", |site| {
        fs::remove_dir_all(site.store_dir()).unwrap()
    }),
    ("an older copy", 76, "an older copy", |site| {
        let copy = site.path().join("copy");
        copy_folder(&site.store_dir(), &copy);
        commit(site);
        copy_folder(&copy, &site.store_dir());
    }),
    (
        "an older guard file",
        78,
        "do not belong together",
        |site| {
            let (guard, copy) = (site.guard_dir().join("guard"), site.path().join("copy"));
            fs::copy(&guard, &copy).unwrap();
            commit(site);
            fs::copy(&copy, &guard).unwrap();
        },
    ),
    ("a pepper for all to read", 77, "chmod 600", |site| {
        fs::set_permissions(pepper(site), Permissions::from_mode(0o644)).unwrap();
    }),
    ("no pepper", 77, "the pepper is missing", |site| {
        fs::remove_file(pepper(site)).unwrap()
    }),
    ("no guard file", 77, "the guard file is missing", |site| {
        fs::remove_file(site.guard_dir().join("guard")).unwrap();
    }),
    ("an edited record", 65, "its seal does not fit", |site| {
        edit(site, "k/", |value| *value.last_mut().unwrap() ^= 1);
    }),
    ("an edited workspace", 65, "its seal does not fit", |site| {
        edit(site, "w/", |value| value[40] ^= 0x20);
    }),
    (
        "garbage instead of files",
        65,
        "the store's files cannot be read",
        |site| {
            let log = site.store_dir().join("db");
            let length = fs::metadata(&log).unwrap().len();
            fs::write(&log, vec![0x5a; usize::try_from(length).unwrap()]).unwrap();
        },
    ),
    ("a newer format", 71, "run the newer keyward", |site| {
        edit(site, "k/", |value| value[0] = 2)
    }),
    (
        "a clock that is behind",
        79,
        "set the clock right",
        |site| commit_in_the_future(site),
    ),
    ("an init that was cut off", 80, "was cut off", |site| {
        let guard = site.guard_dir();
        fs::rename(guard.join("guard"), guard.join("guard.new")).unwrap();
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served_is_refused_with_a_code_of_its_own() {
    for (name, code, sentence, spoil) in REFUSALS {
        let site = filled().await;
        tokio::task::block_in_place(|| spoil(&site));
        for attempt in ["at first", "again"] {
            let told = refused(site.serve_command(), code);
            assert!(told.contains(sentence), "{name}, {attempt}: {told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_served_once() {
    let site = filled().await;
    let server = site.serve();
    let told = refused(site.serve_command(), 68);
    assert!(told.contains("is open in another process"), "{told}");
    // The first is none the worse for it.
    server.admin().await.key("w", &[]).await;
    // Nor is there a second init, while it runs or after.
    for server in [Some(server), None] {
        let mut init = keyward();
        init.arg("init").arg("--data-dir").arg(site.data_dir());
        let before = fs::read(pepper(&site)).unwrap();
        assert!(refused(init, 73).contains("never replaces"));
        assert_eq!(fs::read(pepper(&site)).unwrap(), before);
        drop(server);
    }
    site.serve().admin().await.key("w", &[]).await;
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let site = Site::init();
    for filter in ["loud", "h2=trace", "keyward=loud", "info,tower=debug"] {
        let mut command = site.serve_command();
        command.args(["--log", filter]);
        let told = refused(command, 64);
        assert!(
            told.contains(filter) && told.contains("is not a log filter"),
            "{told}"
        );
    }
    let mut command = keyward();
    command.arg("serve").arg("--data-dir").arg(site.data_dir());
    command
        .arg("--guard-dir")
        .arg(site.store_dir().join("guard"));
    assert!(refused(command, 77).contains("must be outside of it"));
}

/// Runs `command` to its end, which has to be of this code, with one sentence
/// and without a trace of a panic; gives the sentence.
fn refused(mut command: Command, code: i32) -> String {
    let output = run(command.env("RUST_BACKTRACE", "1"));
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(output.stdout.is_empty());
    for trace in [
        "panicked at",
        "RUST_BACKTRACE",
        "stack backtrace",
        "thread '",
        ".rs:",
    ] {
        assert!(!told.contains(trace), "{told}");
    }
    let mut errors = told.lines().filter(|line| line.starts_with("error: "));
    let sentence = errors
        .next()
        .unwrap_or_else(|| panic!("no sentence: {told}"));
    assert_eq!(errors.next(), None, "{told}");
    sentence.to_owned()
}

fn on_sockets(site: &Site, check: &Path, admin: &Path) -> Command {
    let mut command = keyward();
    command
        .args(["serve", "--log-format", "json", "--data-dir"])
        .arg(site.data_dir());
    command
        .arg("--check-listen")
        .arg(format!("unix:{}", check.display()));
    command
        .arg("--admin-listen")
        .arg(format!("unix:{}", admin.display()));
    command
}

fn pepper(site: &Site) -> PathBuf {
    site.guard_dir().join("pepper")
}

/// A store with a workspace and a key in it, that nobody serves.
async fn filled() -> Site {
    let site = Site::init();
    let server = site.serve();
    let mut owner = server.admin().await;
    owner.workspace("w", "klg", &["live"]).await;
    owner.key("w", &["a"]).await;
    let (status, log) = server.stop();
    assert!(status.success(), "{log}");
    site
}

/// Makes three more commits.
fn commit(site: &Site) {
    commit_by(site, Arc::new(SystemClock::default()), 3);
}

fn commit_in_the_future(site: &Site) {
    let tomorrow = SystemClock::default().now().as_micros() + 86_400_000_000;
    commit_by(
        site,
        Arc::new(ManualClock::at(Timestamp::from_micros(tomorrow))),
        1,
    );
}

fn commit_by(site: &Site, clock: Arc<dyn Clock>, count: usize) {
    let home = Home::new(site.store_dir(), site.guard_dir()).unwrap();
    let (store, _) = home.open(clock).unwrap();
    records::load(&store).unwrap();
    for number in 0..count {
        let workspace = records::workspace(&format!("more-{number}"));
        let committed = store.commit(records::create(Record::Workspace(workspace)));
        tokio::runtime::Handle::current()
            .block_on(committed)
            .unwrap();
    }
    store.close();
}

/// Changes a stored value behind keyward's back.
fn edit(site: &Site, place: &str, edit: impl FnOnce(&mut Vec<u8>)) {
    let db = sled::open(site.store_dir()).unwrap();
    let (place, value) = db.scan_prefix(place).next().unwrap().unwrap();
    let mut value = value.to_vec();
    edit(&mut value);
    db.insert(place, value).unwrap();
    db.flush().unwrap();
}
