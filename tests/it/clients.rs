//! The clients of docs/clients.md: other languages' gRPC libraries, and tonic as
//! a user of keyward has it, do what the page says, as it is printed there.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keyward::edge::pb::{CreateWorkspaceRequest, ListKeysRequest, Workspace};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::docs::{document, root};
use crate::pki::{Authority, Files, channel, replace};
use crate::redact::assert_same;
use crate::rust_client;
use crate::support::{Server, Site, admin_over, run, run_with_input, tool};

/// What the page prints: files, and the language of each. Those in Go are run by
/// hand.
const PRINTED: [(&str, &str); 9] = [
    ("tests/clients/python/gateway.py", "python"),
    ("tests/clients/python/issue.py", "python"),
    ("tests/clients/node/gateway.mjs", "javascript"),
    ("tests/clients/node/issue.mjs", "javascript"),
    ("tests/clients/rust/gateway.rs", "rust"),
    ("tests/clients/rust/issue.rs", "rust"),
    ("tests/clients/go/buf.gen.yaml", "yaml"),
    ("tests/clients/go/gateway.go", "go"),
    ("tests/clients/go/issue.go", "go"),
];

#[test]
fn the_page_prints_the_files_that_are_tested() {
    let page = document("docs/clients.md");
    let mut printed = page.clone();
    for (path, language) in PRINTED {
        let start = format!("[`{path}`](../{path}):\n\n```{language}\n");
        let from = printed.find(&start).unwrap_or_else(|| panic!("{start}")) + start.len();
        let length = printed[from..].find("```\n").unwrap();
        printed.replace_range(from..from + length, &document(path));
    }
    if std::env::var_os("KEYWARD_WRITE_DOCS").is_some() {
        return fs::write(root().join("docs/clients.md"), printed).unwrap();
    }
    assert_same(&page, &printed);
}

/// What a client is told: where things are. Empty names of files: there is no
/// TLS.
pub(crate) struct Given {
    pub(crate) check: String,
    pub(crate) admin: String,
    /// Where nobody listens.
    pub(crate) nobody: String,
    pub(crate) token: String,
    pub(crate) tls: Option<[PathBuf; 3]>,
}

impl Given {
    async fn of(server: &Server, admin: &str, tls: Option<[PathBuf; 3]>) -> Self {
        let target = |address: &str| address.trim_start_matches("http://").to_owned();
        // Bound and left: nobody is given it for a while.
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            check: target(&server.check_address),
            admin: target(admin),
            nobody: nobody.local_addr().unwrap().to_string(),
            token: server.site.admin_token(),
            tls,
        }
    }

    fn to_json(&self) -> String {
        let file = |number: usize| self.tls.as_ref().map(|files| files[number].clone());
        json!({
            "check": self.check, "admin": self.admin, "nobody": self.nobody, "token": self.token,
            "ca": file(0), "certificate": file(1), "key": file(2),
        })
        .to_string()
    }
}

/// What each client has to tell of its story.
fn expected(tls: bool) -> Value {
    let typo = "is not in the workspace's scope catalog; did you mean `a:read`?";
    let mut expected = json!({
        "allowed": [200, "user:ada"],
        "scope": [403, ""],
        "none": [401, ""],
        "long": [401, ""],
        "unknown outcome": 403,
        "nobody there": [503, ""],
        "typo": ["INVALID_ARGUMENT", "INVALID_FIELDS", { "scopes[0]": typo }],
        "no admin": ["UNAUTHENTICATED", "ADMIN_TOKEN_INVALID", {}],
        "revoked": [401, ""],
    });
    if tls {
        expected["no certificate"] = json!([503, ""]);
        // The connection's error, not keyward's: there is no reason in it.
        expected["no operator's certificate"] = json!([null, {}]);
    }
    expected
}

/// A client, made ready in a folder: all that is left is to run it.
enum Client {
    Program(Command),
    Rust,
}

impl Client {
    fn python(folder: &Path) -> Self {
        Self::Program(python(folder, "story.py"))
    }

    fn node(folder: &Path) -> Self {
        Self::Program(node(folder, "story.mjs"))
    }

    async fn tell(&mut self, given: &Given) -> Value {
        match self {
            Self::Program(command) => {
                let output = run_with_input(command, given.to_json().as_bytes());
                let complaint = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{complaint}");
                serde_json::from_slice(&output.stdout).unwrap()
            }
            Self::Rust => rust_client::tell(given).await,
        }
    }
}

/// Python, with the stubs that are generated as the page says.
pub(crate) fn python(folder: &Path, script: &str) -> Command {
    let sources = root().join("tests/clients/python");
    copy(&sources, folder);
    let mut generate = Command::new(tool("python"));
    generate
        .current_dir(root())
        .args(["-m", "grpc_tools.protoc", "--proto_path=proto"]);
    for kind in ["python_out", "grpc_python_out"] {
        generate.arg(format!("--{kind}={}", folder.display()));
    }
    let protos = fs::read_dir(root().join("proto/keyward/v1")).unwrap();
    let protos = protos.map(|entry| Path::new("proto/keyward/v1").join(entry.unwrap().file_name()));
    let output = run(generate.args(protos));
    assert!(output.status.success(), "{output:?}");
    let mut python = Command::new(tool("python"));
    python.current_dir(folder).arg(script);
    python
}

/// Node, with the protos and the packages beside it.
pub(crate) fn node(folder: &Path, script: &str) -> Command {
    copy(&root().join("tests/clients/node"), folder);
    symlink(root().join("proto"), folder.join("proto")).unwrap();
    let packages = tool("../node/node_modules").canonicalize().unwrap();
    symlink(packages, folder.join("node_modules")).unwrap();
    let mut node = Command::new(tool("node"));
    node.current_dir(folder).arg(script);
    node
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A workspace in which a typo shows.
async fn prepare(admin: &mut crate::support::Admin) {
    let workspace = Workspace {
        id: "clients".to_owned(),
        token_prefix: "klg".to_owned(),
        scope_catalog: ["a:read", "a:write"].map(str::to_owned).to_vec(),
        ..Workspace::default()
    };
    let request = CreateWorkspaceRequest {
        workspace: Some(workspace),
    };
    admin.client.create_workspace(request).await.unwrap();
}

/// The story in clear, through a network that loses the first reply with a
/// token: one key is issued all the same, and one token is had.
async fn over_a_lossy_network(client: &mut Client) {
    let server = Server::start();
    let mut admin = server.admin().await;
    prepare(&mut admin).await;
    let network = LossyNetwork::to(&server.admin_address).await;
    let given = Given::of(&server, &network.address, None).await;
    let told = client.tell(&given).await;
    assert_eq!(told, expected(false));
    assert!(network.has_lost.load(Ordering::Relaxed));
    let listed = admin.client.list_keys(ListKeysRequest::default()).await;
    assert_eq!(listed.unwrap().into_inner().keys.len(), 1);
}

/// The story over TLS, where both listeners want a certificate of every client;
/// strangers who show none get no verdict, and no denial either.
async fn with_certificates(client: &mut Client) {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let site = Site::init();
    let files = Files::write(&site, &servers.issue());
    let mut command = site.serve_command();
    files.on_both(&mut command);
    files.ask(&mut command, &clients, "required");
    let server = Server::spawn(site, command).unwrap();
    let own = clients.issue();
    let operator = channel(&server.admin_address, &servers, Some(&own)).await;
    prepare(&mut admin_over(
        operator.unwrap(),
        &server.site.admin_token(),
    ))
    .await;
    let file = |name: &str, text: &str| {
        let path = server.site.path().join(name);
        replace(&path, text);
        path
    };
    let shown = [
        file("servers.crt", &servers.pem),
        file("client.crt", &own.certificate),
        file("client.key", &own.key),
    ];
    let given = Given::of(&server, &server.admin_address, Some(shown)).await;
    assert_eq!(client.tell(&given).await, expected(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn python_does_as_the_page_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut client = Client::python(folder.path());
    over_a_lossy_network(&mut client).await;
    with_certificates(&mut client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_does_as_the_page_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut client = Client::node(folder.path());
    over_a_lossy_network(&mut client).await;
    with_certificates(&mut client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_does_as_the_page_says() {
    over_a_lossy_network(&mut Client::Rust).await;
    with_certificates(&mut Client::Rust).await;
}

/// What lies between a client and a server, and cuts the connection instead of
/// delivering the first reply in which there is a token.
struct LossyNetwork {
    address: String,
    has_lost: Arc<AtomicBool>,
    /// Ends with the test.
    _connections: JoinSet<()>,
}

impl LossyNetwork {
    async fn to(server: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = server.trim_start_matches("http://").to_owned();
        let has_lost = Arc::new(AtomicBool::new(false));
        let lost = Arc::clone(&has_lost);
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut carried = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                carried.spawn(carry(client, server, Arc::clone(&lost)));
            }
        });
        Self {
            address,
            has_lost,
            _connections: connections,
        }
    }
}

/// Carries bytes both ways until one side ends, or a reply is lost.
async fn carry(client: TcpStream, server: TcpStream, has_lost: Arc<AtomicBool>) {
    let (mut requests, mut to_client) = client.into_split();
    let (mut replies, mut to_server) = server.into_split();
    let up = async { tokio::io::copy(&mut requests, &mut to_server).await };
    let down = async {
        let mut bytes = [0; 64 * 1024];
        while let Ok(length @ 1..) = replies.read(&mut bytes).await {
            let has_token = bytes[..length].windows(4).any(|part| part == b"klg_");
            if has_token && !has_lost.swap(true, Ordering::Relaxed) {
                return;
            }
            to_client.write_all(&bytes[..length]).await.unwrap();
        }
    };
    tokio::select! {
        _ = up => {}
        () = down => {}
    }
}
