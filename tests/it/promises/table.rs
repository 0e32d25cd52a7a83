//! The table: each promise, whether keyward keeps it, and the tests for it.

/// What a vendor promises.
pub(super) struct Promise {
    /// The first letter of the vendor, and a number.
    pub(super) id: &'static str,
    /// What is promised.
    pub(super) text: &'static str,
    /// Whether it is kept.
    pub(super) here: Here,
    /// The tests that prove it: of this program by their full names, unit tests
    /// by theirs, which have `::tests::` in them.
    pub(super) tests: &'static [&'static str],
}

/// How far a promise is kept.
#[derive(Clone, Copy)]
pub(super) enum Here {
    /// As it stands.
    Yes,
    /// And more than that.
    More(&'static str),
    /// But for this.
    InPart(&'static str),
    /// It is planned.
    Later,
}

use Here::{InPart, Later, More, Yes};

const fn promise(
    id: &'static str,
    text: &'static str,
    here: Here,
    tests: &'static [&'static str],
) -> Promise {
    Promise {
        id,
        text,
        here,
        tests,
    }
}

pub(super) const PROMISES: [Promise; 34] = [
    promise(
        "K1",
        "keys are made and managed by admins only; others must ask one",
        Yes,
        &[
            "vendors::klue",
            "check_api::a_key_for_everything_is_nobodys_admin",
            "admin_rights::each_caller_may_what_the_table_says_and_nothing_else",
        ],
    ),
    promise(
        "K2",
        "a key has a name or description",
        Yes,
        &["vendors::klue"],
    ),
    promise(
        "K3",
        "it is shown once, at creation, and must be copied then; lost means make a new one",
        Yes,
        &[
            "vendors::klue",
            "law_secrets::nothing_that_is_written_anywhere_holds_a_piece_of_a_token",
        ],
    ),
    promise(
        "K4",
        "it is sent as a Bearer token in `Authorization` on every request",
        Yes,
        &[
            "vendors::klue",
            "check_api::every_scheme_presents_the_token",
        ],
    ),
    promise(
        "P1",
        "only workspace admins issue or revoke; keys are workspace-scoped, one workspace's key cannot reach another",
        Yes,
        &[
            "vendors::klipy",
            "check_api::unknown_is_the_same_bytes_whatever_it_hides",
            "admin_rights::each_caller_may_what_the_table_says_and_nothing_else",
            "admin_hidden::what_is_anothers_is_answered_in_the_same_bytes_as_what_is_not_there",
        ],
    ),
    promise(
        "P2",
        "the name is for reference and changes nothing in behaviour",
        Yes,
        &["vendors::klipy"],
    ),
    promise(
        "P3",
        "scopes chosen at creation: `ALL` (everything), `people:read`, `people:write`, `companies:read`, `companies:write`, `companies:remove`, `interactions:read`, `interactions:write`; the fewest that serve",
        Yes,
        &[
            "vendors::klipy",
            "check_api::requirements_all_hold_and_alternatives_are_any",
            "domain::scope::tests::covers_exactly_what_matches_everything_that_the_other_matches",
        ],
    ),
    promise(
        "P4",
        "expiry date or none; once expired every request gets 401",
        Yes,
        &[
            "vendors::klipy",
            "law_narrowed::nothing_passes_after_the_end_that_was_moved_closer",
            "domain::verdict::tests::a_key_is_dead_from_the_moment_of_its_expiry",
        ],
    ),
    promise(
        "P5",
        "no alert comes before expiry",
        More("keys that expire soon are listed, by `keyward keys expiring`; alerts are planned"),
        &[
            "cli::usage::what_is_to_be_pruned_comes_with_the_command_that_works",
            "cli::keys::filters_leave_what_fits",
            "admin_api::many_keys::every_filter_pages_through_a_hundred_thousand_keys",
        ],
    ),
    promise(
        "P6",
        "shown once; never displayed again",
        Yes,
        &[
            "vendors::klipy",
            "law_secrets::nothing_that_is_written_anywhere_holds_a_piece_of_a_token",
        ],
    ),
    promise(
        "P7",
        "`X-Klipy-Api-Key: klipy_api_<id>` or `Authorization: Bearer klipy_api_<id>`; the prefix is `klipy_api_`, with no environment in it",
        Yes,
        &["vendors::klipy"],
    ),
    promise(
        "P8",
        "one key per integration; auditing and rotating are per key",
        Yes,
        &[
            "vendors::klipy",
            "admin_api::audit_filters::every_filter_and_page_size_tells_the_same_story",
            "admin_api::rotation::both_tokens_stand_for_the_one_key_while_it_is_rotated",
        ],
    ),
    promise(
        "P9",
        "revoking works immediately; requests in flight that use the key get 401; nothing re-activates it",
        InPart(
            "a request is judged when its verdict is asked for; to cut off long streams that were let in before is planned",
        ),
        &[
            "vendors::klipy",
            "law_revoked::no_check_that_starts_after_the_reply_passes",
            "law_revoked::what_was_revoked_before_a_crash_stays_revoked_after_it",
            "law_revoked_many::nothing_that_is_asked_after_the_reply_passes",
            "admin_api::update_keys::a_revoked_key_stays_as_it_was_when_it_ended",
        ],
    ),
    promise(
        "C1",
        "administrators only; descriptive name, optional description",
        Yes,
        &[
            "vendors::cluedin",
            "admin_rights::each_caller_may_what_the_table_says_and_nothing_else",
        ],
    ),
    promise(
        "C2",
        "scope or permissions, least privilege (read-only or full write)",
        Yes,
        &["vendors::cluedin"],
    ),
    promise(
        "C3",
        "optional expiry; without one, valid until revoked",
        Yes,
        &["vendors::cluedin"],
    ),
    promise(
        "C4",
        "shown at creation only",
        Yes,
        &[
            "vendors::cluedin",
            "law_secrets::nothing_that_is_written_anywhere_holds_a_piece_of_a_token",
        ],
    ),
    promise(
        "C5",
        "a list of all active tokens; revoke or delete from it, immediately",
        Yes,
        &[
            "vendors::cluedin",
            "admin_api::paging::paging_meets_each_key_once_while_others_come_and_go",
            "admin_api::deletion::a_key_is_deleted_once_its_retention_is_over_and_stays_gone",
        ],
    ),
    promise(
        "C6",
        "usage for audits: last-used time, created by",
        Yes,
        &[
            "vendors::cluedin",
            "usage::counts::each_check_of_one_two_or_sixty_four_gateways_is_counted_once",
            "usage::kept::a_stop_keeps_all_that_was_counted",
            "cli::usage::a_key_shows_its_use_and_how_to_narrow_it",
        ],
    ),
    promise(
        "C7",
        "rotate regularly; revoke what is no longer needed",
        Yes,
        &[
            "vendors::cluedin",
            "admin_api::rotation::a_key_is_due_by_the_period_of_its_workspace_and_is_found_by_that",
            "usage::lists::a_key_is_unused_since_its_last_use_or_since_it_was_made",
            "cli::usage::what_is_to_be_pruned_comes_with_the_command_that_works",
        ],
    ),
    promise(
        "G1",
        "name, permissions, optional expiry; full key shown once",
        Yes,
        &["vendors::kling"],
    ),
    promise(
        "G2",
        "`read:customers`, `read:campaigns`, `read:flows`, `read:analytics`, `write:customers`, `write:campaigns`, `write:flows`, `write:forms`, and `*`",
        Yes,
        &["vendors::kling"],
    ),
    promise(
        "G3",
        "two key types: `klg_live_` reaches production, `klg_test_` the sandbox and never real data",
        Yes,
        &[
            "vendors::kling",
            "check_api::the_environment_is_the_default_the_asked_or_any",
        ],
    ),
    promise(
        "G4",
        "rotation: a new key with the same permissions, both work while applications move, then the old one ends; every 90 days",
        Yes,
        &[
            "admin_api::rotation::both_tokens_stand_for_the_one_key_while_it_is_rotated",
            "admin_api::rotation::the_old_token_ends_when_it_was_said_to",
            "admin_api::rotation::a_key_is_due_by_the_period_of_its_workspace_and_is_found_by_that",
            "law_rotated::each_token_of_a_rotated_key_works_exactly_as_long_as_it_should",
        ],
    ),
    promise(
        "G5",
        "the list shows creation date, last-used time, a permission summary",
        Yes,
        &[
            "vendors::kling",
            "usage::lists::a_key_is_unused_since_its_last_use_or_since_it_was_made",
            "cli::usage::a_key_shows_its_use_and_how_to_narrow_it",
        ],
    ),
    promise(
        "G6",
        "name, description and permissions can be edited; the key cannot be seen again",
        Yes,
        &[
            "vendors::kling",
            "admin_api::update_keys::each_field_is_changed_alone_and_stays_so",
            "law_narrowed::nothing_passes_after_the_reply_that_took_its_scope",
        ],
    ),
    promise(
        "G7",
        "revoking disables at once; every request with it fails; it cannot be undone",
        Yes,
        &[
            "vendors::kling",
            "law_revoked::no_check_that_starts_after_the_reply_passes",
            "law_revoked::what_was_revoked_before_a_crash_stays_revoked_after_it",
            "admin_api::update_keys::a_revoked_key_stays_as_it_was_when_it_ended",
        ],
    ),
    promise(
        "G8",
        "limits by kind of endpoint: read 1,000/minute, write 100/minute, bulk 10/minute; beyond, 429",
        Yes,
        &[
            "vendors::kling",
            "limits_exact::of_many_checks_at_once_exactly_as_many_pass_as_the_limit_says",
            "domain::window::tests::in_no_window_passes_more_and_none_is_refused_for_long",
        ],
    ),
    promise(
        "G9",
        "401 invalid key, 403 insufficient permissions, 429 rate limited, 500 server error are told apart",
        Yes,
        &[
            "vendors::kling",
            "check_api::each_denial_tells_what_is_documented_and_no_more",
            "law_undecided::a_deadline_that_has_passed_is_an_error_and_no_denial",
        ],
    ),
    promise(
        "G10",
        "key usage is in audit logs; alerts on unusual activity; failed attempts are monitored",
        InPart(
            "what admins do, and what they are refused, is in the audit log; how often each key was used and denied, and why, is counted; alerts are not built yet",
        ),
        &[
            "usage::counts::every_verdict_on_a_key_counts_for_it_and_no_other_does",
            "admin_api::audit::each_change_leaves_exactly_one_event",
            "admin_denials::each_kind_of_refusal_is_in_its_log_and_in_the_servers_once",
        ],
    ),
    promise(
        "G11",
        "webhooks carry an HMAC-SHA256 signature `sha256=<hex>` under a secret that is not an API key",
        Later,
        &[],
    ),
    promise(
        "E1",
        "a key belongs to a user, and may do what that user may do in the selected workspace",
        Yes,
        &[
            "vendors::erathos",
            "principals::a_check_is_judged_by_the_key_within_the_membership",
            "principals::where_a_personal_key_passes",
            "law_principal::no_key_of_a_disabled_principal_passes_however_many_it_has",
        ],
    ),
    promise(
        "E2",
        "displayed at creation only; expiry date can be set",
        Yes,
        &[
            "vendors::erathos",
            "law_secrets::nothing_that_is_written_anywhere_holds_a_piece_of_a_token",
        ],
    ),
    promise(
        "E3",
        "`Authorization: Api-Key <API_KEY>`",
        Yes,
        &["vendors::erathos"],
    ),
];
