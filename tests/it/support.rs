//! A real server for tests: the built program, on free ports, in a folder of
//! its own, with its log kept; and clients of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::{Buf, BufMut};
use keyward::domain::clock::SystemClock;
use keyward::domain::digest::Pepper;
use keyward::edge::pb::key_admin_client::KeyAdminClient;
use keyward::edge::pb::key_check_client::KeyCheckClient;
use keyward::edge::pb::{
    Allowed, CheckRequest, CheckResponse, CheckResult, CreateKeyRequest, CreateKeyResponse,
    CreateWorkspaceRequest, DenialReason, Denied, Key, RevokeKeyRequest, UndecidedReason,
    Workspace, check_response::Outcome, check_result,
};
use keyward::store::home::Home;
use keyward::store::{Batch, Store, Versioned};
use tempfile::TempDir;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// Longer than any start or stop takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test.
pub(crate) fn keyward() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyward"));
    // Nothing of whoever runs the tests.
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        // On any port that is free: servers of many tests run at a time.
        .env("KEYWARD_HTTP_LISTEN", "127.0.0.1:0");
    command
}

/// The token with another last character than its own.
pub(crate) fn mistyped(token: &str) -> String {
    let last = if token.ends_with('x') { 'y' } else { 'x' };
    format!("{}{last}", &token[..token.len() - 1])
}

/// Has `wrapper` run `command` as it would run by itself.
pub(crate) fn wrapped(mut wrapper: Command, command: &Command) -> Command {
    let variables = command.get_envs();
    wrapper
        .arg(command.get_program())
        .args(command.get_args())
        .envs(variables.filter_map(|(name, value)| Some((name, value?))));
    wrapper
}

/// Runs `command` to its end, which has to come soon.
pub(crate) fn run(command: &mut Command) -> Output {
    run_with_input(command, b"")
}

/// Runs `command` to its end, with `input` as its stdin.
pub(crate) fn run_with_input(command: &mut Command, input: &[u8]) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut running = Running(command.spawn().unwrap());
    let child = &mut running.0;
    // It need not read all of it, or any.
    let _ = child.stdin.take().unwrap().write_all(input);
    let stdout = read_on_a_thread(child.stdout.take().unwrap());
    let stderr = read_on_a_thread(child.stderr.take().unwrap());
    let status = wait(child);
    Output {
        status,
        stdout: stdout.recv_timeout(PATIENCE).unwrap(),
        stderr: stderr.recv_timeout(PATIENCE).unwrap(),
    }
}

/// Does not outlive the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read_on_a_thread(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (read, bytes) = mpsc::channel();
    std::thread::spawn(move || {
        let mut all = Vec::new();
        let _ = pipe.read_to_end(&mut all);
        let _ = read.send(all);
    });
    bytes
}

/// A program that tests/run installs, by its name.
pub(crate) fn tool(name: &str) -> PathBuf {
    let folder = std::env::var_os("KEYWARD_TEST_TOOLS")
        .map(PathBuf::from)
        .unwrap_or_else(|| {
            let profile = Path::new(env!("CARGO_BIN_EXE_keyward")).parent().unwrap();
            profile.parent().unwrap().join("tools/bin")
        });
    let path = folder.join(name);
    assert!(
        path.exists(),
        "there is no {}: run tests/run, which installs it",
        path.display()
    );
    path
}

/// A store that was made by `keyward init`, in a folder of its own.
#[derive(Clone)]
pub(crate) struct Site {
    folder: Arc<TempDir>,
}

impl Site {
    pub(crate) fn init() -> Self {
        let site = Self {
            folder: Arc::new(tempfile::tempdir().unwrap()),
        };
        let output = keyward()
            .args(["init", "--data-dir"])
            .arg(site.data_dir())
            .arg("--admin-token-file")
            .arg(site.token_file())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        site
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.path().join("data")
    }

    pub(crate) fn store_dir(&self) -> PathBuf {
        self.data_dir().join("store")
    }

    pub(crate) fn guard_dir(&self) -> PathBuf {
        self.data_dir().join("guard")
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.path().join("admin.token")
    }

    pub(crate) fn admin_token(&self) -> String {
        std::fs::read_to_string(self.token_file())
            .unwrap()
            .trim()
            .to_owned()
    }

    /// The command that serves this store on free ports with a log in JSON.
    pub(crate) fn serve_command(&self) -> Command {
        let mut command = keyward();
        command
            .args(["serve", "--log-format", "json", "--data-dir"])
            .arg(self.data_dir());
        command.args([
            "--check-listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ]);
        command
    }

    pub(crate) fn serve(&self) -> Server {
        Server::spawn(self.clone(), self.serve_command()).unwrap()
    }

    /// Changes the store while nobody serves it, in ways that no call can:
    /// commits what `edit` makes of the pepper and of all records.
    pub(crate) async fn edit(&self, edit: impl FnOnce(&Pepper, Vec<Versioned>) -> Vec<Batch>) {
        let home = Home::new(self.store_dir(), self.guard_dir()).unwrap();
        let (store, pepper) = home.open(Arc::new(SystemClock::default())).unwrap();
        // Loading blocks, which a task has to announce.
        let records = tokio::task::block_in_place(|| {
            store.snapshot().unwrap().collect::<Result<_, _>>().unwrap()
        });
        for batch in edit(&pepper, records) {
            store.commit(batch).await.unwrap();
        }
        store.close();
    }
}

/// A running server. It is killed when it is dropped.
pub(crate) struct Server {
    pub(crate) site: Site,
    child: Child,
    log: Arc<Mutex<String>>,
    /// Keeps the log until the server's end.
    reader: Option<JoinHandle<()>>,
    /// `http://…` of the check listener, or `unix:…`.
    pub(crate) check_address: String,
    /// `http://…` of the admin listener, or `unix:…`.
    pub(crate) admin_address: String,
    /// `http://…` of the http listener, or `unix:…`; empty: it is off.
    pub(crate) http_address: String,
    /// The same of the one for metrics; empty: they are on the http listener.
    pub(crate) metrics_address: String,
}

impl Server {
    /// A new store, served.
    pub(crate) fn start() -> Self {
        Site::init().serve()
    }

    /// Runs `command` until it says that it is listening; its exit status, if
    /// it ends before that.
    pub(crate) fn spawn(site: Site, mut command: Command) -> Result<Self, (ExitStatus, String)> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (told, listening) = mpsc::channel();
        let (lines, kept) = (
            BufReader::new(child.stderr.take().unwrap()),
            Arc::clone(&log),
        );
        let reader = std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                if event["message"] == "listening" {
                    let address = |name: &str| event[name].as_str().map(as_uri).unwrap_or_default();
                    let _ = told.send(["check", "admin", "http", "metrics"].map(address));
                }
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        // The channel closes when the server's stderr does.
        match listening.recv_timeout(PATIENCE) {
            Ok([check_address, admin_address, http_address, metrics_address]) => Ok(Self {
                site,
                child,
                log,
                reader: Some(reader),
                check_address,
                admin_address,
                http_address,
                metrics_address,
            }),
            Err(_) => {
                let status = wait(&mut child);
                let log = log.lock().unwrap().clone();
                Err((status, log))
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Kills it as a crash would, and hands back its store.
    pub(crate) fn kill(self) -> Site {
        self.crash().0
    }

    /// Kills it as a crash would, and hands back its store and all of its log.
    pub(crate) fn crash(mut self) -> (Site, String) {
        self.child.kill().unwrap();
        let (status, log) = self.end();
        assert_eq!(status.signal(), Some(9));
        (self.site.clone(), log)
    }

    /// Tells it to stop and waits until it has.
    pub(crate) fn stop(mut self) -> (ExitStatus, String) {
        self.signal(rustix::process::Signal::TERM);
        self.end()
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        self.end()
    }

    /// Its exit status, and all of its log.
    fn end(&mut self) -> (ExitStatus, String) {
        let status = wait(&mut self.child);
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        (status, self.log())
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) async fn admin(&self) -> Admin {
        admin_client(&self.admin_address, &self.site.admin_token()).await
    }

    pub(crate) async fn checks(&self) -> Checks {
        Checks {
            client: KeyCheckClient::new(connect(&self.check_address).await),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "the server did not end"
        );
        std::thread::yield_now();
    }
}

fn as_uri(address: &str) -> String {
    if address.starts_with("unix:") {
        address.to_owned()
    } else {
        format!("http://{address}")
    }
}

/// A connection of its own.
pub(crate) async fn connect(address: &str) -> Channel {
    Endpoint::from_shared(address.to_owned())
        .unwrap()
        .connect()
        .await
        .unwrap()
}

/// Puts the admin token into each call.
#[derive(Clone)]
pub(crate) struct Bearer(MetadataValue<tonic::metadata::Ascii>);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// An operator with a valid admin token.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) client: KeyAdminClient<InterceptedService<Channel, Bearer>>,
}

pub(crate) async fn admin_client(address: &str, token: &str) -> Admin {
    admin_over(connect(address).await, token)
}

/// An operator with this token, on a connection that others may share.
pub(crate) fn admin_over(channel: Channel, token: &str) -> Admin {
    let bearer = Bearer(format!("Bearer {token}").parse().unwrap());
    Admin {
        client: KeyAdminClient::with_interceptor(channel, bearer),
    }
}

impl Admin {
    /// A workspace of this id and prefix, with these environments.
    pub(crate) async fn workspace(
        &mut self,
        id: &str,
        prefix: &str,
        environments: &[&str],
    ) -> Workspace {
        let workspace = Workspace {
            id: id.to_owned(),
            token_prefix: prefix.to_owned(),
            environments: environments.iter().map(|&name| name.to_owned()).collect(),
            ..Workspace::default()
        };
        let request = CreateWorkspaceRequest {
            workspace: Some(workspace),
        };
        self.client
            .create_workspace(request)
            .await
            .unwrap()
            .into_inner()
            .workspace
            .unwrap()
    }

    /// A key with these scopes.
    pub(crate) async fn key(&mut self, workspace: &str, scopes: &[&str]) -> CreateKeyResponse {
        self.client
            .create_key(key_request(workspace, scopes))
            .await
            .unwrap()
            .into_inner()
    }

    pub(crate) async fn revoke(&mut self, key_id: &str) -> Key {
        let request = RevokeKeyRequest {
            key_id: key_id.to_owned(),
            reason: 0,
            ..RevokeKeyRequest::default()
        };
        self.client
            .revoke_key(request)
            .await
            .unwrap()
            .into_inner()
            .key
            .unwrap()
    }
}

/// The request for an ordinary key.
pub(crate) fn key_request(workspace: &str, scopes: &[&str]) -> CreateKeyRequest {
    CreateKeyRequest {
        workspace: workspace.to_owned(),
        principal: "user:ada".to_owned(),
        name: "a key".to_owned(),
        scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
        ..CreateKeyRequest::default()
    }
}

/// The key but for how it was used, which goes on while all else stays.
pub(crate) fn but_for_usage(key: &Key) -> Key {
    Key {
        usage: None,
        ..key.clone()
    }
}

/// A gateway.
#[derive(Clone)]
pub(crate) struct Checks {
    pub(crate) client: KeyCheckClient<Channel>,
}

impl Checks {
    pub(crate) async fn ask(&mut self, request: CheckRequest) -> Result<Allowed, Denied> {
        verdict(self.client.check(request).await.unwrap().into_inner())
    }

    /// The verdict on a raw header, with these scopes required.
    pub(crate) async fn header(
        &mut self,
        credential: &str,
        scopes: &[&str],
    ) -> Result<Allowed, Denied> {
        self.ask(check_request(credential, scopes)).await
    }

    /// Why a raw header is denied.
    pub(crate) async fn denial(&mut self, credential: &str) -> DenialReason {
        self.header(credential, &[]).await.unwrap_err().reason()
    }
}

pub(crate) fn check_request(credential: &str, scopes: &[&str]) -> CheckRequest {
    CheckRequest {
        credential: credential.to_owned(),
        required_scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
        ..CheckRequest::default()
    }
}

pub(crate) fn verdict(response: CheckResponse) -> Result<Allowed, Denied> {
    match response.outcome.unwrap() {
        Outcome::Allowed(allowed) => Ok(allowed),
        Outcome::Denied(denied) => Err(denied),
    }
}

/// The verdict on one question of several.
pub(crate) fn verdict_of(result: CheckResult) -> Result<Allowed, Denied> {
    match result.result.unwrap() {
        check_result::Result::Verdict(response) => verdict(response),
        check_result::Result::Undecided(undecided) => panic!("no verdict: {undecided:?}"),
    }
}

/// Why one question of several has no verdict.
pub(crate) fn undecided_of(result: CheckResult) -> UndecidedReason {
    match result.result.unwrap() {
        check_result::Result::Verdict(response) => panic!("a verdict: {response:?}"),
        check_result::Result::Undecided(undecided) => {
            assert!(!undecided.message.is_empty());
            undecided.reason()
        }
    }
}

/// The number in the environment variable `name`, or else `default`: for how
/// often a test tries.
pub(crate) fn count(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// So many ordinary keys of one workspace, made by many callers at once.
pub(crate) async fn create_many(
    admin: &Admin,
    workspace: &str,
    number: usize,
) -> Vec<CreateKeyResponse> {
    const CALLERS: usize = 64;
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS.min(number) {
        let (mut admin, workspace) = (admin.clone(), workspace.to_owned());
        let share = number / CALLERS + usize::from(caller < number % CALLERS);
        callers.spawn(async move {
            let mut issued = Vec::with_capacity(share);
            for _ in 0..share {
                issued.push(admin.key(&workspace, &["*"]).await);
            }
            issued
        });
    }
    callers.join_all().await.into_iter().flatten().collect()
}

/// One call whose request and reply are left as bytes.
pub(crate) async fn raw_call(
    channel: Channel,
    path: &str,
    message: Vec<u8>,
) -> Result<Vec<u8>, Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let path = path.parse().unwrap();
    Ok(grpc
        .unary(Request::new(message), path, RawCodec)
        .await?
        .into_inner())
}

/// One conversation whose messages are left as bytes: all answers to
/// `messages`, and the status that it ends with.
pub(crate) async fn raw_conversation(
    channel: Channel,
    path: &str,
    messages: Vec<Vec<u8>>,
) -> (Vec<Vec<u8>>, Result<(), Status>) {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let request = Request::new(tokio_stream::iter(messages));
    let path = path.parse().unwrap();
    let mut answers = Vec::new();
    let mut heard = match grpc.streaming(request, path, RawCodec).await {
        Ok(heard) => heard.into_inner(),
        Err(status) => return (answers, Err(status)),
    };
    loop {
        match heard.message().await {
            Ok(Some(answer)) => answers.push(answer),
            Ok(None) => return (answers, Ok(())),
            Err(status) => return (answers, Err(status)),
        }
    }
}

/// Leaves messages as they are.
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&message);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).into()))
    }
}

/// A code as gRPC writes it: `NOT_FOUND`.
pub(crate) fn code_name(code: tonic::Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_uppercase());
    }
    name
}
