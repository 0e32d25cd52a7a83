//! `keyward admins recover`: another OWNER beside a stopped server, whole or not
//! at all, and only with everything at hand that a server would need.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use keyward::domain::key::{Revocation, RevocationReason};
use keyward::edge::pb::{
    AdminKey, AdminRole, AuditEvent, KeyState, ListAdminKeysRequest, ListAuditEventsRequest,
    WhoAmIRequest,
};
use keyward::store::Record;

use crate::records;
use crate::redact::{assert_same, redacted};
use crate::support::{Admin, Server, Site, admin_client, keyward, run, wrapped};
use crate::sync_order::strace;

const SHOWN: &str = "\
Admin key:    adm_ID, an OWNER of the system
Admin token:  in DIR/new.token (readable by you alone)
The admin keys that were there stay as they are: start the server, list them with `keyward admins list`,
and revoke those whose tokens are lost.
";

/// The command that writes its token to this file.
fn recover(site: &Site, file: &Path) -> Command {
    let mut command = keyward();
    command.args(["admins", "recover", "--data-dir"]);
    command
        .arg(site.data_dir())
        .arg("--token-file")
        .arg(file)
        .current_dir(site.path());
    command
}

/// How it ended, and what it wrote.
fn told(output: &Output, site: &Site) -> (Option<i32>, String) {
    let written = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8(written).unwrap();
    (output.status.code(), redacted(&text, site))
}

/// The admin with the token in this file.
async fn admin(server: &Server, file: &Path) -> Admin {
    let token = fs::read_to_string(file).unwrap();
    admin_client(&server.admin_address, token.trim()).await
}

/// The admin key behind a token, if it is one's.
async fn who(admin: &mut Admin) -> Option<AdminKey> {
    let reply = admin.client.who_am_i(WhoAmIRequest {}).await.ok()?;
    reply.into_inner().admin_key
}

/// All admin keys, in the order of their creation.
async fn admin_keys(admin: &mut Admin) -> Vec<AdminKey> {
    let request = ListAdminKeysRequest {
        page_size: 1000,
        ..ListAdminKeysRequest::default()
    };
    let listed = admin.client.list_admin_keys(request).await.unwrap();
    listed.into_inner().admin_keys
}

/// What the audit log says of recoveries.
async fn recoveries(admin: &mut Admin) -> Vec<AuditEvent> {
    let request = ListAuditEventsRequest {
        action: "admin.recover".to_owned(),
        page_size: 1000,
        ..ListAuditEventsRequest::default()
    };
    let listed = admin.client.list_audit_events(request).await.unwrap();
    listed.into_inner().events
}

#[tokio::test(flavor = "multi_thread")]
async fn another_owner_is_made_and_all_else_stays_as_it_was() {
    let server = Server::start();
    let mut first = server.admin().await;
    first.workspace("klipy", "klipy_api", &[]).await;
    let header = format!("Bearer {}", first.key("klipy", &["*"]).await.token);
    let before = admin_keys(&mut first).await;
    let site = server.site.clone();
    tokio::task::block_in_place(|| server.stop());

    let file = site.path().join("new.token");
    let (code, text) = told(&run(&mut recover(&site, &file)), &site);
    assert_same(&text, SHOWN);
    assert_eq!(code, Some(0));
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let server = site.serve();
    let mut new = admin(&server, &file).await;
    let owner = who(&mut new).await.unwrap();
    let expected = AdminKey {
        id: owner.id.clone(),
        name: "recovered owner".to_owned(),
        role: AdminRole::Owner.into(),
        grant_ceiling: vec!["*".to_owned()],
        state: KeyState::Active.into(),
        hint: owner.hint.clone(),
        create_time: owner.create_time,
        etag: owner.etag.clone(),
        ..AdminKey::default()
    };
    assert_eq!(owner, expected);
    assert_eq!(
        admin_keys(&mut new).await,
        [before, vec![owner.clone()]].concat()
    );
    assert!(server.checks().await.header(&header, &[]).await.is_ok());
    // It may do what only an OWNER of the system may, and so may the first.
    new.workspace("kling", "klg", &[]).await;
    server.admin().await.workspace("kong", "klg", &[]).await;

    let events = recoveries(&mut new).await;
    let [event] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!((&*event.workspace, &*event.actor), ("", "offline"));
    assert_eq!(
        (&*event.resource, &*event.detail["role"]),
        (&*owner.id, "OWNER")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_owners_are_revoked_there_is_one_again() {
    let site = Site::init();
    site.edit(|_, stored| {
        let owners = stored.into_iter().map(|versioned| {
            let Record::AdminKey(mut owner) = versioned.record else {
                panic!("only the first owner was made");
            };
            owner.revocation = Some(Revocation {
                time: owner.create_time,
                reason: RevocationReason::Leaked,
                by: String::new(),
                note: String::new(),
            });
            records::update(Record::AdminKey(owner), versioned.revision)
        });
        owners.collect()
    })
    .await;
    let file = site.path().join("new.token");
    let output = run(&mut recover(&site, &file));
    assert!(output.status.success(), "{output:?}");

    let server = site.serve();
    assert_eq!(who(&mut server.admin().await).await, None);
    let mut new = admin(&server, &file).await;
    new.workspace("klipy", "klipy_api", &[]).await;
    let states: Vec<_> = admin_keys(&mut new)
        .await
        .iter()
        .map(AdminKey::state)
        .collect();
    assert_eq!(states, [KeyState::Revoked, KeyState::Active]);
}

#[test]
fn without_a_file_the_token_is_shown_once() {
    let site = Site::init();
    let mut command = keyward();
    command.args(["admins", "recover", "--data-dir"]);
    let (code, text) = told(&run(command.arg(site.data_dir())), &site);
    let shown = SHOWN.replace(
        "in DIR/new.token (readable by you alone)",
        "keyward_admin_TOKEN\n              This is shown once, and cannot be had again.",
    );
    assert_same(&text, &shown);
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_running_server_it_is_refused() {
    let server = Server::start();
    let site = server.site.clone();
    let file = site.path().join("new.token");
    let refused = run(&mut recover(&site, &file));
    let sentence =
        "error: the store at DIR/data/store is open in another process; stop that first\n";
    assert_eq!(told(&refused, &site), (Some(68), sentence.to_owned()));
    assert!(!file.exists());
    // The server has not noticed, and after it nothing is there.
    server
        .admin()
        .await
        .workspace("klipy", "klipy_api", &[])
        .await;
    tokio::task::block_in_place(|| server.stop());
    let server = site.serve();
    assert_eq!(admin_keys(&mut server.admin().await).await.len(), 1);
}

/// What is amiss, how it comes to be so, the exit code, and a part of the
/// sentence.
type Amiss = (&'static str, fn(&Site), i32, &'static str);

const AMISS: [Amiss; 6] = [
    (
        "another pepper",
        |site| fs::write(pepper(site), [7; 32]).unwrap(),
        67,
        "put the right one back",
    ),
    (
        "no pepper",
        |site| fs::remove_file(pepper(site)).unwrap(),
        77,
        "put back the one that was kept for this store",
    ),
    (
        "a pepper for all to read",
        |site| fs::set_permissions(pepper(site), fs::Permissions::from_mode(0o644)).unwrap(),
        77,
        "run `chmod 600` on it",
    ),
    (
        "no store",
        |site| fs::remove_dir_all(site.data_dir()).unwrap(),
        66,
        "name the right --data-dir",
    ),
    (
        "an empty store",
        |site| fs::remove_dir_all(site.store_dir()).unwrap(),
        72,
        "",
    ),
    (
        "a file for the token that is there already",
        |site| fs::write(site.path().join("new.token"), "mine").unwrap(),
        74,
        "DIR/new.token exists; name another file",
    ),
];

fn pepper(site: &Site) -> PathBuf {
    site.guard_dir().join("pepper")
}

#[test]
fn where_something_is_amiss_nothing_is_changed() {
    for (amiss, spoil, code, part) in AMISS {
        let site = Site::init();
        spoil(&site);
        let before = records::files(site.path());
        let output = run(&mut recover(&site, &site.path().join("new.token")));
        let (ended, text) = told(&output, &site);
        assert_eq!(ended, Some(code), "{amiss}: {text}");
        assert!(
            text.starts_with("error: ") && text.contains(part),
            "{amiss}: {text}"
        );
        assert!(records::files(site.path()) == before, "{amiss}");
    }
}

#[test]
fn flags_of_calls_are_refused() {
    for flag in [
        ["--admin-token-file", "new.token"],
        ["--admin-server", "http://127.0.0.1:50052"],
        ["--output", "json"],
    ] {
        let output = run(keyward().args(["admins", "recover"]).args(flag));
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{complaint}");
        assert!(
            complaint.contains("no server is called here"),
            "{complaint}"
        );
    }
    // For the other commands, they may come from the environment.
    let output = run(keyward()
        .args(["admins", "recover", "--data-dir", "/nowhere"])
        .env("KEYWARD_ADMIN_TOKEN_FILE", "admin.token"));
    assert_eq!(output.status.code(), Some(66), "{output:?}");
}

/// What befalls it, and at which calls of the system, by which it changes
/// something.
const FAULTS: [(&str, &[&str]); 2] = [
    ("signal=KILL", &["write", "pwrite64", "fsync", "fdatasync"]),
    ("error=ENOSPC", &["pwrite64", "fdatasync"]),
];

/// More of each than it makes.
const MANY: usize = 40;

/// Runs it with this fault at the call of that number, counted from 1.
fn recover_with(fault: &str, call: &str, number: usize, site: &Site, file: &Path) -> Output {
    let recover = recover(site, file);
    let mut faulty = strace();
    faulty.args(["-qq", "-o", "/dev/null", "-e"]);
    faulty.arg(format!("inject={call}:{fault}:when={number}"));
    run(&mut wrapped(faulty, &recover))
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_anywhere_it_leaves_a_whole_owner_or_none() {
    let site = Site::init();
    let (mut files, mut made) = (Vec::new(), 0);
    for (fault, calls) in FAULTS {
        for call in calls {
            // At its first, at its second, and so on to beyond its last.
            let ends = (1..MANY).position(|number| {
                let file = site.path().join(format!("{fault}-{call}-{number}"));
                let output = recover_with(fault, call, number, &site, &file);
                files.push(file);
                let status = output.status;
                let is_cut_off = status.signal() == Some(9) || status.code() == Some(74);
                assert!(status.success() || is_cut_off, "{output:?}");
                made += usize::from(status.success());
                status.success()
            });
            println!("{call} {fault}: {ends:?} times");
            assert!(ends.is_some(), "it makes {MANY} calls of {call}");
        }
    }
    let server = site.serve();
    let mut first = server.admin().await;
    let mut owners = Vec::new();
    for file in files.iter().filter(|file| file.exists()) {
        let owner = who(&mut admin(&server, file).await).await;
        owners.extend(owner.map(|owner| owner.id));
    }
    println!("{} files, {} owners", files.len(), owners.len());
    assert!(owners.len() >= made && files.len() > owners.len());
    // Each of them has a token in a file, and an audit event.
    let listed = admin_keys(&mut first).await.into_iter().skip(1);
    let listed: Vec<_> = listed.map(|owner| owner.id).collect();
    assert_eq!(listed, owners);
    let events = recoveries(&mut first).await.into_iter().rev();
    let told: Vec<_> = events.map(|event| event.resource).collect();
    assert_eq!(told, owners);
}

#[test]
fn a_file_in_which_no_token_fits_is_not_in_the_way_of_the_next_try() {
    let site = Site::init();
    let file = site.path().join("new.token");
    for call in ["write", "fsync"] {
        let output = recover_with("error=ENOSPC", call, 1, &site, &file);
        let sentence = "error: DIR/new.token: No space left on device (os error 28)\n";
        assert_eq!(told(&output, &site), (Some(74), sentence.to_owned()));
        assert!(!file.exists(), "{call}");
    }
    assert!(run(&mut recover(&site, &file)).status.success());
}
