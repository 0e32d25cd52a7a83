//! `https://` servers: whom the command line trusts, what it shows of itself,
//! and what it says when that does not do.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use rcgen::{CertificateParams, SanType, date_time_ymd};

use super::Shell;
use crate::pki::{Authority, Files, Pair, replace};
use crate::support::{Server, Site, run};
use crate::tls::SEEN;

/// A server that encrypts, and somebody who types in commands.
struct Encrypted {
    shell: Shell,
    servers: Authority,
    /// With what the server was started.
    files: Files,
}

impl Encrypted {
    /// Both listeners show what the servers' authority makes of `change`.
    fn start(
        change: impl FnOnce(&mut CertificateParams),
        ask: impl FnOnce(&Files, &mut Command),
    ) -> Self {
        let (site, servers) = (Site::init(), Authority::new("servers"));
        let files = Files::write(&site, &servers.issue_with(change));
        let mut command = site.serve_command();
        files.on_both(&mut command);
        ask(&files, &mut command);
        let shell = Shell {
            server: Server::spawn(site, command).unwrap(),
            transcript: String::new(),
        };
        let this = Self {
            shell,
            servers,
            files,
        };
        this.file("servers.pem", &this.servers.pem);
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.shell.server.site.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        replace(&path, text);
        path
    }

    /// The files of a client's certificate.
    fn shown(&self, name: &str, pair: &Pair) -> [PathBuf; 2] {
        [
            self.file(&format!("{name}.crt"), &pair.certificate),
            self.file(&format!("{name}.key"), &pair.key),
        ]
    }

    /// A listener's address, with this scheme and host.
    fn at(&self, listener: &str, base: &str) -> String {
        let server = &self.shell.server;
        let address = match listener {
            "check" => &server.check_address,
            _ => &server.admin_address,
        };
        let (_, port) = address.rsplit_once(':').unwrap();
        format!("{base}:{port}")
    }

    /// Asks a listener something, and gives how it ended and what it told.
    fn ask(&self, listener: &str, base: &str, flags: &[(&str, &Path)]) -> (i32, String) {
        let words: &[_] = match listener {
            "check" => &["check", "abc"],
            _ => &["keys", "list"],
        };
        let mut command = self.shell.command(words[0]);
        command.args(&words[1..]);
        command.args([&format!("--{listener}-server"), &self.at(listener, base)]);
        for (flag, value) in flags {
            command.arg(flag).arg(value);
        }
        let output = run(&mut command);
        let told = [output.stdout, output.stderr].concat();
        (
            output.status.code().unwrap(),
            String::from_utf8(told).unwrap(),
        )
    }

    /// Asks both listeners, which have to be reached: nothing is listed, and
    /// an unknown token is denied.
    fn reached(&self, base: &str, flags: &[(&str, &Path)]) {
        let (code, told) = self.ask("admin", base, flags);
        assert_eq!((code, &*told), (0, "no keys\n"));
        let (code, told) = self.ask("check", base, flags);
        assert!(code == 3 && told.starts_with("DENIED: UNKNOWN"), "{told}");
    }

    /// Asks both listeners, neither of which is reached: that is no denial, and
    /// `advice` says what to do.
    fn not_reached(&self, base: &str, flags: &[(&str, &Path)], advice: &str) {
        for listener in ["check", "admin"] {
            let (code, told) = self.ask(listener, base, flags);
            assert_eq!(code, 4, "{told}");
            assert!(!told.contains("DENIED"), "{told}");
            assert!(told.contains(advice), "{told}");
        }
    }
}

#[test]
fn a_server_is_trusted_by_who_signed_it_and_its_name() {
    let all = Encrypted::start(
        |params| {
            let name = "keyward.internal".try_into().unwrap();
            params.subject_alt_names = vec![SanType::DnsName(name)];
        },
        |_, _| {},
    );
    let ours = all.path("servers.pem");
    let theirs = all.file("strangers.pem", &Authority::new("strangers").pem);
    // An authority that only calls itself the same.
    let false_one = all.file("false.pem", &Authority::new("servers").pem);
    let local = "https://localhost";
    let named = ("--server-name", Path::new("keyward.internal"));
    all.reached(local, &[("--ca-file", &ours), named]);
    for base in [local, "https://127.0.0.1"] {
        all.not_reached(
            base,
            &[("--ca-file", &ours)],
            "say which name its certificate is for with --server-name.",
        );
    }
    for flags in [
        &[("--ca-file", &*theirs), named][..],
        &[("--ca-file", &*false_one), named],
        // Nobody that the system knows.
        &[named],
    ] {
        all.not_reached(local, flags, "with --ca-file.");
    }
    let nobody = all.file("nobody.pem", "no certificate");
    for listener in ["check", "admin"] {
        let (code, told) = all.ask(listener, local, &[("--ca-file", &nobody), named]);
        assert!(code == 2 && told.contains("no certificate in it"), "{told}");
    }
}

#[test]
fn a_server_that_is_named_with_the_wrong_scheme_is_told_of() {
    let all = Encrypted::start(|_| {}, |_, _| {});
    let ca = all.path("servers.pem");
    for base in ["https://localhost", "https://127.0.0.1"] {
        all.reached(base, &[("--ca-file", &ca)]);
    }
    all.not_reached("http://localhost", &[], "`https://`");

    let plain = Shell::start();
    let clear = Encrypted {
        shell: plain,
        servers: all.servers,
        files: all.files,
    };
    clear.not_reached("https://localhost", &[("--ca-file", &ca)], "`http://`");
}

#[test]
fn a_server_whose_certificate_has_expired_is_not_trusted() {
    let all = Encrypted::start(
        |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2024, 2, 3);
        },
        |_, _| {},
    );
    let ca = all.path("servers.pem");
    all.not_reached(
        "https://localhost",
        &[("--ca-file", &ca)],
        "The server's certificate has to be renewed",
    );
    // Nobody has to start it again for that.
    all.files.replace(&all.servers.issue());
    all.shell.server.signal(rustix::process::Signal::HUP);
    let start = Instant::now();
    let base = "https://localhost";
    let is_reached = |listener| all.ask(listener, base, &[("--ca-file", &ca)]).0 != 4;
    while !is_reached("check") || !is_reached("admin") {
        assert!(start.elapsed() < SEEN, "{}", all.shell.server.log());
    }
    all.reached(base, &[("--ca-file", &ca)]);
}

#[test]
fn a_server_that_wants_a_certificate_is_shown_one() {
    let (clients, strangers) = (Authority::new("clients"), Authority::new("strangers"));
    let all = Encrypted::start(
        |_| {},
        |files, command| files.ask(command, &clients, "required"),
    );
    let base = "https://localhost";
    let ca = all.path("servers.pem");
    let trusted = ("--ca-file", &*ca);
    let [certificate, key] = &all.shown("good", &clients.issue());
    let good = [&[trusted], &*showing(certificate, key)].concat();
    all.reached(base, &good);

    all.not_reached(base, &[trusted], "--client-cert and --client-key");
    let [foreign, foreign_key] = &all.shown("foreign", &strangers.issue());
    let [old, old_key] = &all.shown(
        "old",
        &clients.issue_with(|params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2024, 2, 3);
        }),
    );
    for (certificate, key, advice) in [
        (
            foreign,
            foreign_key,
            "who signed the certificate in --client-cert.",
        ),
        (old, old_key, "The certificate in --client-cert has expired"),
    ] {
        let flags = [&[trusted], &*showing(certificate, key)].concat();
        all.not_reached(base, &flags, advice);
    }

    // What cannot be shown at all.
    let nowhere = all.path("nowhere");
    for (flags, complaint) in [
        (vec![good[1]], "belong together"),
        (vec![good[2]], "belong together"),
        (showing(key, certificate), "are files in PEM"),
        (
            showing(certificate, foreign_key),
            "is not the one of the certificate in --client-cert.",
        ),
        (showing(certificate, &nowhere), "nowhere: No such file"),
    ] {
        for listener in ["check", "admin"] {
            let flags = [&[trusted], &*flags].concat();
            let (code, told) = all.ask(listener, base, &flags);
            assert_eq!(code, 2, "{told}");
            assert!(told.contains(complaint), "{told}");
        }
    }
}

/// The flags that show this certificate.
fn showing<'a>(certificate: &'a Path, key: &'a Path) -> Vec<(&'static str, &'a Path)> {
    vec![("--client-cert", certificate), ("--client-key", key)]
}
