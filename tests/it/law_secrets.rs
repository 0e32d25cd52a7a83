//! Law 4, nothing of a token but its display hint: a whole life of a store at
//! the finest log level, with tokens put wherever an operator or a client could
//! put one by mistake; then every byte of what was written anywhere is searched
//! for every token and every piece of one.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::path::Path;
use std::process::Command;

use keyward::edge::pb::key_admin_client::KeyAdminClient;
use keyward::edge::pb::{
    ADMIN_DESCRIPTORS, CancelRotationRequest, CheckBatchRequest, CheckRequest, CheckStreamRequest,
    CreateKeyRequest, CreateWorkspaceRequest, ExplainCheckRequest, FinishRotationRequest,
    GetKeyRequest, GetWorkspaceRequest, IdentifyTokensRequest, ListKeysRequest, RevokeKeyRequest,
    RotateKeyRequest, Workspace,
};
use prost::Message;
use prost_types::FileDescriptorSet;
use prost_types::field_descriptor_proto::Type;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{self, Admin, Bearer, Server, Site};

type AdminClient = KeyAdminClient<InterceptedService<Channel, Bearer>>;

/// The last characters of a token: a checksum, part of which is its hint.
const CHECKSUM_LEN: usize = 6;

/// The random part before that.
const SECRET_LEN: usize = 43;

/// How long the pieces of a secret are that are searched for. A hint has four
/// characters of the checksum, so no piece is in it.
const PIECE_LEN: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_written_anywhere_holds_a_piece_of_a_token() {
    let site = Site::init();
    let mut tokens = vec![site.admin_token()];
    let mut heard = Heard::default();

    let server = serve_at_trace(&site);
    server
        .admin()
        .await
        .workspace("kling", "klg", &["live", "test"])
        .await;
    tokens.extend(live(&server, &mut heard).await);
    tokens.extend(command_line(&server, &mut heard));
    let (site, first_log) = server.crash();
    heard.note("the log of the first run", first_log.clone().into_bytes());

    let server = serve_at_trace(&site);
    tokens.extend(live(&server, &mut heard).await);
    let (status, second_log) = tokio::task::block_in_place(|| server.stop());
    assert!(status.success());
    for log in [&first_log, &second_log] {
        assert!(
            log.contains("key issued") && log.contains("key.revoke"),
            "{log}"
        );
    }
    heard.note("the log of the second run", second_log.into_bytes());

    let files = heard.read_files(site.path(), &site.token_file());
    println!(
        "{} tokens; {} texts, {files} of them files, {} bytes in all",
        tokens.len(),
        heard.texts.len(),
        heard
            .texts
            .iter()
            .map(|(_, bytes)| bytes.len())
            .sum::<usize>()
    );
    let wanted = Wanted::pieces_of(&tokens);
    let found: Vec<_> = heard
        .texts
        .iter()
        .filter_map(|(place, bytes)| Some((place, wanted.find(bytes)?)))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_search_finds_what_it_is_to_find() {
    let token = format!(
        "klg_live_{}abcdef",
        "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1"
    );
    let wanted = Wanted::pieces_of(std::slice::from_ref(&token));
    let secret = &token.as_bytes()[9..9 + SECRET_LEN];
    let (first, last) = (&secret[..PIECE_LEN], &secret[SECRET_LEN - PIECE_LEN..]);
    for (form, piece) in [
        ("as it is", token.as_bytes().to_vec()),
        ("its first piece", first.to_vec()),
        ("its last piece", last.to_vec()),
        ("in hex", hex(first).into_bytes()),
        ("in upper-case hex", hex(last).to_uppercase().into_bytes()),
        ("as a list of numbers", format!("{first:?}").into_bytes()),
    ] {
        let planted = [vec![b'x'; 1_000], piece, vec![0; 100]].concat();
        assert!(wanted.find(&planted).is_some(), "{form}");
    }
    for fit in [
        &token[..9],
        &token[9 + SECRET_LEN..],
        "klg_live_…cdef",
        &token[9..20],
    ] {
        assert_eq!(wanted.find(fit.as_bytes()), None, "{fit}");
    }

    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
    std::fs::write(folder.path().join("a/b/c"), last).unwrap();
    let mut heard = Heard::default();
    assert_eq!(heard.read_files(folder.path(), Path::new("")), 1);
    assert!(wanted.find(&heard.texts[0].1).is_some());
}

/// What is generated for a message shows all of it.
#[test]
fn no_message_that_carries_a_token_has_a_debug_that_is_generated() {
    let build = include_str!("../../build.rs");
    let files = FileDescriptorSet::decode(ADMIN_DESCRIPTORS).unwrap().file;
    let messages = files.iter().flat_map(|file| &file.message_type);
    let carriers = messages.filter(|message| {
        let mut fields = message.field.iter();
        fields.any(|field| field.name() == "token" && field.r#type() == Type::String)
    });
    let names: Vec<_> = carriers.map(|message| message.name()).collect();
    assert!(names.len() >= 4, "{names:?}");
    for name in names {
        assert!(build.contains(&format!("\"keyward.v1.{name}\"")), "{name}");
    }
}

#[test]
fn the_process_leaves_no_core_dump() {
    let server = Server::start();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(
        core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(),
        ["0", "0"],
        "{core}"
    );
    // What belongs to a process that cannot be dumped belongs to root. If the
    // tests are run by root, that tells nothing.
    use std::os::unix::fs::MetadataExt;
    let owner = std::fs::metadata(format!("/proc/{}/environ", server.pid()))
        .unwrap()
        .uid();
    assert_eq!(owner, 0);
}

fn serve_at_trace(site: &Site) -> Server {
    let mut command = site.serve_command();
    command.args(["--log", "trace"]);
    Server::spawn(site.clone(), command).unwrap()
}

/// What was told to anybody: where, and the bytes.
#[derive(Default)]
struct Heard {
    texts: Vec<(String, Vec<u8>)>,
}

impl Heard {
    fn note(&mut self, place: impl Into<String>, bytes: Vec<u8>) {
        self.texts.push((place.into(), bytes));
    }

    /// An answer: what is in it, beside it, and what is shown of it.
    fn reply<T: Message + Debug>(&mut self, call: &str, reply: Result<Response<T>, Status>) {
        match reply {
            Ok(reply) => {
                let shown = format!("{reply:?}");
                self.note(
                    call,
                    [reply.get_ref().encode_to_vec(), shown.into_bytes()].concat(),
                );
            }
            Err(status) => self.error(call, &status),
        }
    }

    fn error(&mut self, call: &str, status: &Status) {
        let shown = format!("{status:?} {status}").into_bytes();
        let metadata = format!("{:?}", status.metadata().clone().into_headers()).into_bytes();
        self.note(
            call,
            [
                status.message().as_bytes(),
                status.details(),
                &shown,
                &metadata,
            ]
            .concat(),
        );
    }

    /// What a command says; its exit code.
    fn command(&mut self, mut command: Command) -> Option<i32> {
        let output = command.output().unwrap();
        self.note("the command line", [output.stdout, output.stderr].concat());
        output.status.code()
    }

    /// Notes every file in `folder` but `except`, and tells how many.
    fn read_files(&mut self, folder: &Path, except: &Path) -> usize {
        let mut files = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files += self.read_files(&path, except);
            } else if path != except {
                self.note(path.display().to_string(), std::fs::read(&path).unwrap());
                files += 1;
            }
        }
        files
    }
}

/// Issues keys, checks them well and badly, puts tokens where none belong, and
/// revokes some; the tokens.
async fn live(server: &Server, heard: &mut Heard) -> Vec<String> {
    let mut admin = server.admin().await;
    let mut tokens = Vec::new();
    for (environment, scopes) in [
        ("live", ["people:read"]),
        ("test", ["*"]),
        ("", ["read:customers"]),
    ] {
        let mut request = support::key_request("kling", &scopes);
        request.environment = environment.to_owned();
        let issued = admin.client.create_key(request).await.unwrap();
        heard.note(
            "the headers of CreateKey",
            format!("{:?}", issued.metadata()).into_bytes(),
        );
        // The one place where a token is shown.
        let issued = issued.into_inner();
        heard.note(
            "Debug of CreateKey's reply",
            format!("{issued:?}").into_bytes(),
        );
        let key = issued.key.unwrap();
        heard.note("the key that CreateKey shows", key.encode_to_vec());
        tokens.push(issued.token);
        tokens.push(rotate(&mut admin, heard, &key.id, environment).await);
        if environment == "test" {
            let request = RevokeKeyRequest {
                key_id: key.id,
                reason: 4,
                ..RevokeKeyRequest::default()
            };
            heard.reply("RevokeKey", admin.client.revoke_key(request).await);
        }
    }
    let list = ListKeysRequest {
        workspace: "kling".to_owned(),
        ..ListKeysRequest::default()
    };
    heard.reply("ListKeys", admin.client.list_keys(list).await);
    let misplaced = [tokens.clone(), vec![server.site.admin_token()]].concat();
    for token in &misplaced {
        check_in_every_way(server, heard, token).await;
        misplace(server, heard, token).await;
        misplace_beside(server, heard, token).await;
    }
    tokens
}

/// Presents a token well, with typos, and in fields of a check that are not
/// for it.
async fn check_in_every_way(server: &Server, heard: &mut Heard, token: &str) {
    let mut client = server.checks().await.client;
    let typo = |at: usize| {
        let mut typo = token.as_bytes().to_vec();
        typo[at] = if typo[at] == b'x' { b'y' } else { b'x' };
        String::from_utf8(typo).unwrap()
    };
    let last = token.len() - 1;
    for credential in [
        token.to_owned(),
        format!("Bearer {token}"),
        format!("Bearer  {token},{token}"),
        format!("Bearer Bearer {token}"),
        format!("Digest {token}"),
        format!("Bearer \"{token}\""),
        format!("Bearer {token}\r\nx: y"),
        format!("Basic {token}"),
        format!("Bearer {}", typo(0)),
        format!("Bearer {}", typo(last)),
        format!("Bearer {}", typo(last - CHECKSUM_LEN)),
        format!("Bearer {}", &token[..last]),
        format!("{token}{token}"),
        token.repeat(100),
    ] {
        heard.reply(
            "Check",
            client
                .check(support::check_request(&credential, &["companies:remove"]))
                .await,
        );
    }
    explain(server, heard, token, [0, last].map(typo)).await;
    let bearer = || format!("Bearer {token}");
    for request in [
        CheckRequest {
            credential: bearer(),
            workspace: token.to_owned(),
            ..CheckRequest::default()
        },
        CheckRequest {
            credential: bearer(),
            environment: token.to_owned(),
            ..CheckRequest::default()
        },
    ] {
        heard.reply("Check", client.check(request).await);
    }
    // A body that is none, around a token.
    let broken = [&[0x0a, 0xff, 0x01], token.as_bytes()].concat();
    let channel = support::connect(&server.check_address).await;
    for call in ["Check", "CheckBatch"] {
        let path = format!("/keyward.v1.KeyCheck/{call}");
        let refusal = support::raw_call(channel.clone(), &path, broken.clone())
            .await
            .unwrap_err();
        heard.error(call, &refusal);
    }
    check_many(server, heard, token).await;
}

/// Asks why a check with the token is answered so, with the token in the place of
/// everything else as well; and whose it is.
async fn explain(server: &Server, heard: &mut Heard, token: &str, typos: [String; 2]) {
    let mut client = server.admin().await.client;
    let ask = |credential: String| ExplainCheckRequest {
        credential,
        required_scopes: vec![token.to_owned()],
        limits: vec![token.to_owned()],
        ..ExplainCheckRequest::default()
    };
    let bearer = format!("Bearer {token}");
    for request in [
        ask(bearer.clone()),
        ask(format!("{bearer},")),
        ask(format!("Basic {token}")),
        ExplainCheckRequest {
            workspace: token.to_owned(),
            ..ask(bearer.clone())
        },
        ExplainCheckRequest {
            environment: token.to_owned(),
            ..ask(bearer.clone())
        },
        ExplainCheckRequest {
            environment: "*".to_owned(),
            source_address: token.to_owned(),
            required_scopes: Vec::new(),
            ..ask(bearer.clone())
        },
    ] {
        heard.reply("ExplainCheck", client.explain_check(request).await);
    }
    let tokens = [vec![token.to_owned()], typos.to_vec()].concat();
    let request = IdentifyTokensRequest { tokens };
    heard.reply("IdentifyTokens", client.identify_tokens(request).await);
}

/// The same in a batch and in a conversation, beside what cannot be read.
async fn check_many(server: &Server, heard: &mut Heard, token: &str) {
    let mut client = server.checks().await.client;
    let credentials = [
        format!("Bearer {token}"),
        format!("Bearer {token} {token}"),
        format!("Bearer {token}x"),
    ];
    let checks = credentials.map(|credential| support::check_request(&credential, &["a:b"]));
    for times in [1, 500] {
        let checks = checks.iter().cycle().take(3 * times).cloned().collect();
        let batch = CheckBatchRequest { checks };
        heard.note("a batch's Debug", format!("{batch:?}").into_bytes());
        heard.reply("CheckBatch", client.check_batch(batch).await);
    }
    let mut questions: Vec<_> = checks
        .into_iter()
        .map(|check| CheckStreamRequest {
            id: 1,
            check: Some(check),
        })
        .inspect(|question| heard.note("a question's Debug", format!("{question:?}").into_bytes()))
        .map(|question| question.encode_to_vec())
        .collect();
    questions.push([&[0x12, 0xff, 0x01], token.as_bytes()].concat());
    questions.push([&[0x0a, 49], &token.as_bytes()[..49]].concat());
    let channel = support::connect(&server.check_address).await;
    let (answers, end) =
        support::raw_conversation(channel, "/keyward.v1.KeyCheck/CheckStream", questions).await;
    end.unwrap();
    assert_eq!(answers.len(), 5);
    heard.note("CheckStream", answers.concat());
}

/// Gives a key another token, and ends one of the two.
async fn rotate(admin: &mut Admin, heard: &mut Heard, id: &str, environment: &str) -> String {
    let request = RotateKeyRequest {
        key_id: id.to_owned(),
        from_first_use: environment == "live",
        ..RotateKeyRequest::default()
    };
    let rotated = admin.client.rotate_key(request).await.unwrap().into_inner();
    // The other place where a token is shown.
    heard.note(
        "Debug of RotateKey's reply",
        format!("{rotated:?}").into_bytes(),
    );
    heard.note(
        "the key that RotateKey shows",
        rotated.key.unwrap().encode_to_vec(),
    );
    let key_id = id.to_owned();
    let etag = String::new();
    if environment == "test" {
        let request = FinishRotationRequest { key_id, etag };
        let reply = admin.client.finish_rotation(request).await;
        heard.reply("FinishRotation", reply);
    } else if environment.is_empty() {
        let request = CancelRotationRequest { key_id, etag };
        let reply = admin.client.cancel_rotation(request).await;
        heard.reply("CancelRotation", reply);
    }
    rotated.token
}

/// Puts a token where none belongs.
type Misplace<T> = fn(&mut T, &str);

/// Hands a token over in every field of the admin calls that is not for the
/// caller's own texts, and in place of an admin token.
async fn misplace(server: &Server, heard: &mut Heard, token: &str) {
    let mut client = server.admin().await.client;
    for key_id in [token.to_owned(), format!("key_{token}")] {
        let request = GetKeyRequest {
            key_id: key_id.clone(),
        };
        heard.reply("GetKey", client.get_key(request).await);
        let request = RevokeKeyRequest {
            key_id,
            reason: 0,
            ..RevokeKeyRequest::default()
        };
        heard.reply("RevokeKey", client.revoke_key(request).await);
        let request = RotateKeyRequest {
            key_id: token.to_owned(),
            etag: token.to_owned(),
            ..RotateKeyRequest::default()
        };
        let reply = client.rotate_key(request).await;
        heard.reply(
            "RotateKey",
            reply.map(|reply| reply.map(|reply| reply.key.unwrap())),
        );
    }
    let workspace = token.to_owned();
    let request = GetWorkspaceRequest { workspace };
    heard.reply("GetWorkspace", client.get_workspace(request).await);
    let lists: [Misplace<ListKeysRequest>; 3] = [
        |list, token| list.workspace = token.to_owned(),
        |list, token| list.page_token = token.to_owned(),
        |list, token| {
            list.page_token = token.to_owned();
            list.page_size = -1;
        },
    ];
    for misplace in lists {
        let mut request = ListKeysRequest::default();
        misplace(&mut request, token);
        heard.reply("ListKeys", client.list_keys(request).await);
    }
    misplace_in_creations(client, heard, token).await;
    // Not one of them is an admin's.
    for credential in [
        format!("{token}x"),
        format!("{token},{token}"),
        format!("Digest {token}"),
    ] {
        let mut stranger = support::admin_client(&server.admin_address, &credential).await;
        let key_id = token.to_owned();
        let reply = stranger.client.get_key(GetKeyRequest { key_id }).await;
        heard.reply("GetKey", reply);
    }
}

async fn misplace_in_creations(mut client: AdminClient, heard: &mut Heard, token: &str) {
    let keys: [Misplace<CreateKeyRequest>; 12] = [
        |key, token| key.workspace = token.to_owned(),
        |key, token| key.environment = token.to_owned(),
        |key, token| key.scopes = vec![token.to_owned()],
        |key, token| key.scopes = vec!["a".to_owned(), format!("read:{token}")],
        |key, token| key.principal = format!("{token}\n"),
        |key, token| key.description = format!("{token}\0"),
        |key, token| key.metadata = BTreeMap::from([(token.to_owned(), String::new())]),
        |key, token| key.metadata = BTreeMap::from([("a".to_owned(), format!("{token}\n"))]),
        // In texts that are the operator's own.
        |key, token| key.principal = token.to_owned(),
        |key, token| key.name = token.to_owned(),
        |key, token| key.description = format!("was {token} before"),
        |key, token| key.metadata = BTreeMap::from([("a".to_owned(), token.to_owned())]),
    ];
    for misplace in keys {
        let mut request = support::key_request("kling", &[]);
        misplace(&mut request, token);
        match client.create_key(request).await {
            Ok(_) => panic!("a token is no part of a key"),
            Err(status) => heard.error("CreateKey", &status),
        }
    }
    let workspaces: [Misplace<Workspace>; 7] = [
        |workspace, token| workspace.id = token.to_owned(),
        |workspace, token| workspace.token_prefix = token.to_owned(),
        |workspace, token| workspace.environments = vec![token.to_owned()],
        |workspace, token| workspace.default_environment = token.to_owned(),
        |workspace, token| workspace.unmarked_environment = token.to_owned(),
        |workspace, token| workspace.display_name = format!("{token}\n"),
        |workspace, token| workspace.display_name = token.to_owned(),
    ];
    for misplace in workspaces {
        let mut workspace = Workspace {
            id: "other".to_owned(),
            token_prefix: "oth".to_owned(),
            ..Workspace::default()
        };
        misplace(&mut workspace, token);
        let workspace = Some(workspace);
        let request = CreateWorkspaceRequest { workspace };
        match client.create_workspace(request).await {
            Ok(_) => panic!("a token is no part of a workspace"),
            Err(status) => heard.error("CreateWorkspace", &status),
        }
    }
}

/// Asks both listeners for what is not theirs, by a token.
async fn misplace_beside(server: &Server, heard: &mut Heard, token: &str) {
    for address in [&server.check_address, &server.admin_address] {
        let channel = support::connect(address).await;
        let service = token.to_owned();
        let request = HealthCheckRequest { service };
        match HealthClient::new(channel.clone()).check(request).await {
            Ok(_) => panic!("there is no such service"),
            Err(status) => heard.error("Health", &status),
        }
        let path = format!("/keyward.v1.KeyCheck/{token}");
        let refusal = support::raw_call(channel, &path, Vec::new()).await;
        heard.error("a path", &refusal.unwrap_err());
    }
}

/// Hands tokens over to the command line in the place of other things; the
/// token that it issues.
fn command_line(server: &Server, heard: &mut Heard) -> Vec<String> {
    let create = "keys create --workspace kling --name n --principal user:ada";
    // The one place where the command line shows a token.
    let output = client_command(server, &format!("{create} --token-only")).output();
    let stdout = String::from_utf8(output.unwrap().stdout).unwrap();
    let issued = stdout.trim().to_owned();
    assert!(issued.starts_with("klg_live_"));
    let found = server.site.token_file();
    let found = found.display();
    for token in [issued.clone(), server.site.admin_token()] {
        for (line, exit_code) in [
            (format!("check {token}"), None),
            (format!("check Bearer {token} --output json"), None),
            (format!("check Bearer {token}x"), Some(3)),
            (format!("check Bearer {token} --workspace {token}"), Some(3)),
            (format!("check {token} --environment {token}"), Some(3)),
            (
                format!("explain Bearer {token} --environment {token}"),
                Some(3),
            ),
            (format!("explain {token}, --scope {token}"), Some(3)),
            (format!("keys leaked {token}"), Some(1)),
            (format!("keys leaked {found}"), Some(3)),
            (format!("keys get {token}"), Some(2)),
            (format!("keys revoke {token}"), Some(2)),
            (format!("keys list --workspace {token}"), Some(1)),
            (format!("workspaces get {token}"), Some(1)),
            (format!("workspaces create {token} --prefix abc"), Some(1)),
            (format!("workspaces create abc --prefix {token}"), Some(1)),
            (format!("{create} --environment {token}"), Some(1)),
            (format!("{create} --scope {token}"), Some(1)),
            (create.replace("kling", &token), Some(1)),
            ("keys list --output json".to_owned(), Some(0)),
        ] {
            let code = heard.command(client_command(server, &line));
            let verb: Vec<_> = line.split(' ').take(2).collect();
            assert!(
                exit_code.is_none_or(|wanted| code == Some(wanted)),
                "{verb:?}: {code:?}"
            );
        }
    }
    let mut command = support::keyward();
    command
        .args(["init", "--data-dir"])
        .arg(server.site.data_dir());
    assert_eq!(heard.command(command), Some(73));
    vec![issued]
}

/// A command of the operator's, its words separated by spaces.
fn client_command(server: &Server, line: &str) -> Command {
    let mut command = support::keyward();
    command.args(line.split(' '));
    command.env("KEYWARD_ADMIN_TOKEN_FILE", server.site.token_file());
    command.env("KEYWARD_ADMIN_SERVER", &server.admin_address);
    command.env("KEYWARD_CHECK_SERVER", &server.check_address);
    command
}

/// What is searched for: pieces of secrets, in several forms.
struct Wanted {
    /// Each piece as it is, and the token that it is of.
    plain: HashMap<Vec<u8>, usize>,
    /// Each piece in hex or as `Debug` shows bytes, cut to [`FORM_LEN`].
    formed: HashMap<Vec<u8>, usize>,
}

/// So much of a piece in another form is enough to tell it: 6 bytes at least.
const FORM_LEN: usize = 2 * PIECE_LEN;

impl Wanted {
    fn pieces_of(tokens: &[String]) -> Self {
        let mut wanted = Self {
            plain: HashMap::new(),
            formed: HashMap::new(),
        };
        for (number, token) in tokens.iter().enumerate() {
            let end = token.len() - CHECKSUM_LEN;
            for piece in token.as_bytes()[end - SECRET_LEN..end].windows(PIECE_LEN) {
                let listed = format!("{piece:?}");
                let forms = [
                    hex(piece),
                    hex(piece).to_uppercase(),
                    listed[1..].to_owned(),
                ];
                wanted.plain.insert(piece.to_vec(), number);
                wanted
                    .formed
                    .extend(forms.map(|form| (form.as_bytes()[..FORM_LEN].to_vec(), number)));
            }
        }
        wanted
    }

    /// The first piece in `bytes`: of which token, and where.
    fn find(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        let search = |pieces: &HashMap<Vec<u8>, usize>, length| {
            let mut windows = bytes.windows(length).enumerate();
            windows.find_map(|(at, window)| Some((*pieces.get(window)?, at)))
        };
        search(&self.plain, PIECE_LEN).or_else(|| search(&self.formed, FORM_LEN))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
