//! Law 2, acknowledged means durable, as the system sees it: the calls of a
//! running server are watched, and the reply to a change must not be written to
//! its socket before the store's log, and then the guard file, were synced.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Server, Site, wrapped};

/// The calls that matter: what writes and syncs files, and what replies.
const CALLS: &str = "trace=write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,fsync,fdatasync";

/// Watched, a server is many times slower.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn log_and_guard_file_are_synced_before_the_reply_is_written() {
    let site = Site::init();
    let trace_file = site.path().join("trace");
    let server = Server::spawn(site.clone(), watched(&site, &trace_file)).unwrap();
    let port = server
        .admin_address
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let mut admin = server.admin().await;
    // One call after the other, on one connection: streams 1, 3 and 5.
    admin.workspace("klue", "klue", &[]).await;
    let issued = admin.key("klue", &["*"]).await;
    admin.revoke(&issued.key.unwrap().id).await;
    let (status, _) = tokio::task::block_in_place(|| server.stop());
    assert!(status.success());

    let trace = read_to_its_end(&trace_file);
    let (log, guard) = (site.store_dir().join("db"), site.guard_dir().join("guard"));
    let watch = Watch {
        log: &log,
        guard: &guard,
        port,
    };
    let replies = watch.judge(&trace);
    println!("{replies:#?}");
    for (stream, call) in [(1, "CreateWorkspace"), (3, "CreateKey"), (5, "RevokeKey")] {
        let reply = replies.iter().find(|reply| reply.stream == stream);
        let reply = reply.unwrap_or_else(|| panic!("the reply to {call} is not in the trace"));
        assert_eq!(reply.fault, None, "{call}");
    }
}

/// The command that serves, watched. The server stays this process's child.
fn watched(site: &Site, trace_file: &Path) -> Command {
    let serve = site.serve_command();
    let mut command = strace();
    command
        .args(["-ttt", "-yy", "-xx", "-s", "65536", "-e", CALLS, "-o"])
        .arg(trace_file);
    wrapped(command, &serve)
}

/// What watches a program and all its threads, as this process's grandchild.
pub(crate) fn strace() -> Command {
    // Nobody but root sees into a process that cannot be dumped; in a user
    // namespace of their own, anybody is root.
    let is_root = rustix::process::geteuid().is_root();
    let mut command = if is_root {
        Command::new("strace")
    } else {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "strace"]);
        command
    };
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .args(["-D", "-f"]);
    command
}

/// The trace, once it tells of the server's end.
fn read_to_its_end(trace_file: &Path) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let trace = std::fs::read_to_string(trace_file).unwrap();
        if trace.trim_end().ends_with("+++ exited with 0 +++") {
            return trace;
        }
        assert!(Instant::now() < deadline, "the trace has no end");
        std::thread::yield_now();
    }
}

/// What is watched.
struct Watch<'a> {
    log: &'a Path,
    guard: &'a Path,
    /// The port of the listener that replies.
    port: u16,
}

/// The reply to one call.
#[derive(Debug, PartialEq, Eq)]
struct Reply {
    stream: u32,
    /// What was not durable when it was written.
    fault: Option<&'static str>,
}

/// A call of the system, with the lines of the trace where it begins and ends.
struct Call {
    name: String,
    /// What its descriptor stands for.
    target: String,
    /// What it was given, as bytes.
    bytes: Vec<u8>,
    succeeded: bool,
    begin: usize,
    end: usize,
}

impl Watch<'_> {
    /// Every reply in the trace, and what is wrong with the moment it was
    /// written at.
    fn judge(&self, trace: &str) -> Vec<Reply> {
        let calls = calls(trace);
        let mut connections: HashMap<&str, Vec<u8>> = HashMap::new();
        let mut replies: Vec<Reply> = Vec::new();
        let mut since = 0;
        for call in &calls {
            if !self.is_to_client(&call.target) {
                continue;
            }
            let unread = connections.entry(&call.target).or_default();
            unread.extend_from_slice(&call.bytes);
            for stream in take_replies(unread) {
                if replies.iter().any(|reply| reply.stream == stream) {
                    continue;
                }
                let between: Vec<_> = calls.iter().filter(|other| since <= other.begin).collect();
                replies.push(Reply {
                    stream,
                    fault: self.fault(&between, call.begin),
                });
                since = call.end;
            }
        }
        replies
    }

    /// What had not happened, of these calls, before the line `reply`.
    fn fault(&self, calls: &[&Call], reply: usize) -> Option<&'static str> {
        let to = |path: &Path, is_sync: bool| {
            let path = path.display().to_string();
            let succeeded = calls
                .iter()
                .filter(move |call| call.target == path && call.succeeded);
            succeeded.filter(move |call| call.name.ends_with("sync") == is_sync)
        };
        let last_write = |path| to(path, false).rfind(|call| call.begin < reply);
        let Some(log_write) = last_write(self.log) else {
            return Some("the log was not written");
        };
        let Some(guard_write) = last_write(self.guard) else {
            return Some("the guard file was not written");
        };
        let synced = |path, from: usize, until: usize| {
            to(path, true).any(|sync| sync.begin > from && sync.end < until)
        };
        if !synced(self.log, log_write.end, reply) {
            return Some("the log was not synced after its last write");
        }
        if !synced(self.log, log_write.end, guard_write.begin) {
            return Some("the guard file was written before the log was synced");
        }
        if !synced(self.guard, guard_write.end, reply) {
            return Some("the guard file was not synced after its last write");
        }
        None
    }

    /// Whether it is a connection that came in on the port.
    fn is_to_client(&self, target: &str) -> bool {
        let local = target
            .strip_prefix("TCP:[")
            .and_then(|ends| ends.split("->").next());
        local.is_some_and(|local| local.ends_with(&format!(":{}", self.port)))
    }
}

/// Takes whole HTTP/2 frames off `unread`; the streams of those that carry a
/// reply: HEADERS or DATA.
fn take_replies(unread: &mut Vec<u8>) -> Vec<u32> {
    const FRAME_HEAD: usize = 9;
    let mut streams = Vec::new();
    while let Some(head) = unread.first_chunk::<FRAME_HEAD>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        if head[3] <= 1 {
            streams.push(stream);
        }
        // The rest of a frame that is in two writes comes with the second.
        if unread.len() < FRAME_HEAD + length {
            break;
        }
        unread.drain(..FRAME_HEAD + length);
    }
    streams
}

/// The calls of a trace, in the order in which they begin.
fn calls(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut unfinished: HashMap<&str, usize> = HashMap::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((process, rest)) = line.split_once(' ') else {
            continue;
        };
        let Some((_, what)) = rest.trim_start().split_once(' ') else {
            continue;
        };
        if what.starts_with("<... ") {
            if let Some(begun) = unfinished.remove(process) {
                calls[begun].end = number;
                calls[begun].succeeded = has_succeeded(what);
            }
        } else if let Some(mut call) = read_call(what) {
            call.begin = number;
            call.end = number;
            if what.ends_with("<unfinished ...>") {
                // Until it is told otherwise, it never ends.
                call.end = usize::MAX;
                unfinished.insert(process, calls.len());
            } else {
                call.succeeded = has_succeeded(what);
            }
            calls.push(call);
        }
    }
    calls
}

/// `name(descriptor<target>, arguments…`
fn read_call(what: &str) -> Option<Call> {
    let (name, arguments) = what.split_once('(')?;
    let (descriptor, rest) = arguments.split_once('<')?;
    descriptor.parse::<u32>().ok()?;
    // A target can have `->` in it, but nothing that looks like its end.
    let end = [">)", ">,", "> <"]
        .iter()
        .filter_map(|end| rest.find(end))
        .min()?;
    Some(Call {
        name: name.to_owned(),
        target: String::from_utf8_lossy(&unescaped(&rest[..end])).into_owned(),
        bytes: rest[end..]
            .split('"')
            .skip(1)
            .step_by(2)
            .flat_map(unescaped)
            .collect(),
        succeeded: false,
        begin: 0,
        end: 0,
    })
}

fn has_succeeded(what: &str) -> bool {
    what.rsplit(" = ")
        .next()
        .and_then(|result| result.split(' ').next())
        .is_some_and(|result| result.parse::<u64>().is_ok())
}

/// Bytes as strace shows them: `\x2f` or as they are.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let escaped = rest
            .strip_prefix("\\x")
            .and_then(|hex| u8::from_str_radix(hex.get(..2)?, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[4..];
            }
            None => {
                bytes.extend(first.to_string().as_bytes());
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    bytes
}

mod judging {
    use super::*;

    const WRITE_LOG: &str = r#"7 1.0 pwrite64(6</s/db>, "\x01\x02", 2, 512) = 2"#;
    const SYNC_LOG: &str = "7 1.1 fdatasync(8</s/db>) = 0";
    const WRITE_GUARD: &str = r#"7 1.2 pwrite64(5</g/guard>, "\x01", 1, 4096) = 1"#;
    const SYNC_GUARD: &str = "7 1.3 fdatasync(5</g/guard>) = 0";
    /// A HEADERS frame on stream 1 to a client of port 50052.
    const REPLY: &str = r#"9 1.4 writev(15<TCP:[127.0.0.1:50052->127.0.0.1:40000]>, [{iov_base="\x00\x00\x01\x01\x04\x00\x00\x00\x01", iov_len=9}, {iov_base="\x88", iov_len=1}], 2) = 10"#;

    fn judge(lines: &[&str]) -> Vec<(u32, Option<&'static str>)> {
        let watch = Watch {
            log: Path::new("/s/db"),
            guard: Path::new("/g/guard"),
            port: 50052,
        };
        watch
            .judge(&lines.join("\n"))
            .into_iter()
            .map(|reply| (reply.stream, reply.fault))
            .collect()
    }

    fn fault(lines: &[&str]) -> Option<&'static str> {
        let [(1, fault)] = judge(lines)[..] else {
            panic!("one reply, on stream 1")
        };
        fault
    }

    #[test]
    fn the_right_order_is_right() {
        assert_eq!(
            fault(&[WRITE_LOG, SYNC_LOG, WRITE_GUARD, SYNC_GUARD, REPLY]),
            None
        );
    }

    #[test]
    fn a_missing_call_is_found() {
        let all = [WRITE_LOG, SYNC_LOG, WRITE_GUARD, SYNC_GUARD];
        for missing in 0..all.len() {
            let mut lines = all.to_vec();
            lines.remove(missing);
            lines.push(REPLY);
            assert!(fault(&lines).is_some(), "without {}", all[missing]);
        }
    }

    #[test]
    fn a_late_or_early_call_is_found() {
        for lines in [
            [WRITE_LOG, SYNC_LOG, WRITE_GUARD, REPLY, SYNC_GUARD],
            [WRITE_LOG, SYNC_LOG, REPLY, WRITE_GUARD, SYNC_GUARD],
            [REPLY, WRITE_LOG, SYNC_LOG, WRITE_GUARD, SYNC_GUARD],
            [WRITE_LOG, WRITE_GUARD, SYNC_LOG, SYNC_GUARD, REPLY],
            [WRITE_LOG, WRITE_GUARD, SYNC_GUARD, SYNC_LOG, REPLY],
            [SYNC_LOG, WRITE_LOG, WRITE_GUARD, SYNC_GUARD, REPLY],
            [WRITE_LOG, SYNC_LOG, SYNC_GUARD, WRITE_GUARD, REPLY],
        ] {
            assert!(fault(&lines).is_some(), "{lines:#?}");
        }
        assert!(
            fault(&[
                WRITE_LOG,
                SYNC_LOG,
                WRITE_LOG,
                WRITE_GUARD,
                SYNC_GUARD,
                REPLY
            ])
            .is_some()
        );
    }

    #[test]
    fn a_sync_that_fails_or_has_not_ended_is_none() {
        let failed = "7 1.3 fdatasync(5</g/guard>) = -1 EIO (Input/output error)";
        let begun = "7 1.3 fdatasync(5</g/guard> <unfinished ...>";
        let ended = "7 1.5 <... fdatasync resumed>) = 0";
        assert!(fault(&[WRITE_LOG, SYNC_LOG, WRITE_GUARD, failed, REPLY]).is_some());
        assert!(fault(&[WRITE_LOG, SYNC_LOG, WRITE_GUARD, begun, REPLY, ended]).is_some());
        assert_eq!(
            fault(&[WRITE_LOG, SYNC_LOG, WRITE_GUARD, begun, ended, REPLY]),
            None
        );
        let reply_begun = REPLY.replace(") = 10", " <unfinished ...>");
        let reply_ended = "9 1.6 <... writev resumed>) = 10";
        assert!(
            fault(&[
                WRITE_LOG,
                SYNC_LOG,
                WRITE_GUARD,
                &reply_begun,
                SYNC_GUARD,
                reply_ended
            ])
            .is_some()
        );
    }

    #[test]
    fn each_reply_needs_syncs_of_its_own() {
        let second = REPLY.replace(r"\x00\x00\x00\x01", r"\x00\x00\x00\x03");
        let once = [WRITE_LOG, SYNC_LOG, WRITE_GUARD, SYNC_GUARD, REPLY, &second];
        assert_eq!(
            judge(&once),
            [(1, None), (3, Some("the log was not written"))]
        );
        let twice = [
            &once[..5],
            &[WRITE_LOG, SYNC_LOG, WRITE_GUARD, SYNC_GUARD, &second],
        ]
        .concat();
        assert_eq!(judge(&twice), [(1, None), (3, None)]);
    }

    #[test]
    fn other_frames_and_other_sockets_are_no_replies() {
        let settings = REPLY.replace(
            r"\x00\x00\x01\x01\x04\x00\x00\x00\x01",
            r"\x00\x00\x01\x04\x00\x00\x00\x00\x00",
        );
        let elsewhere = REPLY.replace(":50052-", ":50051-");
        assert_eq!(judge(&[&settings, &elsewhere]), []);
        assert_eq!(
            fault(&[
                &settings,
                WRITE_LOG,
                SYNC_LOG,
                WRITE_GUARD,
                SYNC_GUARD,
                REPLY
            ]),
            None
        );
        // A frame in two writes replies where it begins.
        let half = r#"9 1.4 write(15<TCP:[127.0.0.1:50052->127.0.0.1:40000]>, "\x00\x00\x02\x00\x00\x00\x00\x00\x01", 9) = 9"#;
        assert!(fault(&[half, WRITE_LOG, SYNC_LOG, WRITE_GUARD, SYNC_GUARD]).is_some());
    }

    #[test]
    fn paths_are_read_in_hex_too() {
        let hex = |text: &str| {
            text.bytes()
                .map(|byte| format!("\\x{byte:02x}"))
                .collect::<String>()
        };
        let call = read_call(&format!("fdatasync(8<{}>) = 0", hex("/s/db"))).unwrap();
        assert_eq!(
            (call.name.as_str(), call.target.as_str()),
            ("fdatasync", "/s/db")
        );
    }
}
