//! A gRPC status as a message for people: what went wrong, which flags, and
//! what to do next.

use std::collections::HashMap;
use std::error::Error;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::connect::{Server, root};
use super::failure::{Exit, Failure};
use crate::edge::pb::ErrorReason;

/// Which fields of a request are set by which flags.
pub(crate) type Flags = &'static [(&'static str, &'static str)];

/// What was asked, of whom: a status knows neither.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The server.
    pub(crate) server: &'a Server,
    /// The flag that names it.
    pub(crate) server_flag: &'static str,
    /// The flags that set the fields of the request.
    pub(crate) flags: Flags,
    /// Whether the call changes anything.
    pub(crate) changes: bool,
}

impl Asked<'_> {
    /// The failure that a status means.
    pub(crate) fn failure(&self, status: &Status) -> Failure {
        let info = status
            .get_details_error_info()
            .filter(|info| info.domain == "keyward");
        let failure = match info {
            Some(info) => answered(status, &info.reason, &info.metadata),
            None => self.unanswered(status),
        };
        // Each field is told of in a line of its own, so not in the sentence.
        let violations = status
            .get_details_bad_request()
            .map(|request| request.field_violations)
            .unwrap_or_default();
        let failure = match violations.as_slice() {
            [] => failure,
            [_, ..] => Failure::failed("not everything that was given is acceptable"),
        };
        violations.iter().fold(failure, |failure, violation| {
            failure.note(format!(
                "{}: {}",
                self.flag(&violation.field),
                violation.description
            ))
        })
    }

    /// No words of keyward's own: the way there failed, or it is not keyward.
    fn unanswered(&self, status: &Status) -> Failure {
        let Self {
            server,
            server_flag,
            ..
        } = self;
        // The transport keeps its reason behind the status that it makes up.
        let why = status.source().map_or_else(|| message(status), root);
        match status.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => self.lost(status, &why),
            Code::Internal | Code::Unknown if status.source().is_some() => self.lost(status, &why),
            Code::Unimplemented => Failure::failed(format!("{server} does not serve this call")).note(format!(
                "keyward has a listener for checks and one for admin calls: name the right one with {server_flag}."
            )),
            Code::Internal | Code::Unknown | Code::DataLoss => Failure::failed(why).note("See the server's log."),
            Code::Ok
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange => Failure::failed(why),
        }
    }

    /// Whether the call was carried out is not known.
    fn lost(&self, status: &Status, why: &str) -> Failure {
        let Self {
            server,
            server_flag,
            changes,
            ..
        } = self;
        // What a server sends has no source here: that one is there, and spoke.
        let spoke = status.source().is_none();
        let failure = if spoke {
            Failure::not_known(format!("{server} could not answer: {why}"))
        } else {
            Failure::not_known(format!("no answer from {server}: {why}"))
        };
        if *changes {
            failure.note("The change may have been made all the same: look before you try again.")
        } else if spoke {
            failure
        } else {
            failure.note(format!(
                "Is a keyward server there? {server_flag} names another; --timeout waits longer."
            ))
        }
    }

    /// The flag that sets a field such as `scopes[2]` or `workspace.id`.
    fn flag(&self, field: &str) -> String {
        let within = field.strip_prefix("workspace.").unwrap_or(field);
        let name = within.split('[').next().unwrap_or(within);
        match self.flags.iter().find(|(of, _)| *of == name) {
            Some((_, flag)) if field.contains('[') => format!("{flag} ({field})"),
            Some((_, flag)) => (*flag).to_owned(),
            None => field.to_owned(),
        }
    }
}

/// keyward's own words, and what to do next.
fn answered(status: &Status, reason: &str, about: &HashMap<String, String>) -> Failure {
    let failure = Failure::failed(message(status));
    // A newer server's reason: its sentence has to do.
    let Some(reason) = ErrorReason::from_str_name(&format!("ERROR_REASON_{reason}")) else {
        return failure;
    };
    match reason {
        ErrorReason::AdminTokenInvalid => {
            let denial = about.get("denial").map_or("not valid", String::as_str);
            failure
                .note(format!(
                    "The one in --admin-token-file or $KEYWARD_ADMIN_TOKEN is {denial}."
                ))
                .note("It must be an admin key's, as `keyward init` makes; API keys are no admins.")
        }
        ErrorReason::RoleInsufficient => match about.get("requiredRole") {
            Some(role) => failure.note(format!(
                "Use the token of an admin key that is {role} there."
            )),
            None => failure.note("Use the token of an admin key with more rights."),
        },
        ErrorReason::NotOfTheSystem => failure
            .note("Use the token of an admin key of the whole system.")
            .note("Keys can be listed with less: --workspace keeps to one workspace."),
        ErrorReason::GrantCeilingExceeded => failure
            .note("Leave those scopes out, or use the token of an admin key that may grant them."),
        ErrorReason::ResourceNotFound => match about.get("type").map(String::as_str) {
            Some("key") => {
                failure.note("`keyward keys list` shows the keys that this admin token may see.")
            }
            _ => failure,
        },
        ErrorReason::ResourceExists => {
            match (about.get("type").map(String::as_str), about.get("id")) {
                (Some("workspace"), Some(id)) => {
                    failure.note(format!("`keyward workspaces get {id}` shows it."))
                }
                _ => failure,
            }
        }
        ErrorReason::Internal => failure.note("See the server's log."),
        // A check has no verdict then.
        ErrorReason::OutcomeUnknown | ErrorReason::Overloaded => failure.with_exit(Exit::NotKnown),
        // The sentence says all, or the fields do.
        ErrorReason::Conflict
        | ErrorReason::StoreUnavailable
        | ErrorReason::InvalidFields
        | ErrorReason::Unspecified => failure,
    }
}

fn message(status: &Status) -> String {
    match status.message() {
        "" => status.code().description().to_owned(),
        message => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    const FLAGS: Flags = &[
        ("scopes", "--scope"),
        ("token_prefix", "--prefix"),
        ("id", "the id"),
        ("metadata", "--metadata"),
    ];

    fn told(status: &Status, changes: bool) -> (Exit, String) {
        let server = Server::Http("http://127.0.0.1:1".to_owned());
        let asked = Asked {
            server: &server,
            server_flag: "--admin-server",
            flags: FLAGS,
            changes,
        };
        let failure = asked.failure(status);
        (failure.exit(), failure.to_string())
    }

    fn refusal(code: Code, message: &str, reason: &str, about: &[(&str, &str)]) -> Status {
        let about: HashMap<_, _> = about
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Status::with_error_details(
            code,
            message,
            ErrorDetails::with_error_info(reason, "keyward", about),
        )
    }

    #[test]
    fn violations_name_the_flags() {
        let mut details =
            ErrorDetails::with_error_info("INVALID_FIELDS", "keyward", HashMap::new());
        details
            .add_bad_request_violation("scopes[2]", "must be a scope")
            .add_bad_request_violation("workspace.token_prefix", "is reserved")
            .add_bad_request_violation("workspace.id", "is required")
            .add_bad_request_violation("workspace.environments[0]", "is no name")
            .add_bad_request_violation("metadata[a.b]", "is too long")
            .add_bad_request_violation("novel", "is new");
        let status = Status::with_error_details(
            Code::InvalidArgument,
            "scopes[2]: must be a scope; and so on",
            details,
        );
        let (exit, text) = told(&status, true);
        assert_eq!(exit, Exit::Failed);
        assert_eq!(
            text,
            "error: not everything that was given is acceptable\n  --scope (scopes[2]): must be a scope\n  --prefix: is reserved\n  the id: is required\n  \
             workspace.environments[0]: is no name\n  --metadata (metadata[a.b]): is too long\n  novel: is new"
        );
    }

    /// A reason, what it comes with, and a part of the advice.
    type Row = (
        &'static str,
        &'static [(&'static str, &'static str)],
        &'static str,
    );

    const ROWS: [Row; 10] = [
        (
            "ADMIN_TOKEN_INVALID",
            &[("denial", "REVOKED")],
            "$KEYWARD_ADMIN_TOKEN is REVOKED",
        ),
        (
            "ROLE_INSUFFICIENT",
            &[("requiredRole", "OWNER")],
            "that is OWNER",
        ),
        ("NOT_OF_THE_SYSTEM", &[], "--workspace"),
        ("GRANT_CEILING_EXCEEDED", &[], "Leave those scopes out"),
        (
            "RESOURCE_NOT_FOUND",
            &[("type", "key")],
            "keyward keys list",
        ),
        (
            "RESOURCE_EXISTS",
            &[("type", "workspace"), ("id", "klipy")],
            "workspaces get klipy",
        ),
        ("CONFLICT", &[], ""),
        ("STORE_UNAVAILABLE", &[], ""),
        ("OUTCOME_UNKNOWN", &[], ""),
        ("INTERNAL", &[], "log"),
    ];

    #[test]
    fn each_reason_says_what_to_do() {
        for (reason, about, advice) in ROWS {
            // With details, the code is for programs: the reason decides.
            let (exit, text) = told(
                &refusal(Code::Unavailable, "the sentence", reason, about),
                true,
            );
            let expected = if reason == "OUTCOME_UNKNOWN" {
                Exit::NotKnown
            } else {
                Exit::Failed
            };
            assert_eq!(exit, expected, "{reason}");
            assert!(
                text.starts_with("error: the sentence") && text.contains(advice),
                "{reason}: {text}"
            );
        }
    }

    #[test]
    fn a_newer_reason_is_told_in_the_servers_words() {
        let (exit, text) = told(
            &refusal(Code::FailedPrecondition, "not now", "NOVEL", &[]),
            true,
        );
        assert_eq!((exit, text.as_str()), (Exit::Failed, "error: not now"));
    }

    #[test]
    fn without_an_answer_nothing_is_known() {
        let late = || Status::from_error(Box::new(tonic::TimeoutExpired(())));
        let (exit, text) = told(&late(), false);
        assert_eq!(exit, Exit::NotKnown);
        assert!(
            text.contains("Timeout expired\n  Is a keyward server there?"),
            "{text}"
        );
        for status in [
            late(),
            Status::unavailable("overload"),
            Status::deadline_exceeded("late"),
        ] {
            let (exit, text) = told(&status, true);
            assert_eq!(exit, Exit::NotKnown);
            assert!(text.contains("may have been made"), "{text}");
        }
        let (exit, text) = told(&Status::unavailable("overload"), false);
        assert_eq!(exit, Exit::NotKnown);
        assert_eq!(text, "error: http://127.0.0.1:1 could not answer: overload");
    }

    #[test]
    fn the_wrong_listener_is_recognised() {
        let (exit, text) = told(&Status::unimplemented(""), true);
        assert_eq!(exit, Exit::Failed);
        assert!(text.contains("--admin-server"), "{text}");
    }
}
