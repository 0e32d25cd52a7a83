//! What is in `deploy` and the program agree: on flags, variables, exit codes,
//! ports, folders, users and versions.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use crate::docs::{between, document, flags, help, root};
use crate::support::{keyward, run};

const UNIT: &str = "deploy/keyward.service";
const IMAGE: &str = "deploy/Dockerfile";
const COMPOSE: &str = "deploy/compose.yaml";

/// Tells a build which commit it is of.
const COMMIT: &str = "KEYWARD_COMMIT";

/// What a supervisor sees if there is no store, and if the settings cannot be
/// used.
const NO_STORE: i32 = 66;
const BAD_SETTINGS: i32 = 64;

#[test]
fn the_unit_and_the_containers_name_variables_that_there_are() {
    let known: BTreeSet<String> = [
        help(&["serve"]),
        help(&["init"]),
        help(&["check"]),
        help(&["keys", "list"]),
    ]
    .iter()
    .flat_map(|help| flags(help).into_values())
    .map(|(variable, _)| variable)
    .collect();
    assert!(known.len() > 10, "{known:?}");
    for name in [UNIT, IMAGE, COMPOSE, "docs/installing.md"] {
        let text = document(name);
        let named: Vec<String> = text
            .match_indices("KEYWARD_")
            .map(|(at, _)| {
                text[at..]
                    .chars()
                    .take_while(|&c| c.is_ascii_uppercase() || c == '_')
                    .collect()
            })
            // As in `KEYWARD_…`.
            .filter(|variable| variable != "KEYWARD_")
            .collect();
        // Of the build, and not of the program.
        for variable in named.iter().filter(|name| *name != COMMIT) {
            assert!(known.contains(variable), "{name} names {variable}");
        }
    }
}

#[test]
fn the_unit_starts_keyward_and_gives_it_its_folders() {
    let unit = document(UNIT);
    let start = setting(&unit, "ExecStart");
    let words: Vec<_> = start.split_whitespace().collect();
    assert_eq!(words[..2], ["/usr/local/bin/keyward", "serve"]);
    assert!(document("docs/installing.md").contains("target/static/keyward /usr/local/bin/\n"));

    let folder = |flag| {
        let at = words.iter().position(|word| *word == flag).unwrap();
        words[at + 1]
    };
    let (data, guard) = (folder("--data-dir"), folder("--guard-dir"));
    assert_apart(data, guard);
    let made: Vec<_> = setting(&unit, "StateDirectory")
        .split(' ')
        .map(|name| format!("/var/lib/{name}"))
        .collect();
    assert_eq!(made, [data, guard]);
    let init = format!("keyward init --data-dir {data} --guard-dir {guard}\n");
    assert!(document("docs/installing.md").contains(&init));

    // Only then does it look for a store: its flags are understood.
    let empty = tempfile::tempdir().unwrap();
    let arguments = words[1..].iter().map(|word| {
        if word.starts_with('/') {
            format!("{}{word}", empty.path().display())
        } else {
            (*word).to_owned()
        }
    });
    let output = run(keyward()
        .args(arguments)
        .args(["--check-listen", "127.0.0.1:0"])
        .args(["--admin-listen", "127.0.0.1:0"]));
    assert_eq!(output.status.code(), Some(NO_STORE), "{output:?}");
}

#[test]
fn the_unit_starts_keyward_again_after_what_another_start_can_mend() {
    let help = help(&["serve"]);
    let (_, codes) = help.split_once("Exit codes").unwrap();
    let all: BTreeSet<u8> = codes
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect();
    let kept_down: BTreeSet<u8> = setting(&document(UNIT), "RestartPreventExitStatus")
        .split(' ')
        .map(|code| code.parse().unwrap())
        .collect();
    // systemd calls that a clean end.
    let forced = setting(&document(UNIT), "RestartForceExitStatus").to_owned();
    assert_eq!(forced, "SIGHUP");
    let again: Vec<_> = all.difference(&kept_down).copied().collect();
    assert_eq!(again, [0, 70, 75]);
    assert!(kept_down.is_subset(&all), "{kept_down:?}");
    for name in ["docs/operating.md", "docs/installing.md"] {
        let text = document(name).replace('\n', " ");
        assert!(text.contains("70 and 75"), "{name}");
    }
}

#[test]
fn supervisors_wait_longer_than_calls_may_take() {
    let drain = |text: &str| humantime::parse_duration(text).unwrap();
    let usual = drain(&flags(&help(&["serve"]))["--drain-timeout"].1);
    let unit = document(UNIT);
    assert!(drain(setting(&unit, "TimeoutStopSec")) >= usual + Duration::from_secs(10));
    let compose = document(COMPOSE);
    let told = drain(&variables_of_compose(&compose)["KEYWARD_DRAIN_TIMEOUT"]);
    assert_eq!(told, usual);
    let patience = drain(between(&compose, "stop_grace_period: ", '\n')[0]);
    assert!(patience >= told + Duration::from_secs(10));
}

#[test]
fn the_container_is_refused_until_it_is_said_that_nobody_listens_in() {
    let image = variables_of_image(&document(IMAGE));
    let compose = variables_of_compose(&document(COMPOSE));
    let empty = tempfile::tempdir().unwrap();
    let start = |variables: Vec<(&String, &String)>| {
        let mut command: Command = keyward();
        for (name, value) in variables {
            let value = if value.starts_with('/') {
                format!("{}{value}", empty.path().display())
            } else {
                value.replace(":50051", ":0").replace(":50052", ":0")
            };
            command.env(name, value);
        }
        run(command.arg("serve"))
    };
    let alone = start(image.iter().collect());
    assert_eq!(alone.status.code(), Some(BAD_SETTINGS), "{alone:?}");
    let composed = start(image.iter().chain(&compose).collect());
    assert_eq!(composed.status.code(), Some(NO_STORE), "{composed:?}");
}

#[test]
fn image_and_compose_agree_on_ports_folders_and_user() {
    let (image, compose) = (document(IMAGE), document(COMPOSE));
    let variables = variables_of_image(&image);

    let serve = flags(&help(&["serve"]));
    let port = |text: &str| text.rsplit(':').next().unwrap().to_owned();
    let ports = ["--check-listen", "--admin-listen"].map(|flag| port(&serve[flag].1));
    let listen = ["KEYWARD_CHECK_LISTEN", "KEYWARD_ADMIN_LISTEN"];
    assert_eq!(listen.map(|name| port(&variables[name])), ports);
    assert_eq!(instruction(&image, "EXPOSE "), ports.join(" "));
    for port in &ports {
        // On loopback: everything here is unencrypted.
        let published = format!("\n      - 127.0.0.1:{port}:{port}\n");
        assert!(compose.contains(&published), "{published}");
    }

    let (data, guard) = (
        &variables["KEYWARD_DATA_DIR"],
        &variables["KEYWARD_GUARD_DIR"],
    );
    assert_apart(data, guard);
    let volumes = instruction(&image, "VOLUME ");
    assert_eq!(volumes, format!("[\"{data}\", \"{guard}\"]"));
    assert!(compose.contains(&format!("\n      - store:{data}\n")));
    assert!(compose.contains(&format!("\n      - guard:{guard}\n")));

    let user = instruction(&image, "USER ");
    let id: u32 = user.split(':').next().unwrap().parse().unwrap();
    assert!(id > 0, "root");
    assert!(compose.contains(&format!("\n    user: \"{user}\"\n")));
    for folder in [data, guard] {
        let made = format!("\nCOPY --from=build --chown={user} /image/empty/ {folder}/\n");
        assert!(image.contains(&made), "{made}");
    }
}

#[test]
fn the_image_is_built_by_the_compiler_of_the_tests() {
    let toolchain = document("rust-toolchain.toml");
    let channel = between(&toolchain, "channel = \"", '"')[0];
    let manifest = document("Cargo.toml");
    let least = between(&manifest, "rust-version = \"", '"')[0];
    assert!(channel == least || channel.starts_with(&format!("{least}.")));
    let image = document(IMAGE);
    assert_eq!(between(&image, "\nFROM rust:", '-'), [channel]);
    assert_eq!(
        variables_of(&image, "ENV RUSTUP_TOOLCHAIN")["RUSTUP_TOOLCHAIN"],
        channel
    );
}

/// `.git` is not given to the image's build, so nobody in there could say.
#[test]
fn the_image_is_told_its_commit() {
    let image = document(IMAGE);
    let (build, rest) = image.split_once("\nFROM scratch\n").unwrap();
    let (before, _) = build.split_once("\nRUN ").unwrap();
    assert!(
        before.contains(&format!("\nARG {COMMIT}=\"\"\n")),
        "{before}"
    );
    assert!(!rest.contains(COMMIT), "the program does not know it");
    let compose = document(COMPOSE);
    let argument = format!("\n        {COMMIT}: ${{{COMMIT}:-}}\n");
    assert!(compose.contains(&argument), "{compose}");

    for (given, named) in [
        (
            "0123456789abcdef0123456789abcdef01234567",
            Some("0123456789ab"),
        ),
        ("0123456789abcdef-dirty", Some("0123456789ab-dirty")),
        ("1234567", Some("1234567")),
        ("main", None),
        ("0123456789ab\ncargo:rustc-env=A=b", None),
    ] {
        let output = build_script(given);
        let told = String::from_utf8(output.stdout).unwrap();
        let told = told
            .lines()
            .find_map(|line| line.strip_prefix("cargo:rustc-env=KEYWARD_BUILD_COMMIT="));
        assert_eq!(told, named, "{given}");
        assert_eq!(output.status.success(), named.is_some(), "{given}");
    }
}

/// Runs the build script that made the program, with this commit given.
fn build_script(commit: &str) -> Output {
    let out = Path::new(env!("OUT_DIR"));
    let builds = out.parent().unwrap().parent().unwrap();
    let newest = fs::read_dir(builds)
        .unwrap()
        .map(|build| build.unwrap().path())
        .filter(|build| {
            let name = build.file_name().unwrap().to_str().unwrap();
            name.starts_with("keyward-")
        })
        .map(|build| build.join("build-script-build"))
        .filter(|script| script.exists())
        .max_by_key(|script| fs::metadata(script).unwrap().modified().unwrap())
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    run(Command::new(newest)
        .current_dir(root())
        .env(COMMIT, commit)
        .env("OUT_DIR", folder.path())
        .env("PROFILE", "debug")
        .env("TARGET", "any")
        .env("RUSTC", "rustc"))
}

/// A store, a pepper or a token in this folder must not get into an image, or
/// into a cache of one.
#[test]
fn the_image_is_given_what_it_is_built_from_and_nothing_else() {
    let ignored = document(".dockerignore");
    let mut patterns = ignored.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(patterns.next(), Some("*"));
    let given: BTreeSet<_> = patterns
        .map(|pattern| pattern.strip_prefix('!').unwrap())
        .collect();
    for path in &given {
        assert!(root().join(path).exists(), "{path}");
    }
    let needed = [
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "build.rs",
        "deploy/build-static",
        "proto",
        "src",
    ];
    assert_eq!(given, needed.into());
}

#[test]
fn each_file_says_how_far_it_was_tried() {
    for name in ["build-static", "Dockerfile", "compose.yaml", UNIT] {
        let name = name.trim_start_matches("deploy/");
        let text = document(&format!("deploy/{name}"));
        let head: String = text
            .lines()
            .take_while(|line| line.starts_with('#'))
            .collect();
        let head = head.replace("# ", " ");
        assert!(head.contains("alidated by "), "{name}: {head}");
        assert!(head.contains("not run by the tests"), "{name}: {head}");
        let installing = document("docs/installing.md");
        assert!(installing.contains(&format!("deploy/{name}")), "{name}");
    }
    let script = root().join("deploy/build-static");
    let mode = fs::metadata(script).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111, "it can be run");
}

/// Neither folder lies in the other: who copies one does not take the other
/// along.
fn assert_apart(data: &str, guard: &str) {
    for (inner, outer) in [(data, guard), (guard, data)] {
        assert!(!format!("{inner}/").starts_with(&format!("{outer}/")));
    }
}

/// The value of a unit's setting, which is given once.
fn setting<'a>(unit: &'a str, name: &str) -> &'a str {
    let values = between(unit, &format!("\n{name}="), '\n');
    assert_eq!(values.len(), 1, "{name}: {values:?}");
    values[0]
}

/// What follows a Dockerfile's instruction, which is given once.
fn instruction<'a>(image: &'a str, name: &str) -> &'a str {
    let values = between(image, &format!("\n{name}"), '\n');
    assert_eq!(values.len(), 1, "{name}: {values:?}");
    values[0]
}

/// The variables that the image sets for keyward.
fn variables_of_image(image: &str) -> BTreeMap<String, String> {
    let variables = variables_of(image, "ENV KEYWARD_");
    assert_eq!(variables.len(), 4, "{variables:?}");
    variables
}

/// The variables of the one instruction that starts so.
fn variables_of(image: &str, start: &str) -> BTreeMap<String, String> {
    let joined = image.replace("\\\n", " ");
    let line = joined.lines().find(|line| line.starts_with(start)).unwrap();
    line.split_whitespace()
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The variables that Compose sets.
fn variables_of_compose(compose: &str) -> BTreeMap<String, String> {
    let variables: BTreeMap<_, _> = compose
        .lines()
        .filter_map(|line| line.trim().split_once(": "))
        .filter(|(name, _)| name.starts_with("KEYWARD_"))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
        .collect();
    assert!(variables.len() > 1, "{variables:?}");
    variables
}
