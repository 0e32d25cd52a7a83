//! What to do next, for each reason that a server gives.

use std::collections::HashMap;

use super::failure::{Exit, Failure};
use super::status::Asked;

/// What a reason comes with, by name.
type About = HashMap<String, String>;

/// Adds to the failure of what was `asked` what to do about its reason. A newer
/// server's reason is left to that server's own words.
pub(crate) fn on(failure: Failure, reason: &str, about: &About, asked: &Asked<'_>) -> Failure {
    match reason {
        "ADMIN_TOKEN_INVALID" => token_invalid(failure, about, asked),
        "ROLE_INSUFFICIENT" => match about.get("requiredRole") {
            Some(role) => failure.note(format!(
                "Use the token of an admin key that is {role} there."
            )),
            None => failure.note("Use the token of an admin key with more rights."),
        },
        "NOT_OF_THE_SYSTEM" => failure.note("Use the token of an admin key of the whole system."),
        "GRANT_CEILING_EXCEEDED" => failure
            .note("Use the token of an admin key that may grant them, or leave them out.")
            .note("`keyward whoami` shows what this one may grant."),
        "RESOURCE_NOT_FOUND" => not_found(failure, about),
        "RESOURCE_EXISTS" => exists(failure, about),
        "CONFLICT" => failure.note("Nothing was changed: try again."),
        "ETAG_MISMATCH" => match shown_by(about) {
            Some(command) => failure.note(format!("`{command}` shows it as it is now.")),
            None => failure,
        },
        "PRECONDITION_FAILED" => precondition(failure, about),
        "USAGE_NOT_COUNTED" => failure.note(
            "It was started with --no-usage, or `usage.count` is false in its file or KEYWARD_NO_USAGE set.",
        ),
        "OVERLOADED" => failure.note("Nothing was done: try again in a moment."),
        "INTERNAL" => failure.note("See the server's log."),
        "OUTCOME_UNKNOWN" => failure.with_exit(Exit::NotKnown),
        // The sentence says all, or the fields do.
        _ => failure,
    }
}

fn token_invalid(failure: Failure, about: &About, asked: &Asked<'_>) -> Failure {
    let denial = about.get("denial").map_or("not valid", String::as_str);
    let source = asked
        .token_source
        .unwrap_or("--admin-token-file or $KEYWARD_ADMIN_TOKEN");
    let failure = failure
        .note(format!("The one in {source} is {denial}."))
        .note("It must be an admin key's, as `keyward init` makes; API keys are no admins.");
    if denial != "UNKNOWN" {
        return failure;
    }
    failure.note(format!(
        "It may be another store's: perhaps the server at {} is not the one that you mean.",
        asked.server
    ))
}

fn text<'a>(about: &'a About, name: &str) -> &'a str {
    about.get(name).map_or("", String::as_str)
}

/// The plural by which the command line knows a type of resource.
fn noun(about: &About) -> Option<&'static str> {
    match text(about, "type") {
        "workspace" => Some("workspaces"),
        "key" => Some("keys"),
        "admin_key" => Some("admins"),
        "principal" => Some("principals"),
        "membership" => Some("memberships"),
        _ => None,
    }
}

/// The command that shows the resource.
fn shown_by(about: &About) -> Option<String> {
    match (noun(about), text(about, "id")) {
        (None | Some("memberships"), _) | (_, "") => None,
        (Some("principals"), id) => Some(format!("keyward principals show {id}")),
        (Some(noun), id) => Some(format!("keyward {noun} get {id}")),
    }
}

fn not_found(failure: Failure, about: &About) -> Failure {
    match noun(about) {
        Some(noun) => failure.note(format!(
            "`keyward {noun} list` shows those that this admin token may see."
        )),
        None => failure,
    }
}

fn exists(failure: Failure, about: &About) -> Failure {
    let failure = match shown_by(about) {
        Some(command) => failure.note(format!("`{command}` shows it.")),
        None => failure,
    };
    match noun(about) {
        Some("keys") => failure.note(format!(
            "If its token was never received, `keyward keys rotate {} --overlap 0s` makes another.",
            text(about, "id")
        )),
        Some("principals") => failure.note(
            "If there is none, it was deleted, and its id is not used again: choose another.",
        ),
        _ => failure,
    }
}

/// The state in which a resource would have to be: the sentence names it.
fn precondition(failure: Failure, about: &About) -> Failure {
    let (id, noun) = (text(about, "id"), noun(about).unwrap_or("keys"));
    let workspace = match (noun, id) {
        ("workspaces", id) if !id.is_empty() => id,
        _ => "<workspace>",
    };
    match text(about, "condition") {
        "REVOKED" => failure.note(format!("`keyward {noun} create` makes another.")),
        "NOT_REVOKED" => failure.note(format!("`keyward {noun} revoke {id}` does that.")),
        "WORKSPACE_DISABLED" => failure.note(format!(
            "`keyward workspaces enable {workspace}` switches the workspace on again."
        )),
        "WORKSPACE_ENABLED" => failure.note(format!(
            "`keyward workspaces disable {workspace}` does that."
        )),
        "WORKSPACE_NOT_EMPTY" => failure.note(format!(
            "Delete its keys and revoke its admin keys first: `keyward keys list --workspace {workspace}` \
             and `keyward admins list --workspace {workspace}` show them."
        )),
        "LAST_OWNER" => failure.note(
            "Somebody has to be left who may do everything: make another with \
             `keyward admins create --system --role owner --grant '*' --name NAME` first.",
        ),
        "PRINCIPAL_DISABLED" => failure.note(format!(
            "`keyward principals enable {id}` switches it on again, and all its keys with it."
        )),
        "PRINCIPAL_HAS_KEYS" => failure
            .note(format!(
                "`keyward keys list --principal {id}` shows them; `keyward keys revoke` and, when they were \
                 kept long enough, `keyward keys delete` end them."
            ))
            .note(format!("`keyward principals disable {id}` stops them all now.")),
        "PRINCIPAL_DELETED" => failure.note("`keyward principals list` shows those that there are."),
        "MEMBERSHIP_REMOVED" => {
            let (workspace, principal) = id.split_once('/').unwrap_or((id, "PRINCIPAL"));
            failure.note(format!(
                "`keyward memberships set --workspace {workspace} --principal {principal} --ceiling SCOPES` sets it again."
            ))
        }
        "ROTATION_PENDING" if noun == "keys" => failure
            .note(format!(
                "`keyward keys finish-rotation {id}` ends the old token, `keyward keys cancel-rotation {id}` the new one."
            ))
            .note("`--overlap 0s` ends all older tokens at once."),
        "ROTATION_PENDING" => failure.note("`--overlap 0s` ends all older tokens at once."),
        "NO_ROTATION" => failure.note(format!("`keyward {noun} rotate {id}` starts one.")),
        "NO_CREDITS" => failure.note(format!("`keyward keys credits {id} --set N` gives it some.")),
        "EXPIRED" => failure.note(format!(
            "`keyward {noun} update {id} --expires 90d` gives it time, and `keyward {noun} create` makes another."
        )),
        // When a key can be deleted is in the sentence.
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::super::connect::Server;
    use super::super::status::Changes;
    use super::*;
    use crate::edge::pb::ErrorReason;

    /// A reason, what it comes with, and a part of the advice.
    type Row = (
        &'static str,
        &'static [(&'static str, &'static str)],
        &'static str,
    );

    const ROWS: [Row; 18] = [
        ("INVALID_FIELDS", &[], ""),
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
        ("NOT_OF_THE_SYSTEM", &[], "of the whole system"),
        ("GRANT_CEILING_EXCEEDED", &[], "or leave them out"),
        ("USAGE_NOT_COUNTED", &[], "usage.count"),
        (
            "RESOURCE_NOT_FOUND",
            &[("type", "key")],
            "keyward keys list",
        ),
        (
            "RESOURCE_NOT_FOUND",
            &[("type", "admin_key")],
            "keyward admins list",
        ),
        (
            "RESOURCE_EXISTS",
            &[("type", "workspace"), ("id", "klipy")],
            "workspaces get klipy",
        ),
        (
            "RESOURCE_EXISTS",
            &[("type", "key"), ("id", "key_1")],
            "keys get key_1` shows it.\n  If its token",
        ),
        ("CONFLICT", &[], "try again"),
        ("STORE_UNAVAILABLE", &[], ""),
        ("OUTCOME_UNKNOWN", &[], ""),
        ("INTERNAL", &[], "log"),
        ("OVERLOADED", &[], "in a moment"),
        ("CREDITS_UNAVAILABLE", &[], ""),
        (
            "ETAG_MISMATCH",
            &[("type", "key"), ("id", "key_1")],
            "keyward keys get key_1",
        ),
        (
            "PRECONDITION_FAILED",
            &[("condition", "LAST_OWNER")],
            "--role owner",
        ),
    ];

    fn told(reason: &str, about: &[(&str, &str)]) -> (Exit, String) {
        let about: HashMap<_, _> = about
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let server = Server::Http("http://127.0.0.1:1".to_owned());
        let asked = Asked {
            server: &server,
            server_flag: "--admin-server",
            token_source: Some("$KEYWARD_ADMIN_TOKEN"),
            flags: &[],
            changes: Changes::Nothing,
        };
        let failure = on(Failure::failed("the sentence"), reason, &about, &asked);
        (failure.exit(), failure.to_string())
    }

    #[test]
    fn each_reason_says_what_to_do() {
        for (reason, about, advice) in ROWS {
            let (exit, text) = told(reason, about);
            let unknown = reason == "OUTCOME_UNKNOWN";
            assert_eq!(exit == Exit::NotKnown, unknown, "{reason}");
            assert!(
                text.starts_with("error: the sentence") && text.contains(advice),
                "{reason}: {text}"
            );
        }
    }

    #[test]
    fn no_reason_of_the_api_was_forgotten() {
        let known = (1..100).filter_map(|number| ErrorReason::try_from(number).ok());
        for reason in known {
            let name = reason.as_str_name().trim_start_matches("ERROR_REASON_");
            assert!(ROWS.iter().any(|(row, ..)| *row == name), "{name}");
        }
    }

    #[test]
    fn each_condition_says_what_to_do() {
        for (condition, of, advice) in [
            ("REVOKED", "key", "`keyward keys create`"),
            ("REVOKED", "admin_key", "`keyward admins create`"),
            ("NOT_REVOKED", "key", "`keyward keys revoke ID`"),
            ("WORKSPACE_DISABLED", "key", "enable <workspace>"),
            ("WORKSPACE_DISABLED", "workspace", "enable ID"),
            ("WORKSPACE_ENABLED", "workspace", "disable ID"),
            (
                "WORKSPACE_NOT_EMPTY",
                "workspace",
                "admins list --workspace ID",
            ),
            ("LAST_OWNER", "admin_key", "--system --role owner"),
            ("NO_CREDITS", "key", "`keyward keys credits ID --set N`"),
            ("ROTATION_PENDING", "admin_key", "`--overlap 0s`"),
            ("PRINCIPAL_DISABLED", "principal", "principals enable ID"),
            (
                "PRINCIPAL_HAS_KEYS",
                "principal",
                "keys list --principal ID",
            ),
            (
                "PRINCIPAL_DELETED",
                "principal",
                "`keyward principals list`",
            ),
            ("MEMBERSHIP_REMOVED", "membership", "--workspace ID"),
            ("ROTATION_PENDING", "key", "cancel-rotation ID"),
            ("NO_ROTATION", "key", "`keyward keys rotate ID`"),
            ("EXPIRED", "key", "update ID --expires"),
        ] {
            let about = [("condition", condition), ("type", of), ("id", "ID")];
            let (exit, text) = told("PRECONDITION_FAILED", &about);
            assert_eq!(exit, Exit::Failed);
            assert!(text.contains(advice), "{condition}: {text}");
        }
        let (_, text) = told("PRECONDITION_FAILED", &[("condition", "NOVEL")]);
        assert_eq!(text, "error: the sentence");
    }
}
