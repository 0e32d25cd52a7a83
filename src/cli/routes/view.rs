//! How a rule is shown.

use serde_json::{Map, Value, json};

use crate::domain::limit::LimitName;
use crate::domain::policy::{Policy, WorkspaceChoice};
use crate::domain::route::Route;

/// What a rule asks, in one line.
pub(super) fn asks(route: &Route) -> String {
    let mut parts: Vec<String> = Vec::new();
    if route.public {
        parts.push("nothing: public".to_owned());
    }
    parts.extend(
        policy_parts(&route.policy)
            .into_iter()
            .map(|(name, text)| format!("{name}={text}")),
    );
    if parts.is_empty() {
        parts.push("any key".to_owned());
    }
    parts.join("; ")
}

/// What a policy names, by the names in the file.
pub(super) fn policy_parts(policy: &Policy) -> Vec<(&'static str, String)> {
    let cost = policy.cost.map(|cost| cost.to_string());
    let workspace = policy.workspace.as_ref().map(workspace);
    let preflights = policy.preflights_public.then(|| "public".to_owned());
    let limits: Vec<_> = policy.limits.iter().map(LimitName::as_str).collect();
    let headers = policy.credential_headers.as_deref().unwrap_or_default();
    [
        ("required_scopes", Some(policy.required_scopes.join(" "))),
        ("limits", Some(limits.join(" "))),
        ("cost", cost),
        (
            "environment",
            policy.environment.as_deref().map(str::to_owned),
        ),
        workspace.map_or(("workspace", None), |(name, text)| (name, Some(text))),
        ("credential_headers", Some(headers.join(" "))),
        ("preflights", preflights),
    ]
    .into_iter()
    .filter_map(|(name, text)| Some((name, text.filter(|text| !text.is_empty())?)))
    .collect()
}

fn workspace(choice: &WorkspaceChoice) -> (&'static str, String) {
    match choice {
        WorkspaceChoice::Fixed(id) => ("workspace", id.to_string()),
        WorkspaceChoice::Header(name) => ("workspace_header", name.to_string()),
        WorkspaceChoice::Host(template) => ("workspace_host", template.to_string()),
        WorkspaceChoice::Path(template) => ("workspace_path", template.to_string()),
    }
}

/// A rule by the names in the file.
pub(super) fn json(route: &Route) -> Value {
    let mut fields = Map::new();
    fields.insert("line".to_owned(), route.line.into());
    fields.insert("match".to_owned(), route.pattern().into());
    if let Some(host) = &route.host {
        fields.insert("host".to_owned(), host.to_string().into());
    }
    fields.insert("public".to_owned(), route.public.into());
    let policy = &route.policy;
    for (name, text) in policy_parts(policy) {
        let value = match name {
            "required_scopes" => json!(policy.required_scopes),
            "limits" => json!(
                policy
                    .limits
                    .iter()
                    .map(LimitName::as_str)
                    .collect::<Vec<_>>()
            ),
            "cost" => json!(policy.cost),
            "credential_headers" => json!(policy.credential_headers),
            _ => text.into(),
        };
        fields.insert(name.to_owned(), value);
    }
    Value::Object(fields)
}
