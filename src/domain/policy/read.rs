//! Reads a policy from pairs of names and values, and tells the operator all
//! that is wrong with them.

use thiserror::Error;

use crate::domain::id::WorkspaceId;
use crate::domain::limit::{LimitName, MAX_LIMITS};
use crate::domain::scope::{MAX_REQUIREMENT_LEN, Scope};
use crate::domain::target::host_template::HostTemplate;
use crate::domain::target::path_template::PathTemplate;
use crate::domain::text::shown;
use crate::domain::token::EnvironmentName;
use crate::domain::verdict::{ANY_ENVIRONMENT, MAX_REQUIREMENTS};
use crate::domain::violation::{MAX_TOLD, Violations};

use super::header_name::header_name;
use super::{Policy, WorkspaceChoice};

/// Puts a value into the policy, or says what is wrong with it.
type Take = fn(&mut Policy, &str) -> Result<(), String>;

/// All names that a policy is written with, and what becomes of their values.
const FIELDS: [(&str, Take); 10] = [
    ("required_scopes", |policy, value| {
        requirements(value).map(|read| policy.required_scopes = read)
    }),
    ("limits", |policy, value| {
        limits(value).map(|read| policy.limits = read)
    }),
    ("cost", |policy, value| {
        cost(value).map(|read| policy.cost = Some(read))
    }),
    ("environment", |policy, value| {
        environment(value).map(|read| policy.environment = Some(read))
    }),
    ("workspace", |policy, value| {
        fixed(value).map(|read| policy.workspace = Some(read))
    }),
    ("workspace_header", |policy, value| {
        header(value).map(|read| policy.workspace = Some(WorkspaceChoice::Header(read)))
    }),
    ("workspace_host", |policy, value| {
        workspace_host(value).map(|read| policy.workspace = Some(read))
    }),
    ("workspace_path", |policy, value| {
        workspace_path(value).map(|read| policy.workspace = Some(read))
    }),
    ("credential_headers", |policy, value| {
        headers(value).map(|read| policy.credential_headers = Some(read))
    }),
    ("preflights", |policy, value| {
        preflights(value).map(|()| policy.preflights_public = true)
    }),
];

/// What is said of a value that has nothing in it.
const EMPTY: &str = "is empty: give it a value, or leave it out";

/// The most headers that may hold the credential.
const MAX_CREDENTIAL_HEADERS: usize = 8;

/// How much of an unknown name is compared with ours, in characters.
const MAX_COMPARED: usize = 64;

/// How alike two names have to be for one to be taken for the other, of 1.
const ALIKE: f64 = 0.8;

/// Pairs that are no policy: all that is wrong with them. No token is in it, also
/// where one was written by mistake.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{0}")]
pub struct PolicyError(Violations);

impl PolicyError {
    /// What is wrong, each with the name of the pair; that may be none of
    /// [`names`].
    #[must_use]
    pub const fn violations(&self) -> &Violations {
        &self.0
    }
}

pub(super) fn read<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Policy, PolicyError> {
    let mut reader = Reader::default();
    for (name, value) in pairs {
        reader.take(name, value);
        // Nobody reads more, and each costs a search for what may be meant.
        if reader.violations.iter().len() >= MAX_TOLD {
            break;
        }
    }
    if reader.violations.is_empty() {
        Ok(reader.policy)
    } else {
        Err(PolicyError(reader.violations))
    }
}

#[derive(Default)]
struct Reader {
    policy: Policy,
    seen: Vec<&'static str>,
    violations: Violations,
}

impl Reader {
    fn take(&mut self, name: &str, value: &str) {
        let Some((name, take)) = FIELDS.into_iter().find(|(known, _)| *known == name) else {
            self.violations.add(shown(name), unknown(name));
            return;
        };
        if self.seen.contains(&name) {
            self.violations
                .add(name, "is given twice: leave one of them out");
            return;
        }
        if let Some(other) = self.other_choice(name) {
            let fault = format!("selects the workspace, as {other} does: leave one of the two out");
            self.violations.add(name, fault);
        }
        self.seen.push(name);
        let value = value.trim_ascii();
        let taken = if value.is_empty() {
            Err(EMPTY.to_owned())
        } else {
            take(&mut self.policy, value)
        };
        if let Err(fault) = taken {
            self.violations.add(name, fault);
        }
    }

    /// Another way to select the workspace that was given before `name`.
    fn other_choice(&self, name: &str) -> Option<&'static str> {
        let is_choice = |name: &str| name.starts_with("workspace");
        let mut seen = self.seen.iter().copied();
        seen.find(|seen| is_choice(seen) && is_choice(name))
    }
}

/// All names that a policy is written with.
pub fn names() -> impl Iterator<Item = &'static str> {
    FIELDS.into_iter().map(|(name, _)| name)
}

/// What to say of a name that is none of ours.
fn unknown(name: &str) -> String {
    // One that is longer is like none, and comparing takes as long as both are.
    let start: String = name.chars().take(MAX_COMPARED).collect();
    let spoken = start.replace('-', "_");
    let likeness = |known: &&str| {
        // As in `scopes`, which is less like `required_scopes` than one would think.
        let part = known.split('_').any(|word| word == spoken);
        strsim::jaro_winkler(&spoken, known).max(if part { ALIKE } else { 0.0 })
    };
    let nearest = names()
        .filter(|known| likeness(known) >= ALIKE)
        .max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    match nearest {
        Some(nearest) => format!("is unknown: did you mean {nearest}?"),
        None => format!(
            "is unknown; there are {}",
            names().collect::<Vec<_>>().join(", ")
        ),
    }
}

fn requirements(value: &str) -> Result<Vec<Box<str>>, String> {
    let mut requirements: Vec<Box<str>> = Vec::new();
    for text in value.split_ascii_whitespace() {
        if text.len() > MAX_REQUIREMENT_LEN {
            return Err(format!(
                "requires `{}`, of {} bytes; at most {MAX_REQUIREMENT_LEN} are allowed",
                shown(text),
                text.len()
            ));
        }
        for alternative in text.split('|') {
            if let Err(error) = Scope::try_from(alternative) {
                return Err(format!(
                    "requires `{}`, which can never be met: {error}",
                    shown(text)
                ));
            }
        }
        if !requirements.iter().any(|known| **known == *text) {
            requirements.push(text.into());
        }
        if requirements.len() > MAX_REQUIREMENTS {
            return Err(format!(
                "requires too many scopes; at most {MAX_REQUIREMENTS} are allowed"
            ));
        }
    }
    Ok(requirements)
}

fn limits(value: &str) -> Result<Vec<LimitName>, String> {
    let limits = listed(value, MAX_LIMITS, |text| {
        text.parse::<LimitName>()
            .map_err(|error| format!("names `{}`, and the name of a limit {error}", shown(text)))
    })?;
    if limits.len() > MAX_LIMITS {
        return Err(format!(
            "names too many limits; at most {MAX_LIMITS} are allowed"
        ));
    }
    Ok(limits)
}

fn cost(value: &str) -> Result<u32, String> {
    // Not `+5`, which Rust would read.
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let cost = value.parse().ok().filter(|_| digits);
    cost.ok_or_else(|| {
        format!(
            "is `{}`, and must be a whole number from 0 to {}",
            shown(value),
            u32::MAX
        )
    })
}

fn environment(value: &str) -> Result<Box<str>, String> {
    if value == ANY_ENVIRONMENT {
        return Ok(value.into());
    }
    match EnvironmentName::try_from(value) {
        Ok(name) => Ok(name.as_str().into()),
        Err(error) => Err(format!(
            "is `{}`, and {error}; `{ANY_ENVIRONMENT}` is any environment",
            shown(value)
        )),
    }
}

fn fixed(value: &str) -> Result<WorkspaceChoice, String> {
    match value.parse::<WorkspaceId>() {
        Ok(id) => Ok(WorkspaceChoice::Fixed(id.as_str().into())),
        Err(_) => Err(format!(
            "is `{}`, and must be 1 to 63 characters of a-z, 0-9, `_`, `.` and `-`, the first a \
             letter or digit",
            shown(value)
        )),
    }
}

fn workspace_host(value: &str) -> Result<WorkspaceChoice, String> {
    match HostTemplate::read(value).map_err(|error| error.to_string())? {
        template @ HostTemplate::Workspace(_) => Ok(WorkspaceChoice::Host(template)),
        HostTemplate::Exact(_) | HostTemplate::Below(_) => Err(format!(
            "is `{}`, which has no `{{workspace}}`: write as in `{{workspace}}.example.com`",
            shown(value)
        )),
    }
}

fn workspace_path(value: &str) -> Result<WorkspaceChoice, String> {
    let template = PathTemplate::read(value).map_err(|error| error.to_string())?;
    if template.has_workspace() {
        Ok(WorkspaceChoice::Path(template))
    } else {
        Err(format!(
            "is `{}`, which has no `{{workspace}}`: write as in `/w/{{workspace}}/**`",
            shown(value)
        ))
    }
}

fn preflights(value: &str) -> Result<(), String> {
    if value == "public" {
        return Ok(());
    }
    Err(format!(
        "is `{}`, and can only be `public`; without it, preflights need a credential",
        shown(value)
    ))
}

fn headers(value: &str) -> Result<Vec<Box<str>>, String> {
    let headers = listed(value, MAX_CREDENTIAL_HEADERS, header)?;
    if headers.len() > MAX_CREDENTIAL_HEADERS {
        return Err(format!(
            "names too many headers; at most {MAX_CREDENTIAL_HEADERS} are allowed"
        ));
    }
    Ok(headers)
}

fn header(text: &str) -> Result<Box<str>, String> {
    header_name(text).map_err(|error| format!("names `{}`, which {error}", shown(text)))
}

/// What is apart by commas or spaces, each once, in the order in which they came
/// first; of more than `most`, one more than that.
fn listed<T: PartialEq>(
    value: &str,
    most: usize,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let mut items = Vec::new();
    let texts = value
        .split([',', ' ', '\t'])
        .filter(|text| !text.is_empty());
    for text in texts {
        let item = read(text)?;
        if !items.contains(&item) {
            items.push(item);
        }
        if items.len() > most {
            break;
        }
    }
    if items.is_empty() {
        return Err(EMPTY.to_owned());
    }
    Ok(items)
}
