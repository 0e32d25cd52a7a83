//! A gRPC status as a message for people: what went wrong, and which flags.
//! What to do next is [`advice`]'s.

use std::error::Error;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::connect::{Server, root};
use super::failure::Failure;
use super::{advice, tls};

/// Which fields of a request are set by which flags.
pub(crate) type Flags = &'static [(&'static str, &'static str)];

/// What was asked, of whom: a status knows neither.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The server.
    pub(crate) server: &'a Server,
    /// The flag that names it.
    pub(crate) server_flag: &'static str,
    /// Where the admin token was taken from, for people, if the call has one.
    pub(crate) token_source: Option<&'static str>,
    /// The flags that set the fields of the request.
    pub(crate) flags: Flags,
    /// What the call does, of which nobody may know whether it was done.
    pub(crate) changes: Changes,
}

/// What a call changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Changes {
    /// Nothing.
    Nothing,
    /// Something, each time that it is made.
    Something,
    /// Something, once: it carries the id of its request, and whoever makes it
    /// says how to repeat it.
    Once,
}

impl Asked<'_> {
    /// The failure that a status means.
    pub(crate) fn failure(&self, status: &Status) -> Failure {
        let info = status
            .get_details_error_info()
            .filter(|info| info.domain == "keyward");
        let failure = match info {
            Some(info) => advice::on(
                Failure::failed(message(status)).because(&info.reason),
                &info.reason,
                &info.metadata,
                self,
            ),
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
        if let Some(advice) = tls::advice(why) {
            return failure.note(advice);
        }
        // A server that was shown no certificate may close the connection
        // before it can be heard why.
        let failure = match server {
            Server::Https(_) if !spoke => failure.note(
                "If it wants to see a certificate, give one with --client-cert and --client-key.",
            ),
            Server::Https(_) | Server::Http(_) | Server::Unix(_) => failure,
        };
        match changes {
            Changes::Something => failure
                .note("The change may have been made all the same: look before you try again."),
            Changes::Once => failure,
            Changes::Nothing if spoke => failure,
            Changes::Nothing => failure.note(format!(
                "Is a keyward server there? {server_flag} names another; --timeout waits longer."
            )),
        }
    }

    /// The flag that sets a field such as `scopes[2]` or `workspace.id`.
    fn flag(&self, field: &str) -> String {
        let within = ["workspace.", "key.", "admin_key."]
            .iter()
            .find_map(|of| field.strip_prefix(of))
            .unwrap_or(field);
        let name = within.split('[').next().unwrap_or(within);
        match self.flags.iter().find(|(of, _)| *of == name) {
            Some((_, flag)) if field.contains('[') => format!("{flag} ({field})"),
            Some((_, flag)) => (*flag).to_owned(),
            None => field.to_owned(),
        }
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
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::super::failure::Exit;
    use super::*;

    const FLAGS: Flags = &[
        ("scopes", "--scope"),
        ("token_prefix", "--prefix"),
        ("id", "the id"),
        ("metadata", "--metadata"),
    ];

    fn told(status: &Status, changes: Changes) -> (Exit, String) {
        let server = Server::Http("http://127.0.0.1:1".to_owned());
        let asked = Asked {
            server: &server,
            server_flag: "--admin-server",
            token_source: Some("$KEYWARD_ADMIN_TOKEN_FILE"),
            flags: FLAGS,
            changes,
        };
        let failure = asked.failure(status);
        (failure.exit(), failure.to_string())
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
        let (exit, text) = told(&status, Changes::Something);
        assert_eq!(exit, Exit::Failed);
        assert_eq!(
            text,
            "error: not everything that was given is acceptable\n  --scope (scopes[2]): must be a scope\n  --prefix: is reserved\n  the id: is required\n  \
             workspace.environments[0]: is no name\n  --metadata (metadata[a.b]): is too long\n  novel: is new"
        );
    }

    #[test]
    fn a_newer_reason_is_told_in_the_servers_words() {
        let details = ErrorDetails::with_error_info("NOVEL", "keyward", HashMap::new());
        let status = Status::with_error_details(Code::FailedPrecondition, "not now", details);
        let (exit, text) = told(&status, Changes::Something);
        assert_eq!((exit, text.as_str()), (Exit::Failed, "error: not now"));
    }

    #[test]
    fn without_an_answer_nothing_is_known() {
        let late = || Status::from_error(Box::new(tonic::TimeoutExpired(())));
        let (exit, text) = told(&late(), Changes::Nothing);
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
            let (exit, text) = told(&status, Changes::Something);
            assert_eq!(exit, Exit::NotKnown);
            assert!(text.contains("may have been made"), "{text}");
        }
        let (exit, text) = told(&Status::unavailable("overload"), Changes::Nothing);
        assert_eq!(exit, Exit::NotKnown);
        assert_eq!(text, "error: http://127.0.0.1:1 could not answer: overload");
    }

    #[test]
    fn the_wrong_listener_is_recognised() {
        let (exit, text) = told(&Status::unimplemented(""), Changes::Something);
        assert_eq!(exit, Exit::Failed);
        assert!(text.contains("--admin-server"), "{text}");
    }
}
