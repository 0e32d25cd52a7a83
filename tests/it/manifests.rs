//! What is in `deploy` for Kubernetes and Istio, and the program, agree: on
//! settings, folders, ports and users, and the files with one another. That each
//! resource is of the right shape is for `.ci/run`, which has the schemas.

#![expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;

use crate::docs::{between, document, flags, help, root};
use crate::pki::Authority;
use crate::support::{Server, Site, keyward, run};

const SETTINGS: &str = "deploy/kubernetes/settings.env";

/// What a user types, to be run in the pod.
const IN_THE_POD: &str = "exec keyward-0 -- /usr/local/bin/keyward ";

/// All resources, also those of Istio and cert-manager, by kind and name.
static RESOURCES: LazyLock<BTreeMap<(String, String), Value>> = LazyLock::new(|| {
    let mut all = BTreeMap::new();
    for folder in ["kubernetes", "kubernetes/once", "istio"] {
        for file in fs::read_dir(root().join("deploy").join(folder)).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if !name.ends_with(".yaml") || name.starts_with("kustomization") {
                continue;
            }
            for text in fs::read_to_string(&path).unwrap().split("\n---\n") {
                let value: Value = serde_saphyr::from_str(text).unwrap();
                let word = |pointer| {
                    let word = value.pointer(pointer).and_then(Value::as_str);
                    word.unwrap_or_default().to_owned()
                };
                // The patch has the name of what it changes.
                let kind = if name == "server-routes.yaml" {
                    "patch".to_owned()
                } else {
                    word("/kind")
                };
                let before = all.insert((kind, word("/metadata/name")), value);
                assert_eq!(before, None, "{}", path.display());
            }
        }
    }
    all
});

fn resource(kind: &str, name: &str) -> &'static Value {
    &RESOURCES[&(kind.to_owned(), name.to_owned())]
}

/// What a pointer leads to, which has to be there.
fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    let found = value.pointer(pointer);
    found.unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

/// The names, or other words, that the items of a list have there.
fn words<'a>(list: &'a Value, pointer: &str) -> Vec<&'a str> {
    let items = list.as_array().unwrap().iter();
    items
        .map(|item| at(item, pointer).as_str().unwrap())
        .collect()
}

/// The pods of the server and of the init.
fn pods() -> [&'static Value; 2] {
    [("StatefulSet", "keyward"), ("Job", "keyward-init")]
        .map(|(kind, name)| at(resource(kind, name), "/spec/template/spec"))
}

fn settings() -> BTreeMap<String, String> {
    let text = document(SETTINGS);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pair = |line: &str| {
        let (name, value) = line.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    };
    lines.map(pair).collect()
}

/// The port of a listener's setting.
fn port(name: &str) -> u64 {
    let address = settings()[name].clone();
    let (host, port) = address.rsplit_once(':').unwrap();
    assert_eq!(host, "0.0.0.0", "others than the pod reach it");
    port.parse().unwrap()
}

#[test]
fn settings_are_those_of_the_program() {
    let known: BTreeSet<String> = [help(&["serve"]), help(&["check"]), help(&["keys", "list"])]
        .iter()
        .flat_map(|help| flags(help).into_values())
        .map(|(variable, _)| variable)
        .collect();
    let server = at(resource("StatefulSet", "keyward"), "/spec/template/spec");
    let patch = at(resource("patch", "keyward"), "/spec/template/spec");
    let own = [server, patch].map(|pod| words(at(pod, "/containers/0/env"), "/name"));
    let readmes = ["kubernetes", "istio"].map(|name| document(&format!("deploy/{name}/README.md")));
    let told = readmes.iter().flat_map(|text| {
        let variable = |from: &str| -> String {
            let is_part = |c: &char| c.is_ascii_uppercase() || *c == '_';
            from.chars().take_while(is_part).collect()
        };
        let found: Vec<_> = text.match_indices("KEYWARD_").collect();
        found.into_iter().map(move |(at, _)| variable(&text[at..]))
    });
    let all = settings().into_keys();
    let all = all
        .chain(own.concat().into_iter().map(str::to_owned))
        .chain(told);
    // An image's build is told its commit.
    let all: Vec<_> = all.filter(|name| name != "KEYWARD_COMMIT").collect();
    assert!(all.len() > 15, "{all:?}");
    for name in all {
        assert!(known.contains(&name), "{name}");
    }
}

#[test]
fn what_others_reach_encrypts_by_itself() {
    let (_, files) = tls();
    let check = |variables: &BTreeMap<String, String>| {
        let mut command = keyward();
        command.args(["config", "check"]).envs(variables);
        run(&mut command)
    };
    let good = moved(files.path(), |address| address.to_owned());
    let output = check(&good);
    assert!(output.status.success(), "{output:?}");
    // None of what it says of variables and files is a warning.
    assert_eq!(text(&output.stderr), "", "{output:?}");
    for listener in ["CHECK", "ADMIN", "HTTP"] {
        let mut bare = good.clone();
        bare.retain(|name, _| !name.starts_with(&format!("KEYWARD_{listener}_TLS_")));
        let output = check(&bare);
        assert_eq!(output.status.code(), Some(64), "{listener}: {output:?}");
        assert!(text(&output.stderr).contains("in clear"), "{output:?}");
    }
}

/// The Job's arguments, then the server with the shipped settings, then what the
/// README types into its pod.
#[test]
fn the_first_admin_token_is_exchanged_within_the_pod() {
    let (_, files) = tls();
    let (store, guard) = (files.path().join("store"), files.path().join("guard"));
    let here = |text: &str| text.replace("/var/lib/keyward-guard", guard.to_str().unwrap());
    let folders = [("KEYWARD_DATA_DIR", &store), ("KEYWARD_GUARD_DIR", &guard)];

    // Mounted, and given to the pod's group.
    for folder in [&store, &guard] {
        fs::create_dir(folder).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o2770)).unwrap();
    }

    let init = at(pods()[1], "/containers/0/args");
    let init = words(init, "").into_iter().map(here);
    let output = run(keyward().args(init.clone()).envs(folders));
    assert!(output.status.success(), "{output:?}");
    // It goes to the logs of the cluster.
    assert!(
        !text(&output.stdout).contains("keyward_admin_"),
        "{output:?}"
    );
    let again = run(keyward().args(init).envs(folders));
    assert_eq!(again.status.code(), Some(73), "{again:?}");

    let variables = moved(files.path(), |_| "127.0.0.1:0".to_owned());
    let serve = words(at(pods()[0], "/containers/0/args"), "");
    let mut command = keyward();
    command.args(serve).envs(folders).envs(&variables);
    let server = Server::spawn(Site::init(), command).unwrap();
    let admin = server
        .admin_address
        .replace("http://127.0.0.1", "https://localhost");

    let readme = document("deploy/kubernetes/README.md");
    let typed: Vec<_> = readme
        .lines()
        .filter_map(|line| Some(line.split_once(IN_THE_POD)?.1))
        .collect();
    let [whoami, rotate] = typed[..] else {
        panic!("{typed:?}");
    };
    let in_the_pod = |typed: &str| {
        let words = here(typed.split(" > ").next().unwrap());
        run(keyward()
            .args(words.split(' '))
            .envs(&variables)
            .env("KEYWARD_ADMIN_SERVER", &admin))
    };
    let who = in_the_pod(whoami);
    assert!(who.status.success(), "{who:?}");
    let who = text(&who.stdout);
    let id = who.split_whitespace().find(|word| word.starts_with("adm_"));
    let rotated = in_the_pod(&rotate.replace("adm_…", id.unwrap()));
    assert!(rotated.status.success(), "{rotated:?}");
    let token = text(&rotated.stdout).trim().to_owned();

    let gone = in_the_pod(whoami);
    assert!(
        !gone.status.success(),
        "the old token still works: {gone:?}"
    );
    let with = |token: &str| {
        run(keyward()
            .arg("whoami")
            .envs(&variables)
            .env("KEYWARD_ADMIN_SERVER", &admin)
            .env("KEYWARD_ADMIN_TOKEN", token))
    };
    let who = with(&token);
    assert!(who.status.success(), "{who:?}");
    assert!(text(&who.stdout).contains(id.unwrap()), "{who:?}");
}

#[test]
fn pods_are_as_the_image_wants_them() {
    let image = document("deploy/Dockerfile");
    let user: u64 = between(&image, "\nUSER ", ':')[0].parse().unwrap();
    let folders = between(&image, "\nVOLUME [", ']')[0].replace('"', "");
    let folders: Vec<_> = folders.split(", ").collect();
    for pod in pods() {
        let context = at(pod, "/securityContext");
        for id in ["/runAsUser", "/runAsGroup", "/fsGroup"] {
            assert_eq!(at(context, id), user, "{id}");
        }
        // Any other has the pepper opened to its group at each start.
        assert_eq!(at(context, "/fsGroupChangePolicy"), "OnRootMismatch");
        assert_eq!(at(context, "/runAsNonRoot"), true);
        assert_eq!(at(context, "/seccompProfile/type"), "RuntimeDefault");
        assert_eq!(at(pod, "/automountServiceAccountToken"), false);
        assert_eq!(at(pod, "/enableServiceLinks"), false);

        let container = at(pod, "/containers/0");
        let context = at(container, "/securityContext");
        assert_eq!(at(context, "/allowPrivilegeEscalation"), false);
        assert_eq!(at(context, "/readOnlyRootFilesystem"), true);
        assert_eq!(at(context, "/capabilities/drop/0"), "ALL");
        assert_eq!(pod["containers"].as_array().unwrap().len(), 1);

        let mounts = at(container, "/volumeMounts");
        assert_eq!(words(mounts, "/mountPath")[..2], folders);
        assert_eq!(words(mounts, "/name")[..2], ["store", "guard"]);
        let volumes = at(pod, "/volumes").as_array().unwrap();
        for (volume, name) in volumes.iter().zip(["store", "guard"]) {
            assert_eq!(at(volume, "/name"), name);
            assert_eq!(at(volume, "/persistentVolumeClaim/claimName"), name);
            let claim = resource("PersistentVolumeClaim", name);
            assert_eq!(at(claim, "/spec/accessModes/0"), "ReadWriteOncePod");
        }
    }
}

#[test]
fn the_server_is_one_and_has_time_to_stop() {
    let set = at(resource("StatefulSet", "keyward"), "/spec");
    assert_eq!(at(set, "/replicas"), 1);
    let pod = pods()[0];
    let patience = at(pod, "/terminationGracePeriodSeconds").as_u64().unwrap();
    let drain = humantime::parse_duration(&settings()["KEYWARD_DRAIN_TIMEOUT"]).unwrap();
    assert!(Duration::from_secs(patience) >= drain + Duration::from_secs(10));
    assert_eq!(
        at(pod, "/containers/0/envFrom/0/configMapRef/name"),
        "keyward-settings"
    );
    let generated = document("deploy/kubernetes/kustomization.yaml");
    assert!(generated.contains("- name: keyward-settings\n  envs:\n  - settings.env\n"));
    let limits = at(pod, "/containers/0/resources/limits")
        .as_object()
        .unwrap();
    assert!(!limits.contains_key("cpu"), "it would hold up checks");
}

#[test]
fn ports_probes_services_and_policies_agree() {
    let container = at(pods()[0], "/containers/0");
    let ports: BTreeMap<&str, u64> = at(container, "/ports")
        .as_array()
        .unwrap()
        .iter()
        .map(|port| {
            let number = at(port, "/containerPort").as_u64().unwrap();
            (at(port, "/name").as_str().unwrap(), number)
        })
        .collect();
    let expected = ["check", "admin", "http", "metrics"];
    let listening = expected.map(|name| {
        let setting = format!("KEYWARD_{}_LISTEN", name.to_uppercase());
        (name, port(&setting))
    });
    assert_eq!(ports, listening.into());

    for (probe, path) in [
        ("startup", "/readyz"),
        ("readiness", "/readyz"),
        ("liveness", "/livez"),
    ] {
        let get = at(container, &format!("/{probe}Probe/httpGet")).clone();
        assert_eq!(at(&get, "/path"), path);
        // In clear, which the kubelet's probes are.
        assert_eq!(at(&get, "/port"), "metrics");
    }

    let labels = at(
        resource("StatefulSet", "keyward"),
        "/spec/template/metadata/labels",
    );
    for (service, names) in [
        ("keyward", &["check", "http"][..]),
        ("keyward-admin", &["admin"]),
        ("keyward-metrics", &["metrics"]),
    ] {
        let spec = at(resource("Service", service), "/spec");
        assert_eq!(at(spec, "/selector"), labels);
        let served = at(spec, "/ports");
        assert_eq!(words(served, "/targetPort"), names);
        for (port, name) in served.as_array().unwrap().iter().zip(names) {
            assert_eq!(at(port, "/port"), ports[name]);
        }
    }

    let policy = at(resource("NetworkPolicy", "keyward"), "/spec");
    assert_eq!(at(policy, "/podSelector/matchLabels"), labels);
    assert_eq!(at(policy, "/egress"), &Value::Array(vec![]));
    let readme = document("deploy/kubernetes/README.md");
    let mut let_in = BTreeSet::new();
    for rule in at(policy, "/ingress").as_array().unwrap() {
        let from = at(rule, "/from").as_array().unwrap();
        assert_eq!(from.len(), 1, "{rule}");
        let label = at(&from[0], "/namespaceSelector/matchLabels");
        for (name, value) in label.as_object().unwrap() {
            let told = format!("`{name}: {}`", value.as_str().unwrap());
            assert!(readme.contains(&told), "{told}");
        }
        let_in.extend(words(at(rule, "/ports"), "/port"));
    }
    assert_eq!(let_in, expected.into());
}

#[test]
fn the_mesh_finds_the_server_that_there_is() {
    let mesh: Value = serde_saphyr::from_str(&document("deploy/istio/mesh.yaml")).unwrap();
    let provider = at(&mesh, "/spec/meshConfig/extensionProviders/0");
    let asks = at(provider, "/envoyExtAuthzGrpc");
    let host = at(asks, "/service").as_str().unwrap();
    assert_eq!(host, "keyward.keyward.svc.cluster.local");
    assert_eq!(at(asks, "/port"), port("KEYWARD_CHECK_LISTEN"));

    let policy = at(resource("AuthorizationPolicy", "keyward"), "/spec");
    assert_eq!(at(policy, "/action"), "CUSTOM");
    assert_eq!(at(policy, "/provider/name"), at(provider, "/name"));
    // Every request, whatever its path is.
    assert_eq!(at(policy, "/rules"), &serde_json::json!([{}]));
    let filter = at(resource("EnvoyFilter", "keyward"), "/spec");
    assert_eq!(
        at(policy, "/selector/matchLabels"),
        at(filter, "/workloadSelector/labels")
    );

    let rule = at(resource("DestinationRule", "keyward"), "/spec");
    assert_eq!(at(rule, "/host"), host);
    let port = at(rule, "/trafficPolicy/portLevelSettings/0");
    assert_eq!(at(port, "/port/number"), at(asks, "/port"));
    assert_eq!(at(port, "/tls/sni"), host);
    assert_eq!(at(port, "/tls/subjectAltNames/0"), host);
    let names = at(resource("Certificate", "keyward"), "/spec/dnsNames");
    let names = words(names, "");
    assert!(
        names.contains(&host) && names.contains(&"localhost"),
        "{names:?}"
    );

    // Where the server reads its table is where it is put.
    let patch = at(resource("patch", "keyward"), "/spec/template/spec");
    let table = at(patch, "/containers/0/env/0/value").as_str().unwrap();
    let folder = at(patch, "/containers/0/volumeMounts/0/mountPath").as_str();
    assert_eq!(table, format!("{}/routes.toml", folder.unwrap()));
}

#[test]
fn each_folder_says_how_far_it_was_tried() {
    for folder in ["kubernetes", "istio"] {
        let readme = document(&format!("deploy/{folder}/README.md"));
        assert!(readme.contains("\n**Validated, not run.** "), "{folder}");
        let installing = document("docs/installing.md");
        assert!(installing.contains(&format!("deploy/{folder}")), "{folder}");
    }
}

/// A folder with the three files of TLS, as the Secret has them.
fn tls() -> (Authority, tempfile::TempDir) {
    let authority = Authority::new("for the cluster");
    let pair = authority.issue();
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("tls.crt", &pair.certificate),
        ("tls.key", &pair.key),
        ("ca.crt", &authority.pem),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
    }
    (authority, folder)
}

/// The shipped settings, with the files of TLS in `folder` and each listener where
/// `address` says.
fn moved(folder: &Path, address: impl Fn(&str) -> String) -> BTreeMap<String, String> {
    let place = |(name, value): (String, String)| {
        let value = if name.ends_with("_LISTEN") {
            address(&value)
        } else {
            value.replace("/etc/keyward/tls", folder.to_str().unwrap())
        };
        (name, value)
    };
    settings().into_iter().map(place).collect()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
