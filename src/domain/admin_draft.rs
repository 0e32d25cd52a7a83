//! What operators say of an admin key, to make it or to change it: checked as
//! a whole before anything is made of it.

use super::admin::{AdminKey, Reach, Role};
use super::clock::Timestamp;
use super::fields::{self, GRANTED};
use super::scope::ScopeSet;
use super::violation::Violations;

/// An admin key as its maker describes it; nothing in it is checked yet.
#[derive(Clone, Debug)]
pub struct AdminKeyDraft {
    /// The name for people.
    pub name: String,
    /// What it is to be allowed; none: it was not said.
    pub role: Option<Role>,
    /// Where it is to act.
    pub reach: Reach,
    /// The scopes that it is to hand out.
    pub grant_ceiling: Vec<String>,
    /// When it is to stop working.
    pub expire_time: Option<Timestamp>,
}

/// The parts of a draft that had to be read to be checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdminKeySpec {
    /// What it is to be allowed.
    pub role: Role,
    /// The scopes that it is to hand out.
    pub grant_ceiling: ScopeSet,
}

const NO_ROLE: &str = "is required: READER, ISSUER or OWNER";

impl AdminKeyDraft {
    /// Checks the draft.
    ///
    /// # Errors
    ///
    /// All fields that are not acceptable.
    pub fn check(&self, now: Timestamp) -> Result<AdminKeySpec, Violations> {
        let mut violations = Violations::default();
        let found = &mut violations;
        fields::check_name(found, "admin_key.name", &self.name);
        if self.role.is_none() {
            found.add("admin_key.role", NO_ROLE);
        }
        let field = "admin_key.grant_ceiling";
        let grant_ceiling = fields::read_scopes(found, field, &self.grant_ceiling, GRANTED);
        fields::check_expiry(found, "admin_key.expire_time", self.expire_time, now);
        // A missing role has left a violation, so nothing is lost here.
        match self.role {
            Some(role) if violations.is_empty() => Ok(AdminKeySpec {
                role,
                grant_ceiling,
            }),
            Some(_) | None => Err(violations),
        }
    }
}

/// What to change of an admin key; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct AdminKeyPatch {
    /// The name for people.
    pub name: Option<String>,
    /// What it may do, if that was said at all.
    pub role: Option<Option<Role>>,
    /// The scopes that it may hand out.
    pub grant_ceiling: Option<Vec<String>>,
    /// When it is to stop working, or that it is not to.
    pub expire_time: Option<Option<Timestamp>>,
}

impl AdminKeyPatch {
    /// The admin key as it is to be, and the names of the fields that differ.
    ///
    /// # Errors
    ///
    /// All fields that are not acceptable.
    pub fn apply(
        self,
        admin: &AdminKey,
        now: Timestamp,
    ) -> Result<(AdminKey, Vec<&'static str>), Violations> {
        let mut violations = Violations::default();
        let mut changed = admin.clone();
        if let Some(name) = self.name {
            fields::check_name(&mut violations, "admin_key.name", &name);
            changed.name = name;
        }
        match self.role {
            Some(Some(role)) => changed.role = role,
            Some(None) => violations.add("admin_key.role", NO_ROLE),
            None => {}
        }
        if let Some(texts) = self.grant_ceiling {
            let field = "admin_key.grant_ceiling";
            changed.grant_ceiling = fields::read_scopes(&mut violations, field, &texts, GRANTED);
        }
        if let Some(expiry) = self.expire_time {
            fields::check_expiry(&mut violations, "admin_key.expire_time", expiry, now);
            changed.expire_time = expiry;
        }
        violations.none()?;
        let fields = [
            ("name", changed.name != admin.name),
            ("role", changed.role != admin.role),
            (
                "grant_ceiling",
                changed.grant_ceiling != admin.grant_ceiling,
            ),
            ("expire_time", changed.expire_time != admin.expire_time),
        ];
        let differing = fields.into_iter().filter(|(_, differs)| *differs);
        let differing = differing.map(|(field, _)| field).collect();
        Ok((changed, differing))
    }
}
