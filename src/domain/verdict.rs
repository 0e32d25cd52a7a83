//! The verdict: who may, and if not, why not.
//!
//! [`judge`] is the only place that decides whether a key may do what is asked.
//! What is allowed has yet to spend: that is the last of the grounds, and
//! decided in the step that spends, by `meter`. The rest of keyward finds out
//! what it needs to know and carries the answer.

use super::clock::Timestamp;
use super::granted::Granted;
use super::limit::LimitSet;
use super::source::PackedRanges;

/// The environment to ask for when any will do.
pub const ANY_ENVIRONMENT: &str = "*";

/// The most scope requirements of one check. Those behind are never met: no
/// route has so many, and it bounds what a check can cost.
pub const MAX_REQUIREMENTS: usize = 100;

/// What a gateway asks. `R` walks over the scope requirements, without
/// holding a copy of them.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a, R> {
    /// The workspace that the request is for; none: the key's own. A personal
    /// key has none.
    pub workspace: Option<&'a str>,
    /// The environment that the request is for; none: the workspace's
    /// default; [`ANY_ENVIRONMENT`]: any.
    pub environment: Option<&'a str>,
    /// Scope requirements, all of which must hold.
    pub required_scopes: R,
    /// The address that the request came from, as the gateway has it.
    pub source_address: Option<&'a str>,
}

/// What the presented credential turned out to be.
#[derive(Clone, Copy, Debug)]
pub enum Presented<'k> {
    /// There was none.
    Nothing,
    /// The header is not one credential.
    Malformed,
    /// No key answers to it.
    Unknown,
    /// The token of this key.
    Key(Standing<'k>),
}

/// Tells a workspace from all others for as long as the process runs, in less
/// room than its id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct WorkspaceNumber(pub u64);

/// Tells a principal from all others for as long as the process runs, in less
/// room than its id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct PrincipalNumber(pub u64);

/// The limits of a principal, of which all its keys spend together in each
/// workspace.
#[derive(Clone, Copy, Debug)]
pub struct SharedLimits<'k> {
    /// Whose they are.
    pub of: PrincipalNumber,
    /// The limits.
    pub limits: &'k LimitSet,
}

/// All that the verdict looks at in a key, its principal and the workspace.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'k> {
    /// Whether the key is good in all workspaces of its principal.
    pub personal: bool,
    /// The workspace that the key is bound to; of a personal key, the one that
    /// was asked for, and empty without.
    pub workspace: &'k str,
    /// Whether the principal is a member there. Nobody is where there is no
    /// such workspace.
    pub member: bool,
    /// Whether the principal is switched off.
    pub principal_disabled: bool,
    /// Whether that workspace is switched off.
    pub workspace_disabled: bool,
    /// The environment that is meant there by default; empty: there are none.
    pub default_environment: &'k str,
    /// The environment of the key; empty: none. One that a personal key does not
    /// name is the default of the workspace.
    pub environment: &'k str,
    /// Whether the key was revoked.
    pub revoked: bool,
    /// When the key stops working.
    pub expire_time: Option<Timestamp>,
    /// Whether the key is switched off.
    pub disabled: bool,
    /// What the key may do there.
    pub scopes: Granted<'k>,
    /// How much checks of the key may spend. Looked at where it is spent, once
    /// all else is well.
    pub limits: &'k LimitSet,
    /// The limits that the keys of the principal share, unless they have one of
    /// the same name themselves; none: there are none.
    pub shared_limits: Option<SharedLimits<'k>>,
    /// The limits of the workspace's keys for which neither says anything of
    /// the same name.
    pub default_limits: &'k LimitSet,
    /// The number of that workspace.
    pub workspace_number: WorkspaceNumber,
    /// Where requests with the key may come from.
    pub sources: PackedRanges<'k>,
}

/// The answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It may.
    Allowed,
    /// It may not, and this is the first ground.
    Denied(DenialReason),
}

/// The grounds for denial, in the order in which they are looked for: those up
/// to [`DenialReason::InsufficientScope`] by [`judge`], then those to spend.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DenialReason {
    /// There was no credential.
    Missing,
    /// The header is not one credential in one of the documented forms.
    Malformed,
    /// No such key, for all that the asker may know.
    Unknown,
    /// The key is personal, and the check selects no workspace.
    WorkspaceRequired,
    /// The key was revoked.
    Revoked,
    /// The key's expiry has passed.
    Expired,
    /// The key, its principal or its workspace is switched off, or the principal
    /// is no member there any more.
    Disabled,
    /// The key is of another environment.
    Environment,
    /// The key is confined to addresses, and this is none of them.
    SourceAddress,
    /// The key lacks a required scope.
    InsufficientScope,
    /// The check names a limit that is defined nowhere.
    UnknownLimit,
    /// A limit is used up.
    RateLimited,
    /// The key has not enough credits left.
    CreditsExhausted,
}

impl DenialReason {
    /// All of them, in order.
    pub const ALL: [Self; 13] = [
        Self::Missing,
        Self::Malformed,
        Self::Unknown,
        Self::WorkspaceRequired,
        Self::Revoked,
        Self::Expired,
        Self::Disabled,
        Self::Environment,
        Self::SourceAddress,
        Self::InsufficientScope,
        Self::UnknownLimit,
        Self::RateLimited,
        Self::CreditsExhausted,
    ];

    /// The reason's name on the wire and in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "MISSING",
            Self::Malformed => "MALFORMED",
            Self::Unknown => "UNKNOWN",
            Self::WorkspaceRequired => "WORKSPACE_REQUIRED",
            Self::Revoked => "REVOKED",
            Self::Expired => "EXPIRED",
            Self::Disabled => "DISABLED",
            Self::Environment => "ENVIRONMENT",
            Self::SourceAddress => "SOURCE_ADDRESS",
            Self::InsufficientScope => "INSUFFICIENT_SCOPE",
            Self::UnknownLimit => "UNKNOWN_LIMIT",
            Self::RateLimited => "RATE_LIMITED",
            Self::CreditsExhausted => "CREDITS_EXHAUSTED",
        }
    }

    /// The HTTP status to answer the end client with: 401 where another
    /// credential is called for, 403 where this one is good but may not, 429
    /// where it may not now.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Missing | Self::Malformed | Self::Unknown | Self::Revoked | Self::Expired => 401,
            Self::WorkspaceRequired
            | Self::Disabled
            | Self::Environment
            | Self::SourceAddress
            | Self::InsufficientScope
            | Self::UnknownLimit => 403,
            Self::RateLimited | Self::CreditsExhausted => 429,
        }
    }

    /// Whether the gateway may learn which key it was. Never before the key is
    /// known to be of the workspace that asks.
    #[must_use]
    pub const fn tells_identity(self) -> bool {
        match self {
            Self::Missing | Self::Malformed | Self::Unknown => false,
            Self::WorkspaceRequired
            | Self::Revoked
            | Self::Expired
            | Self::Disabled
            | Self::Environment
            | Self::SourceAddress
            | Self::InsufficientScope
            | Self::UnknownLimit
            | Self::RateLimited
            | Self::CreditsExhausted => true,
        }
    }
}

/// Judges what was presented against what was asked, at `now`.
///
/// The order is part of the contract: what proves less about the caller comes
/// first, and nothing about a key is told before its workspace is known to be
/// the one that asks.
pub fn judge<'a, R>(presented: &Presented<'_>, ask: &Ask<'a, R>, now: Timestamp) -> Verdict
where
    R: Iterator<Item = &'a str> + Clone,
{
    let key = match presented {
        Presented::Nothing => return Verdict::Denied(DenialReason::Missing),
        Presented::Malformed => return Verdict::Denied(DenialReason::Malformed),
        Presented::Unknown => return Verdict::Denied(DenialReason::Unknown),
        Presented::Key(standing) => standing,
    };
    let grounds = [
        (DenialReason::Unknown, is_unknown(key, ask.workspace)),
        (
            DenialReason::WorkspaceRequired,
            key.personal && ask.workspace.is_none(),
        ),
        (DenialReason::Revoked, key.revoked),
        // The moment of expiry is the first at which the key is dead.
        (
            DenialReason::Expired,
            key.expire_time.is_some_and(|expiry| expiry <= now),
        ),
        (
            DenialReason::Disabled,
            key.disabled || key.principal_disabled || key.workspace_disabled || !key.member,
        ),
        (
            DenialReason::Environment,
            !is_of_environment(key, ask.environment),
        ),
    ];
    if let Some((reason, _)) = grounds.into_iter().find(|(_, holds)| *holds) {
        return Verdict::Denied(reason);
    }
    if !key.sources.admit(ask.source_address) {
        return Verdict::Denied(DenialReason::SourceAddress);
    }
    // Last, as it is the only one that every key pays more than a comparison for.
    if unmet(&key.scopes, ask.required_scopes.clone())
        .next()
        .is_none()
    {
        Verdict::Allowed
    } else {
        Verdict::Denied(DenialReason::InsufficientScope)
    }
}

/// Those of `required` that `granted` does not meet. What is behind the
/// [`MAX_REQUIREMENTS`]th is never met.
pub fn unmet<'a>(
    granted: &Granted<'_>,
    required: impl Iterator<Item = &'a str>,
) -> impl Iterator<Item = &'a str> {
    required
        .enumerate()
        .filter(|(place, requirement)| *place >= MAX_REQUIREMENTS || !granted.meets(requirement))
        .map(|(_, requirement)| requirement)
}

/// A key of another workspace does not exist in this one, and neither does a
/// personal one whose principal is no member here.
fn is_unknown(key: &Standing<'_>, asked: Option<&str>) -> bool {
    if key.personal {
        asked.is_some() && !key.member
    } else {
        asked.is_some_and(|workspace| workspace != key.workspace)
    }
}

fn is_of_environment(key: &Standing<'_>, asked: Option<&str>) -> bool {
    match asked {
        Some(ANY_ENVIRONMENT) => true,
        Some(environment) => environment == key.environment,
        // So that a test key does not pass where nobody thought of it.
        None => key.default_environment == key.environment,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::domain::scope::{Scope, ScopeSet};
    use crate::domain::source::{SourceRange, SourceRanges};

    const NOW: Timestamp = Timestamp::from_micros(1_000);

    static NO_LIMITS: LazyLock<LimitSet> = LazyLock::new(LimitSet::default);

    /// The grounds that are decided on here.
    fn judged() -> impl Iterator<Item = DenialReason> {
        let all = DenialReason::ALL.into_iter();
        all.filter(|reason| *reason <= DenialReason::InsufficientScope)
    }

    fn scopes(texts: &[&str]) -> ScopeSet {
        ScopeSet::new(texts.iter().map(|&text| Scope::try_from(text).unwrap()))
    }

    fn leaked(scopes: ScopeSet) -> Granted<'static> {
        Granted::all(Box::leak(Box::new(scopes)))
    }

    fn confined_to(texts: &[&str]) -> PackedRanges<'static> {
        let ranges = texts
            .iter()
            .map(|&text| SourceRange::try_from(text).unwrap());
        PackedRanges::new(SourceRanges::new(ranges).pack().leak())
    }

    /// One key for each set of defects, so that any two can be had together.
    struct Case {
        presented: Option<DenialReason>,
        standing: Standing<'static>,
        workspace: Option<&'static str>,
        environment: Option<&'static str>,
        required: &'static [&'static str],
        source_address: Option<&'static str>,
    }

    impl Case {
        fn sound() -> Self {
            let standing = Standing {
                personal: false,
                workspace: "kling",
                member: true,
                principal_disabled: false,
                workspace_disabled: false,
                default_environment: "live",
                environment: "live",
                revoked: false,
                expire_time: None,
                disabled: false,
                scopes: leaked(scopes(&["read:customers"])),
                limits: &NO_LIMITS,
                shared_limits: None,
                default_limits: &NO_LIMITS,
                workspace_number: WorkspaceNumber(0),
                sources: confined_to(&["10.0.0.0/8"]),
            };
            Self {
                presented: None,
                standing,
                workspace: None,
                environment: None,
                required: &["read:customers"],
                source_address: Some("10.1.2.3"),
            }
        }

        fn spoil(mut self, reason: DenialReason) -> Self {
            match reason {
                DenialReason::Missing | DenialReason::Malformed => {
                    self.presented = self.presented.or(Some(reason));
                }
                DenialReason::Unknown => self.workspace = Some("klipy"),
                DenialReason::WorkspaceRequired => {
                    self.standing.personal = true;
                    self.standing.workspace = "";
                    self.standing.member = false;
                }
                DenialReason::Revoked => self.standing.revoked = true,
                DenialReason::Expired => self.standing.expire_time = Some(NOW),
                DenialReason::Disabled => self.standing.disabled = true,
                DenialReason::Environment => self.environment = Some("test"),
                DenialReason::SourceAddress => self.source_address = Some("11.1.2.3"),
                DenialReason::InsufficientScope => {
                    self.required = &["read:customers", "write:customers"]
                }
                DenialReason::UnknownLimit
                | DenialReason::RateLimited
                | DenialReason::CreditsExhausted => {
                    panic!("decided where it is spent")
                }
            }
            self
        }

        fn verdict(&self) -> Verdict {
            let presented = match self.presented {
                Some(DenialReason::Missing) => Presented::Nothing,
                Some(DenialReason::Malformed) => Presented::Malformed,
                Some(_) => Presented::Unknown,
                None => Presented::Key(self.standing),
            };
            let ask = Ask {
                workspace: self.workspace,
                environment: self.environment,
                required_scopes: self.required.iter().copied(),
                source_address: self.source_address,
            };
            judge(&presented, &ask, NOW)
        }
    }

    #[test]
    fn a_sound_key_is_allowed() {
        assert_eq!(Case::sound().verdict(), Verdict::Allowed);
    }

    #[test]
    fn each_ground_denies_by_itself() {
        for reason in judged() {
            assert_eq!(
                Case::sound().spoil(reason).verdict(),
                Verdict::Denied(reason)
            );
        }
    }

    #[test]
    fn of_any_two_grounds_the_earlier_is_told() {
        for (position, earlier) in judged().enumerate() {
            for later in judged().skip(position + 1) {
                let case = Case::sound().spoil(earlier).spoil(later);
                assert_eq!(
                    case.verdict(),
                    Verdict::Denied(earlier),
                    "{earlier:?} before {later:?}"
                );
            }
        }
    }

    #[test]
    fn a_token_that_no_key_answers_to_is_unknown() {
        let case = Case {
            presented: Some(DenialReason::Unknown),
            ..Case::sound()
        };
        assert_eq!(case.verdict(), Verdict::Denied(DenialReason::Unknown));
    }

    #[test]
    fn a_disabled_workspace_stops_its_keys() {
        let mut case = Case::sound();
        case.standing.workspace_disabled = true;
        assert_eq!(case.verdict(), Verdict::Denied(DenialReason::Disabled));
    }

    #[test]
    fn a_principal_that_is_switched_off_or_no_member_stops_its_keys() {
        let disabled = Verdict::Denied(DenialReason::Disabled);
        let mut case = Case::sound();
        case.standing.principal_disabled = true;
        assert_eq!(case.verdict(), disabled);
        let mut case = Case::sound();
        case.standing.member = false;
        assert_eq!(case.verdict(), disabled);
        // Nothing is told of it to another workspace.
        case.workspace = Some("klipy");
        assert_eq!(case.verdict(), Verdict::Denied(DenialReason::Unknown));
    }

    #[test]
    fn a_personal_key_is_judged_where_it_is_asked_for() {
        let verdict = |asked: Option<&'static str>, member| {
            let mut case = Case::sound();
            case.standing.personal = true;
            case.standing.workspace = asked.unwrap_or_default();
            case.standing.member = member;
            case.workspace = asked;
            // What comes later in the order is not looked at.
            case.standing.revoked = !member;
            case.verdict()
        };
        let denied = Verdict::Denied;
        assert_eq!(verdict(Some("kling"), true), Verdict::Allowed);
        assert_eq!(verdict(Some("klipy"), true), Verdict::Allowed);
        assert_eq!(verdict(Some("kling"), false), denied(DenialReason::Unknown));
        let required = denied(DenialReason::WorkspaceRequired);
        assert_eq!(verdict(None, false), required);
    }

    #[test]
    fn a_ceiling_narrows_what_a_key_may() {
        let mut case = Case::sound();
        let own = Box::leak(Box::new(scopes(&["*"])));
        let ceiling = Box::leak(Box::new(scopes(&["read:customers"])));
        case.standing.scopes = Granted::within(own, Some(ceiling));
        assert_eq!(case.verdict(), Verdict::Allowed);
        case.required = &["write:customers"];
        let insufficient = Verdict::Denied(DenialReason::InsufficientScope);
        assert_eq!(case.verdict(), insufficient);
    }

    #[test]
    fn a_key_is_dead_from_the_moment_of_its_expiry() {
        let at = |micros| {
            let mut case = Case::sound();
            case.standing.expire_time = Some(Timestamp::from_micros(micros));
            case.verdict()
        };
        assert_eq!(at(999), Verdict::Denied(DenialReason::Expired));
        assert_eq!(at(1_000), Verdict::Denied(DenialReason::Expired));
        assert_eq!(at(1_001), Verdict::Allowed);
    }

    #[test]
    fn environments() {
        let verdict = |of_key, default, asked| {
            let mut case = Case {
                environment: asked,
                ..Case::sound()
            };
            case.standing.environment = of_key;
            case.standing.default_environment = default;
            case.verdict() == Verdict::Allowed
        };
        // key's, workspace's default, asked for, whether it passes
        let table = [
            ("live", "live", None, true),
            ("test", "live", None, false),
            ("test", "live", Some("test"), true),
            ("live", "live", Some("test"), false),
            ("test", "live", Some("*"), true),
            ("test", "live", Some("tes"), false),
            ("test", "live", Some("TEST"), false),
            ("", "", None, true),
            ("", "", Some("*"), true),
            ("", "", Some("live"), false),
        ];
        for (of_key, default, asked, passes) in table {
            assert_eq!(
                verdict(of_key, default, asked),
                passes,
                "{of_key} {default} {asked:?}"
            );
        }
    }

    #[test]
    fn a_confined_key_passes_from_its_addresses_alone() {
        for (to, asked, passes) in [
            (&["10.0.0.0/8"][..], Some("10.9.9.9"), true),
            (&["10.0.0.0/8"], Some("192.0.2.1"), false),
            (&["10.0.0.0/8"], Some("who knows"), false),
            (&["10.0.0.0/8"], None, false),
            (&["0.0.0.0/0", "::/0"], None, false),
            (&[], None, true),
            (&[], Some("192.0.2.1"), true),
            (&[], Some("who knows"), true),
        ] {
            let mut case = Case {
                source_address: asked,
                ..Case::sound()
            };
            case.standing.sources = confined_to(to);
            assert_eq!(
                case.verdict() == Verdict::Allowed,
                passes,
                "{to:?} {asked:?}"
            );
        }
    }

    #[test]
    fn the_asking_workspace_must_be_the_key_s_to_the_letter() {
        for (asked, passes) in [
            (None, true),
            (Some("kling"), true),
            (Some("Kling"), false),
            (Some(""), false),
        ] {
            let case = Case {
                workspace: asked,
                ..Case::sound()
            };
            assert_eq!(case.verdict() == Verdict::Allowed, passes, "{asked:?}");
        }
    }

    #[test]
    fn requirements_behind_the_hundredth_are_never_met() {
        assert_eq!(MAX_REQUIREMENTS, 100);
        let all = scopes(&["*"]);
        let verdict = |number: usize| {
            let mut case = Case::sound();
            case.standing.scopes = leaked(all.clone());
            case.required = vec!["a:b"; number].leak();
            case.verdict()
        };
        assert_eq!(verdict(100), Verdict::Allowed);
        let insufficient = Verdict::Denied(DenialReason::InsufficientScope);
        assert_eq!(verdict(101), insufficient);
        assert_eq!(verdict(100_000), insufficient);
        let all = Granted::all(&all);
        assert!(unmet(&all, ["a", "A", "b"].into_iter()).eq(["A"]));
        assert_eq!(unmet(&all, ["a"; 103].into_iter()).count(), 3);
    }

    #[test]
    fn only_a_key_of_the_asking_workspace_is_told_of() {
        for reason in DenialReason::ALL {
            assert_eq!(
                reason.tells_identity(),
                reason > DenialReason::Unknown,
                "{reason:?}"
            );
        }
    }
}
