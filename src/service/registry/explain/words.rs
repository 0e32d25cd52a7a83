//! What is said of each step of a verdict: a sentence, and the facts in it.

use crate::domain::admin::ADMIN_TOKEN_PREFIX;
use crate::domain::credential::flaw::{flaw, scheme};
use crate::domain::credential::{self, CredentialError, Scratch};
use crate::domain::explanation::{CheckStep, Said, StepState};
use crate::domain::scope::ScopeSet;
use crate::domain::token::{self, Shape};
use crate::domain::verdict::{ANY_ENVIRONMENT, MAX_REQUIREMENTS, Standing};

use super::super::super::checker::Trial;
use super::super::KeyView;
use super::CheckQuestion;
use super::phrases::{echoed, limits, nearest, revocation, scopes_message, switches, until};

/// The most facts of one kind that are told: as many as a check has of what is
/// counted here, and no key has more.
pub(super) const MAX_TOLD: usize = MAX_REQUIREMENTS;

/// All that is known of a check that was tried out.
pub(super) struct Case<'a> {
    question: &'a CheckQuestion,
    view: Option<&'a KeyView>,
    trial: &'a Trial<'a>,
}

impl<'a> Case<'a> {
    pub(super) const fn new(
        question: &'a CheckQuestion,
        view: Option<&'a KeyView>,
        trial: &'a Trial<'a>,
    ) -> Self {
        Self {
            question,
            view,
            trial,
        }
    }

    /// Whether the token is formed like an admin key's.
    pub(super) fn is_of_admin(&self) -> bool {
        self.token(|token| token.starts_with(ADMIN_TOKEN_PREFIX.as_bytes()))
            .unwrap_or_default()
    }

    /// Whether there is a token, and it is not built like one of ours.
    pub(super) fn is_foreign(&self) -> bool {
        self.token(|token| token::shape(token) == Shape::Foreign)
            .unwrap_or_default()
    }

    /// What is said of a step that was reached.
    pub(super) fn say(&self, step: CheckStep, state: StepState, is_certain: bool) -> Said {
        let passed = state == StepState::Passed;
        if step == CheckStep::Credential {
            return self.credential();
        }
        if step == CheckStep::Token {
            return self.shape();
        }
        if step == CheckStep::Key && !passed {
            return self.no_key(is_certain);
        }
        // Behind these, there is a key.
        let (Some(view), Some((_, standing))) = (self.view, &self.trial.key) else {
            return Said::default();
        };
        match step {
            CheckStep::Credential | CheckStep::Token | CheckStep::Key => self.key(view),
            CheckStep::Workspace => self.workspace(view, standing, passed),
            CheckStep::Revocation => revocation(view.key.revocation.as_ref()),
            CheckStep::Expiry => self.expiry(view, passed),
            CheckStep::Switches => switches(view, standing, passed),
            CheckStep::Environment => self.environment(standing, passed),
            CheckStep::SourceAddress => self.source_address(view, passed),
            CheckStep::Scopes => self.scopes(view, standing),
            CheckStep::LimitNames => self.limit_names(passed),
            CheckStep::Limits => limits(self.trial.limits, self.question.cost),
            CheckStep::Credits => self.credits(passed),
        }
    }

    /// Hands the token to `read`, if there is one.
    fn token<T>(&self, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let mut scratch = Scratch::new();
        let header = self.question.credential.as_bytes();
        credential::parse(header, &mut scratch).ok().map(read)
    }

    fn credential(&self) -> Said {
        let header = self.question.credential.as_bytes();
        let length = header.len();
        if let Some(flaw) = flaw(header) {
            let (at, kind) = (flaw.position, flaw.kind);
            return Said::new(format!(
                "The header is not one credential: at byte {at}, {kind}."
            ))
            .with("flaw", kind.as_str())
            .with("position", at)
            .with("length", length);
        }
        let parsed = credential::parse(header, &mut Scratch::new()).map(drop);
        if parsed == Err(CredentialError::Missing) {
            return Said::new("There is no credential: the header is empty.")
                .with("length", length);
        }
        let said = match scheme(header) {
            "" => Said::new("The header is a bare token."),
            scheme => Said::new(format!(
                "The header is one credential of the scheme {scheme}."
            )),
        };
        said.with("scheme", scheme(header)).with("length", length)
    }

    fn shape(&self) -> Said {
        let shape = self.token(|token| (token::shape(token), token::hint_of(token)));
        match shape {
            Some((Shape::Native, hint)) => {
                let hint = hint.unwrap_or_default();
                Said::new(format!("It holds a token, {hint}, whose checksum is right."))
                    .with("shape", "NATIVE")
                    .with("hint", hint)
            }
            Some((Shape::BadChecksum, _)) => Said::new(
                "It holds a token whose checksum is wrong: it is mistyped or was changed on its way, and was never issued.",
            )
            .with("shape", "BAD_CHECKSUM"),
            Some((Shape::Foreign, _)) if self.view.is_some() => {
                Said::new("It holds a token of another product, which was imported.")
                    .with("shape", "FOREIGN")
            }
            Some((Shape::Foreign, _)) | None => Said::new(
                "What it holds has not the form of a token of keyward's, and is none that was imported, as far as may be told: it is cut short, or of another system.",
            )
            .with("shape", "FOREIGN"),
        }
    }

    fn no_key(&self, is_certain: bool) -> Said {
        Said::new(if self.is_of_admin() {
            "It has the form of an admin token, and those pass no check."
        } else if is_certain {
            "No key has this token: it was never issued here, its key was deleted, or two newer tokens have taken its place."
        } else {
            "No key that this admin key may see has this token: it is nobody's, or of a personal key or another workspace's, which is not told."
        })
    }

    fn key(&self, view: &KeyView) -> Said {
        let key = &view.key;
        let hint = self.token(token::hint_of).flatten().unwrap_or_default();
        let is_foreign = self.is_foreign();
        let is_newest = key
            .secrets
            .last()
            .is_some_and(|newest| match newest.imported {
                Some(_) => is_foreign,
                None => !is_foreign && hint.as_bytes().ends_with(&newest.tail),
            });
        let (token, what) = match (is_newest, &view.rotation) {
            (true, None) => ("CURRENT", "the token"),
            (true, Some(_)) => ("NEW", "the new token, while the old one works too,"),
            (false, Some(_)) => ("OLD", "the old token, which is being replaced,"),
            (false, None) => ("REPLACED", "a token, since replaced,"),
        };
        Said::new(format!("It is {what} of key {}.", key.id))
            .with("key_id", key.id)
            .with("name", &key.name)
            .with("principal", &key.principal)
            .with("token", token)
    }

    fn workspace(&self, view: &KeyView, standing: &Standing<'_>, passed: bool) -> Said {
        let asked = &*echoed(&self.question.workspace);
        let own = view.key.workspace().map(ToString::to_string);
        let principal = &view.key.principal;
        let message = match (&own, passed, asked) {
            (Some(own), true, "") => {
                format!("The key is of workspace {own}, and none was asked for.")
            }
            (Some(own), true, _) => format!("The key is of workspace {own}, as was asked for."),
            (Some(own), false, _) => {
                format!("The key is of workspace {own}, and {asked} was asked for.")
            }
            (None, true, _) => {
                format!(
                    "The key is personal, and its principal {principal} is a member of {asked}."
                )
            }
            (None, false, "") => {
                "The key is personal, and the check names no workspace to use it in.".to_owned()
            }
            (None, false, _) => {
                format!(
                    "The key is personal, and its principal {principal} is no member of {asked}."
                )
            }
        };
        Said::new(message)
            .with("workspace", own.unwrap_or_default())
            .with("asked", asked)
            .with("personal", standing.personal)
    }

    fn expiry(&self, view: &KeyView, passed: bool) -> Said {
        let now = self.trial.now;
        let of_key = view.key.expire_time;
        let of_token = self.trial.key.and_then(|(key, _)| key.expire_time());
        let replaced = of_token != of_key;
        let message = match (of_token, passed, replaced) {
            (None, _, _) => "The key never expires.".to_owned(),
            (Some(end), true, false) => {
                format!("The key expires at {end}, in {}.", until(now, end))
            }
            (Some(end), true, true) => {
                format!(
                    "This token, which was replaced, ends at {end}, in {}.",
                    until(now, end)
                )
            }
            (Some(end), false, false) => format!("The key expired at {end}."),
            (Some(end), false, true) if end.as_micros() == 0 => {
                "Another token has taken the place of this one.".to_owned()
            }
            (Some(end), false, true) => {
                format!("Another token has taken the place of this one, which ended at {end}.")
            }
        };
        let told = of_token.filter(|end| end.as_micros() > 0);
        Said::new(message)
            .with(
                "expire_time",
                told.map_or_else(String::new, |end| end.to_string()),
            )
            .with("replaced", replaced)
    }

    fn environment(&self, standing: &Standing<'_>, passed: bool) -> Said {
        let shown = |name: &str| match name {
            "" => "no environment".to_owned(),
            name => format!("the environment {name}"),
        };
        let own = standing.environment;
        let asked = &*echoed(&self.question.environment);
        let message = match (asked, passed) {
            (ANY_ENVIRONMENT, _) => format!("The key is of {}, and any will do.", shown(own)),
            ("", true) => format!("The key is of {}, the default.", shown(own)),
            (_, true) => format!("The key is of {}, as was asked for.", shown(own)),
            ("", false) => format!(
                "The key is of {}, and none was asked for, by which {}, the workspace's default, is meant.",
                shown(own),
                shown(standing.default_environment)
            ),
            (asked, false) => {
                format!("The key is of {}, and {asked} was asked for.", shown(own))
            }
        };
        Said::new(message)
            .with("environment", own)
            .with("asked", asked)
            .with("default", standing.default_environment)
    }

    fn source_address(&self, view: &KeyView, passed: bool) -> Said {
        let ranges = &view.key.source_addresses;
        let address = &*echoed(&self.question.source_address);
        let message = match (ranges.is_empty(), passed, address) {
            (true, _, _) => "The key may be used from anywhere.".to_owned(),
            (false, true, _) => format!("The key may be used from {address}: {ranges}."),
            (false, false, "") => {
                format!("The key may be used from {ranges} alone, and the check names no address.")
            }
            (false, false, _) => format!(
                "The key may be used from {ranges} alone, and the address of the check is none of them, or no address."
            ),
        };
        Said::new(message)
            .with("ranges", ranges)
            .with("asked", address)
    }

    fn scopes(&self, view: &KeyView, standing: &Standing<'_>) -> Said {
        let granted = standing.scopes.scopes();
        let required = &self.question.required_scopes;
        let (mut said, mut missing) = (Said::default(), Vec::new());
        for requirement in required.iter().take(MAX_TOLD) {
            let told = echoed(requirement);
            if standing.scopes.meets(requirement) {
                let by = granted
                    .iter()
                    .find(|scope| ScopeSet::new([(*scope).clone()]).meets(requirement));
                let by = by.map_or_else(String::new, |scope| format!(" by {scope}"));
                said = said.with("met", format!("{told}{by}"));
                continue;
            }
            said = said.with("missing", &told);
            if view.key.scopes.meets(requirement) {
                said = said.with("beyond_ceiling", &told);
            } else if let Some(nearest) = nearest(&view.key.scopes, requirement) {
                said = said.with("nearest", format!("{told} {nearest}"));
            }
            missing.push(told);
        }
        if required.len() > MAX_TOLD {
            said = said.with("too_many", required.len());
        }
        said.message = scopes_message(&said, &missing, required.len());
        said.with("granted", &*granted)
    }

    fn limit_names(&self, passed: bool) -> Said {
        let names = &self.question.limits;
        let named: Vec<_> = names.iter().map(|name| echoed(name)).collect();
        let named = named.join(" ");
        if passed {
            let said = Said::new(match names.len() {
                0 => "The check names no limits.",
                _ => "The limits that the check names are all defined.",
            });
            return said.with("named", named);
        }
        let message = "The check names a limit that is defined neither on the key nor on its principal nor in its workspace, or more than 8.";
        let standing = self.trial.key.map(|(_, standing)| standing);
        let defined = standing.map(|standing| {
            let shared = standing.shared_limits.map(|shared| shared.limits);
            let own = standing.limits.iter().chain(standing.default_limits.iter());
            let all = own.chain(shared.into_iter().flat_map(|limits| limits.iter()));
            let mut names: Vec<_> = all.map(|limit| limit.name.to_string()).collect();
            names.sort();
            names.dedup();
            names.join(" ")
        });
        Said::new(message)
            .with("named", named)
            .with("defined", defined.unwrap_or_default())
    }

    fn credits(&self, passed: bool) -> Said {
        let cost = self.question.cost;
        let Some(credits) = self.trial.credits else {
            return Said::new("The key needs no credits.");
        };
        let left = credits.balance;
        let more = credits
            .refill_time
            .map_or_else(String::new, |time| format!(" There are more at {time}."));
        let refill = credits.refill_time.map(|time| time.to_string());
        Said::new(match passed {
            true => format!("The key has {left} credits left, and the check costs {cost}."),
            false => format!("The key has {left} credits left, and the check costs {cost}.{more}"),
        })
        .with("balance", left)
        .with("cost", cost)
        .with("refill_time", refill.unwrap_or_default())
    }
}
