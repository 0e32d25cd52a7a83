//! Principals, who act with keys, and their memberships: the most that each may
//! do in a workspace.

use super::clock::Timestamp;
use super::fields::{self, GRANTED, MAX_PRINCIPAL_LEN};
use super::id::WorkspaceId;
use super::limit::{LimitDraft, LimitSet, read_limits};
use super::scope::{Scope, ScopeSet};
use super::text::{plain_text, stored_text};
use super::violation::Violations;
use super::workspace::MAX_DISPLAY_NAME_LEN;

/// Whoever acts: a user or a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    /// The id, such as `user:ada`.
    pub id: String,
    /// The name for people.
    pub display_name: String,
    /// Who it is.
    pub description: String,
    /// Whether it is switched off, and every key of it with it.
    pub disabled: bool,
    /// How much its keys may spend together, in all workspaces.
    pub limits: LimitSet,
    /// When it was made.
    pub create_time: Timestamp,
    /// The id of the admin key that made it.
    pub created_by: String,
}

impl Principal {
    /// One of which nothing is known but its id, as the first key makes it.
    #[must_use]
    pub fn plain(id: &str, created_by: String, now: Timestamp) -> Self {
        Self {
            id: id.to_owned(),
            display_name: String::new(),
            description: String::new(),
            disabled: false,
            limits: LimitSet::default(),
            create_time: now,
            created_by,
        }
    }
}

/// Notes what is wrong with the id of a principal as it comes in.
pub(super) fn check_principal(violations: &mut Violations, field: &str, id: &str) {
    plain_text(violations, field, id, true, MAX_PRINCIPAL_LEN);
}

/// Whether `id` can be that of a principal. It can have the form of a token, of
/// which none is made any more.
#[must_use]
pub fn is_principal(id: &str) -> bool {
    let mut violations = Violations::default();
    stored_text(&mut violations, "principal", id, true, MAX_PRINCIPAL_LEN);
    violations.is_empty()
}

/// What a principal may do in a workspace: the most of it, whatever its keys
/// say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Membership {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The id of the principal.
    pub principal: String,
    /// What its keys may do there at most.
    pub scope_ceiling: ScopeSet,
    /// When it was made.
    pub create_time: Timestamp,
    /// The id of the admin key that made it.
    pub created_by: String,
    /// Its end, once it is removed. It can be set again.
    pub removal: Option<Removal>,
}

/// The end of a membership.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Removal {
    /// When.
    pub time: Timestamp,
    /// The id of the admin key that did it.
    pub by: String,
}

/// Notes which of `scopes`, as `field` names them, lie beyond the ceiling of their
/// principal.
pub fn check_ceiling(
    violations: &mut Violations,
    field: &str,
    scopes: &[String],
    ceiling: &ScopeSet,
) {
    for (position, text) in scopes.iter().enumerate() {
        // What is no scope was noted where it was read.
        let Ok(scope) = Scope::try_from(text.as_str()) else {
            continue;
        };
        if !ceiling.covers(&scope) {
            violations.add(
                format!("{field}[{position}]"),
                "is beyond the scope ceiling of the principal in this workspace: ask for less, or widen that by SetMembership",
            );
        }
    }
}

/// A principal as its creator describes it; nothing in it is checked yet.
#[derive(Clone, Debug, Default)]
pub struct PrincipalDraft {
    /// The id.
    pub id: String,
    /// The name for people. Optional.
    pub display_name: String,
    /// Who it is. Optional.
    pub description: String,
    /// How much its keys may spend together.
    pub limits: Vec<LimitDraft>,
}

impl PrincipalDraft {
    /// Checks the draft and makes a principal of it.
    ///
    /// # Errors
    ///
    /// All fields that are not acceptable.
    pub fn build(self, created_by: String, now: Timestamp) -> Result<Principal, Violations> {
        let mut violations = Violations::default();
        check_principal(&mut violations, "principal.id", &self.id);
        check_display_name(&mut violations, &self.display_name);
        fields::check_description(&mut violations, DESCRIPTION_FIELD, &self.description);
        let limits = read_limits(&mut violations, LIMITS_FIELD, &self.limits);
        violations.none()?;
        Ok(Principal {
            display_name: self.display_name,
            description: self.description,
            limits,
            ..Principal::plain(&self.id, created_by, now)
        })
    }
}

/// What to change of a principal; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct PrincipalPatch {
    /// The name for people.
    pub display_name: Option<String>,
    /// Who it is.
    pub description: Option<String>,
    /// How much its keys may spend together.
    pub limits: Option<Vec<LimitDraft>>,
}

impl PrincipalPatch {
    /// The principal as it is to be, and the names of the fields that differ.
    ///
    /// # Errors
    ///
    /// All fields that are not acceptable.
    pub fn apply(
        self,
        principal: &Principal,
    ) -> Result<(Principal, Vec<&'static str>), Violations> {
        let mut changed = principal.clone();
        // Only what is given is judged: what is there was, by the rules of its
        // time.
        let mut violations = Violations::default();
        if let Some(name) = self.display_name {
            check_display_name(&mut violations, &name);
            changed.display_name = name;
        }
        if let Some(text) = self.description {
            fields::check_description(&mut violations, DESCRIPTION_FIELD, &text);
            changed.description = text;
        }
        if let Some(drafts) = self.limits {
            changed.limits = read_limits(&mut violations, LIMITS_FIELD, &drafts);
        }
        violations.none()?;
        let fields = [
            (
                "display_name",
                changed.display_name != principal.display_name,
            ),
            ("description", changed.description != principal.description),
            ("limits", changed.limits != principal.limits),
        ];
        let differing = fields.into_iter().filter(|(_, differs)| *differs);
        let differing = differing.map(|(field, _)| field).collect();
        Ok((changed, differing))
    }
}

/// What the field of the limits is called in what is wrong with them.
const LIMITS_FIELD: &str = "principal.limits";

/// What the description is called there.
const DESCRIPTION_FIELD: &str = "principal.description";

fn check_display_name(violations: &mut Violations, name: &str) {
    let field = "principal.display_name";
    plain_text(violations, field, name, false, MAX_DISPLAY_NAME_LEN);
}

/// A membership as it is asked for; nothing in it is checked yet.
#[derive(Clone, Debug, Default)]
pub struct MembershipDraft {
    /// The id of the workspace.
    pub workspace: String,
    /// The id of the principal.
    pub principal: String,
    /// What its keys may do there at most.
    pub scope_ceiling: Vec<String>,
}

impl MembershipDraft {
    /// Checks the draft, and reads the ceiling.
    ///
    /// # Errors
    ///
    /// All fields that are not acceptable.
    pub fn check(&self) -> Result<ScopeSet, Violations> {
        let mut violations = Violations::default();
        check_principal(&mut violations, "membership.principal", &self.principal);
        let field = "membership.scope_ceiling";
        if self.scope_ceiling.is_empty() {
            violations.add(
                field,
                "is required: `*` is everything; to take all away, remove the membership",
            );
        }
        let ceiling = fields::read_scopes(&mut violations, field, &self.scope_ceiling, GRANTED);
        violations.none().map(|()| ceiling)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1);

    fn fields(result: Result<impl Sized, Violations>) -> Vec<String> {
        match result {
            Ok(_) => Vec::new(),
            Err(violations) => violations.iter().map(|v| v.field.clone()).collect(),
        }
    }

    #[test]
    fn what_a_principal_can_be_called() {
        for (id, good) in [
            ("user:ada", true),
            ("Ada Lovelace <ada@example.org>", true),
            ("ä/\u{1f511}", true),
            (&*"p".repeat(MAX_PRINCIPAL_LEN), true),
            (&*"p".repeat(MAX_PRINCIPAL_LEN + 1), false),
            ("", false),
            ("  ", false),
            ("a\0b", false),
            ("a\nb", false),
            ("a\u{85}b", false),
        ] {
            assert_eq!(is_principal(id), good, "{id:?}");
            let draft = PrincipalDraft {
                id: id.to_owned(),
                ..PrincipalDraft::default()
            };
            assert_eq!(draft.build(String::new(), NOW).is_ok(), good, "{id:?}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let draft = PrincipalDraft {
            id: "\n".to_owned(),
            display_name: "x".repeat(MAX_DISPLAY_NAME_LEN + 1),
            description: "x".repeat(fields::MAX_DESCRIPTION_LEN + 1),
            limits: vec![LimitDraft::default()],
        };
        assert_eq!(
            fields(draft.build(String::new(), NOW)),
            [
                "principal.id",
                "principal.id",
                "principal.display_name",
                "principal.description",
                "principal.limits[0].name",
                "principal.limits[0].count",
                "principal.limits[0].window",
            ]
        );
        let draft = MembershipDraft {
            scope_ceiling: vec!["a:b".to_owned(), "No".to_owned()],
            ..MembershipDraft::default()
        };
        assert_eq!(
            fields(draft.check()),
            ["membership.principal", "membership.scope_ceiling[1]"]
        );
        let none = MembershipDraft {
            principal: "p".to_owned(),
            ..MembershipDraft::default()
        };
        assert_eq!(fields(none.check()), ["membership.scope_ceiling"]);
    }

    #[test]
    fn a_change_tells_what_differs() {
        let before = Principal::plain("p", "adm".to_owned(), NOW);
        let patch = PrincipalPatch {
            display_name: Some(String::new()),
            description: Some("new".to_owned()),
            limits: Some(Vec::new()),
        };
        let (after, differing) = patch.apply(&before).unwrap();
        assert_eq!(differing, ["description"]);
        assert_eq!(after.description, "new");
        let limited = |drafts| PrincipalPatch {
            limits: Some(drafts),
            ..PrincipalPatch::default()
        };
        let read = LimitDraft {
            name: "read".to_owned(),
            count: 5,
            window: Duration::from_secs(60),
            always: true,
        };
        let (limited_now, differing) = limited(vec![read.clone()]).apply(&after).unwrap();
        assert_eq!(differing, ["limits"]);
        assert_eq!(limited_now.limits.to_string(), "read=5/1m,always");
        let (same, differing) = limited(vec![read.clone()]).apply(&limited_now).unwrap();
        assert_eq!((same, differing), (limited_now.clone(), Vec::new()));
        // What was stored before there was a rule against it is in nobody's way.
        let mut old = limited_now.clone();
        old.description = format!("was x_{}", "0".repeat(49));
        let named = |name: &str| PrincipalPatch {
            display_name: Some(name.to_owned()),
            ..PrincipalPatch::default()
        };
        let (renamed, differing) = named("Ada").apply(&old).unwrap();
        assert_eq!(
            (differing, renamed.description),
            (vec!["display_name"], old.description.clone())
        );
        assert_eq!(
            fields(named(&old.description).apply(&old)),
            ["principal.display_name"]
        );
        let nine = limited(vec![read; 9]).apply(&limited_now);
        assert_eq!(fields(nine), ["principal.limits"]);
    }

    #[test]
    fn scopes_beyond_the_ceiling_are_named_one_by_one() {
        let ceiling = ScopeSet::new([Scope::try_from("people:*").unwrap()]);
        let mut violations = Violations::default();
        let asked = ["people:read", "a:b", "No", "*"].map(str::to_owned);
        check_ceiling(&mut violations, "scopes", &asked, &ceiling);
        assert_eq!(fields(violations.none()), ["scopes[1]", "scopes[3]"]);
    }
}
