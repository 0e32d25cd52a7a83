//! `keyward check --batch`: the verdicts on many headers, a line for each.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use prost::Message;
use serde_json::{Value, json};

use super::check::{self, Gateway};
use super::connect;
use super::failure::{Exit, Failure};
use super::output::{self, Output};
use super::text::{denial_reason, escaped, undecided_reason};
use super::verdict_view;
use crate::domain::credential::MAX_HEADER_LEN;
use crate::edge::pb::check_response::Outcome;
use crate::edge::pb::check_result::Result as Judged;
use crate::edge::pb::{CheckBatchRequest, CheckRequest, CheckResult, Undecided, UndecidedReason};

/// How many headers are asked for in one call, and how many bytes: well below
/// what the server takes.
const MAX_CHECKS: usize = 500;
const MAX_BATCH_LEN: usize = 2 * 1024 * 1024;

/// Headers, one a line.
pub(crate) struct Headers {
    input: Box<dyn BufRead>,
    /// The file, as it was named.
    name: String,
}

/// Opens `file`; `-` is stdin.
pub(crate) fn open(file: &Path) -> Result<Headers, Failure> {
    let name = file.display().to_string();
    let input: Box<dyn BufRead> = if name == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(
            File::open(file).map_err(|error| unreadable(&name, &error))?,
        ))
    };
    Ok(Headers { input, name })
}

fn unreadable(name: &str, error: &io::Error) -> Failure {
    Failure::usage(format!("cannot read the headers from {name}: {error}"))
}

/// All of none are allowed, but whoever wrote no header into a file did not mean
/// that.
fn nothing(name: &str) -> Failure {
    Failure::usage(format!("there is nothing to check: {name} is empty"))
        .note("It must have one header on each line, such as `Bearer klg_live_…`.")
}

impl Headers {
    /// The next headers, each in a request like `request`; none: that was all.
    fn next_batch(&mut self, request: &CheckRequest) -> Result<Vec<CheckRequest>, Failure> {
        let mut batch = Vec::new();
        let mut length = 0;
        while batch.len() < MAX_CHECKS && length < MAX_BATCH_LEN {
            let next = next_line(&mut self.input);
            let Some(credential) = next.map_err(|error| unreadable(&self.name, &error))? else {
                break;
            };
            let check = CheckRequest {
                credential,
                ..request.clone()
            };
            length += check.encoded_len();
            batch.push(check);
        }
        Ok(batch)
    }
}

/// The next line without its end, cut where it is too long for a header: it is
/// MALFORMED all the same, as is one that is no text.
fn next_line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if input.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    line.truncate(MAX_HEADER_LEN + 1);
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

/// Asks for the verdicts and shows them in the order of the headers.
pub(crate) async fn run(
    mut gateway: Gateway,
    mut headers: Headers,
    request: CheckRequest,
) -> Result<Exit, Failure> {
    // None: nothing was asked yet.
    let mut exit = None;
    loop {
        let mut checks = headers.next_batch(&request)?;
        if checks.is_empty() {
            return exit.ok_or_else(|| nothing(&headers.name));
        }
        while !checks.is_empty() {
            let results = ask(&mut gateway, &checks).await?;
            checks.drain(..results.len());
            let mut lines = String::new();
            for result in results {
                let answer = Answer::of(result);
                exit = Some(worse(exit.unwrap_or(Exit::Done), answer.exit()));
                lines += &match gateway.output {
                    Output::Table => answer.line(),
                    Output::Json | Output::Yaml => gateway.output.item(&answer.json()),
                };
            }
            output::print(&lines)?;
        }
    }
}

/// The results for the first of `checks`, at least for one: those that no
/// longer fitted into the response are to be asked for again.
async fn ask(gateway: &mut Gateway, checks: &[CheckRequest]) -> Result<Vec<CheckResult>, Failure> {
    let batch = CheckBatchRequest {
        checks: checks.to_vec(),
    };
    let reply = connect::call(batch, gateway.target.timeout, async |batch| {
        gateway.client.check_batch(batch).await
    })
    .await
    .map_err(|status| gateway.failure(&status))?;
    let mut results = reply.results;
    if results.len() != checks.len() {
        return Err(Failure::not_known(
            "the server's answers are not as many as the headers",
        ));
    }
    let fitted = results.iter().position(is_left_out);
    results.truncate(fitted.unwrap_or(results.len()).max(1));
    Ok(results)
}

fn is_left_out(result: &CheckResult) -> bool {
    matches!(&result.result, Some(Judged::Undecided(undecided))
        if undecided.reason() == UndecidedReason::ResponseFull)
}

/// Of two ways to end, the one that tells more of what went wrong.
fn worse(one: Exit, other: Exit) -> Exit {
    if (one as u8) < (other as u8) {
        other
    } else {
        one
    }
}

/// What there is to tell of one header.
#[expect(
    clippy::large_enum_variant,
    reason = "one is there at a time, and most are of the large kind"
)]
enum Answer {
    Judged(Outcome),
    Undecided(Undecided),
}

impl Answer {
    fn of(result: CheckResult) -> Self {
        match result.result {
            Some(Judged::Verdict(response)) => {
                Self::Judged(response.outcome.unwrap_or_else(check::unfamiliar))
            }
            Some(Judged::Undecided(undecided)) => Self::Undecided(undecided),
            None => Self::Undecided(Undecided {
                message: "the server's answer is none that this keyward knows".to_owned(),
                ..Undecided::default()
            }),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Judged(Outcome::Allowed(_)) => Exit::Done,
            Self::Judged(Outcome::Denied(_)) => Exit::Denied,
            Self::Undecided(_) => Exit::NotKnown,
        }
    }

    fn line(&self) -> String {
        let told = match self {
            Self::Judged(Outcome::Allowed(allowed)) => vec![
                "ALLOWED".to_owned(),
                allowed.principal.clone(),
                allowed.workspace.clone(),
                allowed.environment.clone(),
                allowed.key_id.clone(),
            ],
            Self::Judged(Outcome::Denied(denied)) => vec![
                format!(
                    "DENIED: {} (HTTP {})",
                    denial_reason(denied.reason),
                    denied.http_status
                ),
                denied.key_id.clone(),
                denied.key_hint.clone(),
            ],
            Self::Undecided(undecided) => vec![
                format!("UNDECIDED: {}", undecided_reason(undecided.reason)),
                undecided.message.clone(),
            ],
        };
        let told: Vec<_> = told
            .iter()
            .filter(|text| !text.is_empty())
            .map(|text| escaped(text))
            .collect();
        told.join("  ") + "\n"
    }

    fn json(&self) -> Value {
        match self {
            Self::Judged(Outcome::Allowed(allowed)) => {
                json!({ "allowed": verdict_view::allowed_json(allowed) })
            }
            Self::Judged(Outcome::Denied(denied)) => {
                json!({ "denied": verdict_view::denied_json(denied) })
            }
            Self::Undecided(undecided) => json!({ "undecided": {
                "reason": undecided_reason(undecided.reason),
                "message": undecided.message,
            } }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_header() {
        let lines = |input: &[u8]| {
            let mut input = input;
            let mut lines = Vec::new();
            while let Some(line) = next_line(&mut input).unwrap() {
                lines.push(line);
            }
            lines
        };
        assert_eq!(lines(b""), [""; 0]);
        assert_eq!(lines(b"a\n\n b \r\nc"), ["a", "", " b ", "c"]);
        assert_eq!(lines(b"\xff\n"), ["\u{fffd}"]);
        let long = vec![b'a'; 5_000];
        assert_eq!(lines(&long), ["a".repeat(1_025)]);
    }

    #[test]
    fn a_batch_is_never_too_large_for_the_server() {
        let mut headers = Headers {
            input: Box::new(BufReader::new(io::repeat(b'\n'))),
            name: String::new(),
        };
        let small = headers.next_batch(&CheckRequest::default()).unwrap();
        assert_eq!(small.len(), MAX_CHECKS);
        let large = CheckRequest {
            required_scopes: vec!["a".repeat(1_024); 100],
            ..CheckRequest::default()
        };
        let batch = CheckBatchRequest {
            checks: headers.next_batch(&large).unwrap(),
        };
        assert!(batch.checks.len() > 1);
        assert!(batch.encoded_len() < 4 * 1024 * 1024);
    }

    #[test]
    fn what_cannot_be_decided_is_told_over_what_is_denied() {
        let ends = [Exit::Done, Exit::Denied, Exit::NotKnown];
        for (place, end) in ends.into_iter().enumerate() {
            for (other_place, other) in ends.into_iter().enumerate() {
                assert_eq!(worse(end, other), ends[place.max(other_place)]);
            }
        }
    }

    #[test]
    fn an_answer_is_one_line_whatever_is_in_it() {
        let undecided = |result| Answer::of(CheckResult { result });
        assert!(undecided(None).line().starts_with("UNDECIDED: UNSPECIFIED"));
        assert_eq!(undecided(None).exit(), Exit::NotKnown);
        let answer = undecided(Some(Judged::Undecided(Undecided {
            reason: UndecidedReason::Unreadable.into(),
            message: "a\nb\u{1b}".to_owned(),
        })));
        assert_eq!(answer.line(), "UNDECIDED: UNREADABLE  a\\nb\\u{1b}\n");
        assert_eq!(answer.json()["undecided"]["reason"], "UNREADABLE");
        let nothing = Judged::Verdict(crate::edge::pb::CheckResponse { outcome: None });
        assert_eq!(undecided(Some(nothing)).exit(), Exit::Denied);
    }
}
