//! `keyward routes test`: which rule a request would have.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::cli::table::{Properties, terminal_width};
use crate::domain::policy::Selection;
use crate::domain::route::{NoRoute, Route, RouteFound, RouteTable};
use crate::domain::target::Target;
use crate::domain::target::host::HostRefusal;

use super::view;

/// The header that says which method a preflight asks for.
const PREFLIGHT_FOR: &str = "access-control-request-method";

/// A file of routes, and a request.
#[derive(Args, Debug)]
pub(super) struct TestArgs {
    /// The file of routes
    file: PathBuf,
    /// The request: `GET https://api.example.com/v1/customers/7`, or `GET /v1/customers/7`
    request: String,
    /// The host, for a request that is a path alone
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// A header of the request, as `NAME=VALUE`: for preflights, and where a header
    /// selects the workspace. Can be given several times
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The form of what is written to stdout
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Output::Table)]
    output: Output,
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            Ok((name.to_ascii_lowercase(), value.to_owned()))
        }
        Some(_) | None => Err("write it as NAME=VALUE".to_owned()),
    }
}

/// The request as a gateway would tell of it.
struct Request<'a> {
    method: &'a str,
    target: Target<'a>,
    headers: &'a [(String, String)],
}

impl Request<'_> {
    /// The value of a header that is there once.
    fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(given, _)| given == name);
        let (_, value) = values.next()?;
        values.next().is_none().then_some(value)
    }

    /// What it asks for, if it is a preflight.
    fn preflight_for(&self) -> Option<&str> {
        self.header("origin")
            .and_then(|_| self.header(PREFLIGHT_FOR))
    }
}

pub(super) fn run(args: &TestArgs) -> Result<Exit, Failure> {
    let table = super::read(&args.file)?;
    let request = request(args)?;
    let found = table.find(request.method, &request.target, request.preflight_for());
    let (outcome, route, why) = match found {
        RouteFound::Policy(route) => ("policy", Some(route), None),
        RouteFound::Public(route) => ("public", Some(route), None),
        RouteFound::Preflight(route) => ("preflight", Some(route), None),
        RouteFound::NoRoute(why) => ("no_route", None, Some(why)),
        RouteFound::NoTable => ("no_route", None, Some(NoRoute::NoRule)),
    };
    let asking = route.filter(|_| outcome == "policy");
    let selected = asking.map(|route| select(route, &request));
    let near = why
        .map(|why| near(&table, &request, why))
        .unwrap_or_default();
    let answer = Answer {
        outcome,
        route,
        selected,
        why,
        near,
    };
    args.output.print(|| answer.lines(), || answer.json())?;
    Ok(if route.is_some() {
        Exit::Done
    } else {
        Exit::Denied
    })
}

fn request(args: &TestArgs) -> Result<Request<'_>, Failure> {
    let mut words = args.request.split(' ').filter(|word| !word.is_empty());
    let (Some(method), Some(url), None) = (words.next(), words.next(), words.next()) else {
        return Err(Failure::usage(
            "the request is a method and an address, as in 'GET https://api.example.com/v1/customers/7' \
             or 'GET /v1/customers/7'; write a space in it as %20",
        ));
    };
    let absolute = ["https://", "http://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    let (host, path) = match (absolute, &args.host) {
        (Some(_), Some(_)) => {
            return Err(Failure::usage(
                "the request names its host, and so does --host: leave one of them out",
            ));
        }
        (Some(rest), None) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (host, path) = rest.split_at(end);
            // What clients send for an address without a path.
            (host, if path.is_empty() { "/" } else { path })
        }
        (None, host) => (host.as_deref().unwrap_or_default(), url),
    };
    Ok(Request {
        method,
        target: Target::read(host, path),
        headers: &args.headers,
    })
}

/// The workspace that the rule selects; none: it does not select one.
fn select(route: &Route, request: &Request<'_>) -> Option<Result<String, &'static str>> {
    let header = |name: &str| request.header(name).map(str::as_bytes);
    match route.policy.select(&request.target, header) {
        Selection::KeysOwn => None,
        Selection::Workspace(id) => Some(Ok(id.to_owned())),
        Selection::Nothing => Some(Err(
            "none: the request has no workspace's id there, and every key is UNKNOWN",
        )),
    }
}

/// The first rules that would match if one thing were different, and what.
fn near(table: &RouteTable, request: &Request<'_>, why: NoRoute) -> Vec<String> {
    let path = match (&request.target.path, why) {
        (Ok(path), NoRoute::NoRule | NoRoute::Case) => path,
        (_, NoRoute::Host(HostRefusal::Empty)) => {
            return vec!["rules look at the host: give it with --host".to_owned()];
        }
        _ => return Vec::new(),
    };
    let host_is_for = |route: &&Route| {
        let host = request.target.host.as_ref().ok();
        let template = route.host.as_ref();
        template.is_none_or(|template| host.is_some_and(|host| template.matches(host)))
    };
    let told = |route: &Route, but| format!("line {}: {} {but}", route.line, route.pattern());
    let routes = || table.routes().iter();
    let of_case = routes()
        .filter(host_is_for)
        .find(|route| route.path.matches_in_any_case(path) && !route.path.matches(path))
        .filter(|_| why == NoRoute::Case)
        .map(|route| told(route, "but for capital letters"));
    let is_method = |route: &&Route| route.methods.contain(request.method);
    let of_path = || routes().filter(|route| route.path.matches(path));
    let of_method = of_path()
        .filter(host_is_for)
        .find(|route| !is_method(route))
        .map(|route| told(route, "but for the method"));
    let of_host = of_path()
        .filter(is_method)
        .find(|route| !host_is_for(route))
        .map(|route| told(route, "but for the host"));
    of_case
        .into_iter()
        .chain(of_method)
        .chain(of_host)
        .collect()
}

/// What there is to say.
struct Answer<'t> {
    outcome: &'static str,
    route: Option<&'t Route>,
    selected: Option<Option<Result<String, &'static str>>>,
    why: Option<NoRoute>,
    near: Vec<String>,
}

impl Answer<'_> {
    fn lines(&self) -> String {
        let verdict = match self.outcome {
            "policy" => "A credential is needed.",
            "public" => "PUBLIC: the request passes without a credential.",
            "preflight" => "PUBLIC PREFLIGHT: the request passes without a credential.",
            _ => "NO ROUTE (HTTP 403): the request is denied, whatever its credential.",
        };
        let mut properties = Properties::default();
        if let Some(why) = self.why {
            properties.add("Because", why.to_string());
        }
        for near in &self.near {
            properties.add("Near", near.as_str());
        }
        if let Some(route) = self.route {
            properties.add("Rule", format!("line {}: {}", route.line, route.pattern()));
            let host = route.host.as_ref().map(ToString::to_string);
            properties.add("Host", host.unwrap_or_default());
            let asked = if self.outcome == "policy" {
                view::policy_parts(&route.policy)
            } else {
                Vec::new()
            };
            for (name, text) in asked {
                properties.add(label(name), text);
            }
            match self.selected.as_ref().and_then(Option::as_ref) {
                Some(Ok(id)) => properties.add("Workspace", id.as_str()),
                Some(Err(told)) => properties.add("Workspace", *told),
                None => {}
            }
        }
        format!("{verdict}\n\n{}", properties.lines(terminal_width()))
    }

    fn json(&self) -> Value {
        let mut fields = json!({ "outcome": self.outcome });
        if let Some(route) = self.route {
            fields["route"] = view::json(route);
        }
        if let Some(Some(selected)) = &self.selected {
            // None is no workspace: every key is UNKNOWN.
            fields["workspace"] = selected.as_ref().ok().map(String::as_str).into();
        }
        if let Some(why) = self.why {
            fields["because"] = why.to_string().into();
        }
        if !self.near.is_empty() {
            fields["near"] = json!(self.near);
        }
        fields
    }
}

/// What a field of a policy is called for people.
fn label(name: &str) -> &'static str {
    match name {
        "required_scopes" => "Scopes",
        "limits" => "Limits",
        "cost" => "Cost",
        "environment" => "Environment",
        "credential_headers" => "Headers",
        "preflights" => "Preflights",
        _ => "Selected by",
    }
}
