//! Law 7, what cannot be decided is an error and never a denial; and its other
//! half: whatever a client or a route can cause is a verdict and never an
//! error, in bounded time, and stops nobody else from being answered.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use keyward::edge::pb::{CheckResponse, CreateKeyRequest, DenialReason};
use prost::Message;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::support::{self, Checks, Server};

/// As much as a field can have: requests have at most 1 MiB.
const MIB: usize = 1024 * 1024 - 100;

const CHECK: &str = "/keyward.v1.KeyCheck/Check";

/// No single answer takes so long, on a busy machine and unoptimised.
const BOUND: Duration = Duration::from_secs(3);

/// Long enough for anything that comes to an end by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request whose texts need not be UTF-8.
#[derive(Clone, PartialEq, Eq, Message)]
struct RawRequest {
    #[prost(bytes = "vec", tag = "1")]
    credential: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    workspace: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    environment: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "4")]
    required_scopes: Vec<Vec<u8>>,
    #[prost(bytes = "vec", tag = "7")]
    source_address: Vec<u8>,
    /// Nothing that keyward knows.
    #[prost(bytes = "vec", tag = "1000")]
    unknown: Vec<u8>,
    #[prost(fixed64, tag = "1001")]
    unknown_number: u64,
}

/// What a request is to come to: none is allowed.
type Expected = Option<DenialReason>;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_client_or_a_route_sends_gets_a_verdict() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &["live", "test"]).await;
    let everything = admin.key("kling", &["*"]).await.token;
    let little = admin.key("kling", &["people:read"]).await.token;

    let confined = CreateKeyRequest {
        source_addresses: vec!["10.0.0.0/8".to_owned(), "::/0".to_owned()],
        ..support::key_request("kling", &["*"])
    };
    let confined = admin.client.create_key(confined).await.unwrap();
    let mut tried = headers(&everything);
    tried.extend(routes(&everything, &little));
    tried.extend(addresses(&everything, &confined.into_inner().token));
    let channel = support::connect(&server.check_address).await;
    let mut slowest = Duration::ZERO;
    for (name, request, expected) in &tried {
        let begin = Instant::now();
        let reply = raw_check(&channel, request.encode_to_vec()).await;
        let took = begin.elapsed();
        assert!(took < BOUND, "{name}: {took:?}");
        slowest = slowest.max(took);
        let verdict = support::verdict(reply.unwrap_or_else(|error| panic!("{name}: {error}")));
        assert_eq!(
            verdict.err().map(|denied| denied.reason()),
            *expected,
            "{name}"
        );
    }
    println!(
        "{} requests, the slowest answered in {slowest:?}",
        tried.len()
    );
}

/// What the end client puts into its header.
#[expect(clippy::too_many_lines, reason = "a table")]
fn headers(token: &str) -> Vec<(String, RawRequest, Expected)> {
    let malformed: [(&str, Vec<u8>); 32] = [
        ("64 KiB", vec![b'a'; 64 * 1024]),
        ("64 KiB of spaces", vec![b' '; 64 * 1024]),
        (
            "a token and 64 KiB of spaces",
            format!("Bearer {token}{}", " ".repeat(64 * 1024)).into(),
        ),
        ("1 MiB", vec![b'a'; MIB]),
        ("1 MiB of NUL", vec![0; MIB]),
        ("1 MiB of commas", vec![b','; MIB]),
        (
            "1 MiB of base64",
            format!("Basic {}", "QUFB".repeat(MIB / 4 - 2)).into(),
        ),
        (
            "invalid UTF-8",
            [b"Bearer ", token.as_bytes(), b"\xff"].concat(),
        ),
        (
            "half a character",
            [b"Bearer ".as_slice(), b"\xe2\x80"].concat(),
        ),
        ("all bytes", (0..=255).collect()),
        ("NUL", b"\0".to_vec()),
        ("NUL at the end", format!("Bearer {token}\0").into()),
        ("NUL between", format!("Bearer\0{token}").into()),
        ("CR LF", format!("Bearer {token}\r\n").into()),
        (
            "a header injected",
            format!("Bearer {token}\r\nx-admin: yes").into(),
        ),
        ("LF first", format!("\nBearer {token}").into()),
        ("a tab", format!("Bearer\t{token}").into()),
        ("DEL", format!("Bearer {token}\x7f").into()),
        ("BOM", format!("\u{feff}Bearer {token}").into()),
        ("RTL", format!("Bearer \u{202e}{token}").into()),
        (
            "a space of no width",
            format!("Bearer {token}\u{200b}").into(),
        ),
        (
            "a space that does not break",
            format!("Bearer\u{a0}{token}").into(),
        ),
        (
            "Cyrillic in the scheme",
            format!("B\u{435}arer {token}").into(),
        ),
        (
            "Cyrillic in the token",
            format!("Bearer {}", token.replacen('l', "\u{4cf}", 1)).into(),
        ),
        ("full width", format!("\u{ff22}earer {token}").into()),
        (
            "comma-joined",
            format!("Bearer {token}, Bearer {token}").into(),
        ),
        ("comma-joined tokens", format!("{token},{token}").into()),
        ("Bearer alone", b"Bearer".to_vec()),
        ("Bearer and spaces", b"Bearer   ".to_vec()),
        ("a doubled scheme", format!("Bearer Bearer {token}").into()),
        ("a scheme as token", b"Bearer Basic".to_vec()),
        ("quotes", format!("Bearer \"{token}\"").into()),
    ];
    let unknown: [(&str, Vec<u8>); 4] = [
        (
            "a typo",
            format!("Bearer {}", support::mistyped(token)).into(),
        ),
        (
            "a token cut off",
            format!("Bearer {}", &token[..token.len() - 1]).into(),
        ),
        ("a JWT", b"Bearer eyJhbGciOi.eyJzdWIi.c2ln".to_vec()),
        ("a KiB of zeros", vec![b'0'; 1024]),
    ];
    let missing: [(&str, Vec<u8>); 2] = [("nothing", Vec::new()), ("a space", b" ".to_vec())];
    let allowed: [(&str, Vec<u8>); 2] = [
        ("the token", token.into()),
        ("spaces around", format!("  bEARER   {token} ").into()),
    ];
    let case = |reason: Expected| {
        move |(name, credential): (&str, Vec<u8>)| {
            (
                name.to_owned(),
                RawRequest {
                    credential,
                    ..RawRequest::default()
                },
                reason,
            )
        }
    };
    let mut all: Vec<_> = malformed.map(case(Some(DenialReason::Malformed))).into();
    all.extend(unknown.map(case(Some(DenialReason::Unknown))));
    all.extend(missing.map(case(Some(DenialReason::Missing))));
    all.extend(allowed.map(case(None)));
    all
}

/// What a gateway may take for the client's address, and for which keys it
/// matters.
fn addresses(free: &str, confined: &str) -> Vec<(String, RawRequest, Expected)> {
    let table: [(&str, Vec<u8>, bool); 9] = [
        ("an address", b"10.1.2.3".to_vec(), true),
        ("no address", b"".to_vec(), false),
        ("not UTF-8", b"10.1.2.3\xff".to_vec(), false),
        ("NUL", vec![0], false),
        ("another address", b"11.1.2.3".to_vec(), false),
        ("many", b"10.1.2.3, 10.1.2.3".to_vec(), false),
        ("1 MiB of digits", vec![b'1'; MIB], false),
        ("1 MiB of colons", vec![b':'; MIB], false),
        ("1 MiB of brackets", vec![b'['; MIB], false),
    ];
    let of = |token: &str, address: &[u8]| RawRequest {
        credential: token.into(),
        source_address: address.to_vec(),
        ..RawRequest::default()
    };
    let rows = table.into_iter().flat_map(|(name, address, passes)| {
        let denied = (!passes).then_some(DenialReason::SourceAddress);
        [
            (format!("{name}, for any"), of(free, &address), None),
            (
                format!("{name}, for a confined key"),
                of(confined, &address),
                denied,
            ),
        ]
    });
    rows.collect()
}

/// What a route, or whoever wrote it, puts beside the header.
#[expect(clippy::too_many_lines, reason = "a table")]
fn routes(everything: &str, little: &str) -> Vec<(String, RawRequest, Expected)> {
    let of = |token: &str| RawRequest {
        credential: token.into(),
        ..RawRequest::default()
    };
    let asks = |token: &str, scopes: Vec<Vec<u8>>| RawRequest {
        required_scopes: scopes,
        ..of(token)
    };
    let many =
        |number: u32| -> Vec<Vec<u8>> { (0..number).map(|at| format!("a:b{at}").into()).collect() };
    let (unknown, environment, scope) = (
        Some(DenialReason::Unknown),
        Some(DenialReason::Environment),
        Some(DenialReason::InsufficientScope),
    );
    let mut all = vec![
        (
            "fields that nobody knows",
            RawRequest {
                unknown: vec![0xff; 1000],
                unknown_number: 7,
                ..of(everything)
            },
            None,
        ),
        (
            "a workspace that is not UTF-8",
            RawRequest {
                workspace: vec![0xff],
                ..of(everything)
            },
            unknown,
        ),
        (
            "a workspace of 1 MiB",
            RawRequest {
                workspace: vec![b'a'; MIB],
                ..of(everything)
            },
            unknown,
        ),
        (
            "a workspace with NUL",
            RawRequest {
                workspace: b"kling\0".to_vec(),
                ..of(everything)
            },
            unknown,
        ),
        (
            "an environment that is not UTF-8",
            RawRequest {
                environment: vec![0xff],
                ..of(everything)
            },
            environment,
        ),
        (
            "an environment of 1 MiB",
            RawRequest {
                environment: vec![b'a'; MIB],
                ..of(everything)
            },
            environment,
        ),
        (
            "an environment in capitals",
            RawRequest {
                environment: b"LIVE".to_vec(),
                ..of(everything)
            },
            environment,
        ),
        (
            "any environment",
            RawRequest {
                environment: b"*".to_vec(),
                ..of(everything)
            },
            None,
        ),
        (
            "100 scopes that are there",
            asks(everything, many(100)),
            None,
        ),
        (
            "10,000 scopes that are there",
            asks(everything, many(10_000)),
            scope,
        ),
        (
            "10,000 scopes that are not",
            asks(little, many(10_000)),
            scope,
        ),
        (
            "10,000 scopes and no token",
            asks("", many(10_000)),
            Some(DenialReason::Missing),
        ),
        (
            "half a million scopes of nothing",
            asks(everything, vec![Vec::new(); 500_000]),
            scope,
        ),
        (
            "a scope of 1 MiB",
            asks(everything, vec![vec![b'a'; MIB]]),
            scope,
        ),
        (
            "alternatives of 1 MiB",
            asks(everything, vec!["a|".repeat(MIB / 2).into()]),
            scope,
        ),
    ]
    .into_iter()
    .map(|(name, request, expected)| (name.to_owned(), request, expected))
    .collect::<Vec<_>>();
    for text in [
        "",
        " ",
        "a b",
        "A:b",
        "a::b",
        ":a",
        "a:",
        "*a",
        "a:*:b",
        "a|",
        "|",
        "a:b\0",
        "\u{202e}a",
        "a,b",
    ] {
        all.push((
            format!("the scope {text:?}"),
            asks(everything, vec![text.into()]),
            scope,
        ));
    }
    all.push((
        "a scope that is not UTF-8".to_owned(),
        asks(everything, vec![vec![0xff]]),
        scope,
    ));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_is_an_error_and_no_denial() {
    let server = Server::start();
    let channel = support::connect(&server.check_address).await;
    let broken: [(&str, &[u8]); 8] = [
        ("a length without end", &[0x0a, 0xff]),
        ("a length beyond the end", &[0x0a, 5, b'a']),
        (
            "a length of 2^63",
            &[
                0x0a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, b'a',
            ],
        ),
        ("a number for a text", &[0x08, 1]),
        ("8 bytes for a list", &[0x21, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("field 0", &[0x02, 0]),
        ("the end of no group", &[0x0c]),
        ("a wire type that is none", &[0x0f]),
    ];
    for (name, message) in broken {
        let error = raw_check(&channel, message.to_vec()).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{name}: {error}");
    }
    // The connection is none the worse for it.
    let reply = raw_check(&channel, Vec::new()).await.unwrap();
    assert_eq!(
        support::verdict(reply).unwrap_err().reason(),
        DenialReason::Missing
    );

    // A message that gRPC itself cannot read.
    for (name, body) in [
        ("no message", Vec::new()),
        ("half a frame", vec![0, 0, 0]),
        ("a frame cut off", vec![0, 0, 0, 0, 9, b'a']),
        (
            "compressed, in no way that was told",
            vec![1, 0, 0, 0, 1, b'a'],
        ),
    ] {
        let status = raw_exchange(&server, &[], Some(body)).await.unwrap_err();
        assert_ne!(status.code(), Code::Ok, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_has_passed_is_an_error_and_no_denial() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("klue", "klue", &[]).await;
    let token = admin.key("klue", &["*"]).await.token;
    let is_deadline =
        |status: &Status| [Code::DeadlineExceeded, Code::Cancelled].contains(&status.code());

    // A caller that gives no time at all: where it is answered, then rightly.
    let mut client = server.checks().await.client;
    let mut late = 0;
    for nanos in 0..200 {
        let mut request = Request::new(support::check_request(&token, &[]));
        request.set_timeout(Duration::from_nanos(nanos));
        match client.check(request).await {
            Ok(reply) => assert!(support::verdict(reply.into_inner()).is_ok()),
            Err(status) => {
                assert!(is_deadline(&status), "{status}");
                late += 1;
            }
        }
    }
    assert!(late > 0);

    // The same judged by the server alone, without a client that counts too.
    let message = frame(&support::check_request(&token, &[]).encode_to_vec());
    for deadline in ["0n", "1n", "1u"] {
        match raw_exchange(
            &server,
            &[("grpc-timeout", deadline)],
            Some(message.clone()),
        )
        .await
        {
            Ok(reply) => assert!(support::verdict(reply).is_ok()),
            Err(status) => assert_eq!(status.code(), Code::DeadlineExceeded, "{deadline}"),
        }
    }
    // A question that never comes to its end, with a deadline.
    for deadline in ["1n", "50m"] {
        let status = raw_exchange(&server, &[("grpc-timeout", deadline)], None)
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{deadline}");
    }
    // What is no deadline does not turn into a denial either.
    for deadline in ["soon", "-1S", "999999999S"] {
        let reply = raw_exchange(
            &server,
            &[("grpc-timeout", deadline)],
            Some(message.clone()),
        )
        .await;
        assert!(
            reply.is_err() || support::verdict(reply.unwrap()).is_ok(),
            "{deadline}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_connections_do_not_stop_a_check_on_another() {
    const IDLE: usize = 2_000;
    const SLOW: usize = 500;
    allow_files(2 * (IDLE + SLOW));
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("klue", "klue", &[]).await;
    let token = admin.key("klue", &["*"]).await.token;
    let mut before = server.checks().await;
    answers(&mut before, &token).await;

    let address = socket_address(&server.check_address);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let half_a_frame = [0, 0, 6, 4, 0];
    let mut held: Vec<TcpStream> = Vec::new();
    for number in 0..IDLE + SLOW {
        let mut stream = TcpStream::connect(address).unwrap();
        if number % (IDLE / SLOW + 1) == 0 {
            stream.write_all(preface).unwrap();
            stream.write_all(&half_a_frame).unwrap();
        }
        held.push(stream);
        if number % 250 == 0 {
            answers(&mut before, &token).await;
        }
    }
    answers(&mut before, &token).await;
    for _ in 0..4 {
        answers(&mut server.checks().await, &token).await;
    }
    println!(
        "answered beside {} connections that ask nothing",
        held.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_out_of_descriptors_answers_whom_it_has_and_recovers() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("klue", "klue", &[]).await;
    let token = admin.key("klue", &["*"]).await.token;
    let mut before = server.checks().await;
    answers(&mut before, &token).await;

    let pid = Pid::from_raw(server.pid().cast_signed()).unwrap();
    let maximum = getrlimit(Resource::Nofile).maximum;
    prlimit(
        Some(pid),
        Resource::Nofile,
        Rlimit {
            current: Some(64),
            maximum,
        },
    )
    .unwrap();
    let address = socket_address(&server.check_address);
    let held: Vec<_> = (0..200)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    tokio::time::timeout(PATIENCE, async {
        while !server.log().contains("connection not accepted") {
            answers(&mut before, &token).await;
        }
    })
    .await
    .unwrap();
    answers(&mut before, &token).await;
    drop(held);
    answers(
        &mut tokio::time::timeout(PATIENCE, server.checks())
            .await
            .unwrap(),
        &token,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_dealt_to_all_threads() {
    const CONNECTIONS: usize = 64;
    const ROUNDS: usize = 200;
    let site = support::Site::init();
    let mut command = site.serve_command();
    command.args(["--check-threads", "2"]);
    let server = Server::spawn(site, command).unwrap();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let mut checks = server.checks().await;
        callers.spawn(async move {
            for _ in 0..ROUNDS {
                assert_eq!(checks.denial("klue_nobody").await, DenialReason::Unknown);
            }
        });
    }
    callers.join_all().await;
    let work = [work_of(&server, "check-0"), work_of(&server, "check-1")];
    let (least, all) = (work[0].min(work[1]), work[0] + work[1]);
    assert!(
        all >= 10,
        "too little work to tell: {work:?} hundredths of a second"
    );
    assert!(
        least * 4 >= all,
        "one thread did most of the work: {work:?} hundredths of a second"
    );
    println!("64 connections on two threads: {work:?} hundredths of a second");
}

/// The CPU time of the server's thread of this name, in clock ticks.
fn work_of(server: &Server, name: &str) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let mut named = threads
        .map(|thread| thread.unwrap().path())
        .filter(|thread| std::fs::read_to_string(thread.join("comm")).unwrap().trim() == name);
    let stat = std::fs::read_to_string(named.next().unwrap().join("stat")).unwrap();
    // Behind the name in brackets: the 12th and 13th are user and system time.
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// A check is answered, and in time.
async fn answers(checks: &mut Checks, token: &str) {
    let verdict = tokio::time::timeout(BOUND, checks.header(token, &["people:read"])).await;
    assert!(verdict.expect("answered in time").is_ok());
}

/// Lets this process, and the servers that it starts from now on, have so many
/// files open.
pub(crate) fn allow_files(number: usize) {
    let now = getrlimit(Resource::Nofile);
    let wanted = number as u64 + 512;
    if now.current.is_some_and(|current| current < wanted) {
        let current = Some(now.maximum.map_or(wanted, |maximum| maximum.min(wanted)));
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current,
                maximum: now.maximum,
            },
        )
        .unwrap();
    }
}

fn socket_address(address: &str) -> SocketAddr {
    address.trim_start_matches("http://").parse().unwrap()
}

async fn raw_check(channel: &Channel, message: Vec<u8>) -> Result<CheckResponse, Status> {
    let reply = support::raw_call(channel.clone(), CHECK, message).await?;
    Ok(CheckResponse::decode(reply.as_slice()).unwrap())
}

/// One check on a connection of its own, its body as it is; none: one that does
/// not end.
async fn raw_exchange(
    server: &Server,
    headers: &[(&str, &str)],
    body: Option<Vec<u8>>,
) -> Result<CheckResponse, Status> {
    let address = socket_address(&server.check_address);
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut request = http::Request::post(format!("http://{address}{CHECK}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut client = client.ready().await.unwrap();
    let (answer, mut sending) = client
        .send_request(request.body(()).unwrap(), false)
        .unwrap();
    if let Some(body) = body {
        sending.send_data(Bytes::from(body), true).unwrap();
    }
    tokio::time::timeout(PATIENCE, read_reply(answer))
        .await
        .expect("an answer")
}

async fn read_reply(answer: h2::client::ResponseFuture) -> Result<CheckResponse, Status> {
    let response = answer.await.unwrap();
    let status = Status::from_header_map(response.headers());
    let mut body = response.into_body();
    let mut message = Vec::new();
    while let Some(part) = body.data().await {
        message.extend_from_slice(&part.unwrap());
    }
    let trailers = body.trailers().await.unwrap();
    let status = status
        .or_else(|| Status::from_header_map(&trailers?))
        .expect("a reply has a status");
    if status.code() != Code::Ok {
        return Err(status);
    }
    Ok(CheckResponse::decode(&message[5..]).unwrap())
}

/// A message as gRPC frames it.
fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], length.as_slice(), message].concat()
}
