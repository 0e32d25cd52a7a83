//! `keyward config`: tells what is wrong with the settings, which ones hold and
//! why, and which ones there are.

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use crate::app::StartError;
use crate::config::gather::{Effective, Sources};
use crate::config::listener::TlsConfig;
use crate::config::names::{Mistyped, mistyped};
use crate::config::origin::Origin;
use crate::config::setting::Preset;
use crate::config::table::settings;
use crate::config::{self, ServeConfig, example};
use crate::domain::clock::{Clock, SystemClock};
use crate::edge::tls;

use super::output;
use super::server_exit::{ServerFailure, end};
use super::settings::SettingsArgs;
use super::text;

/// What to tell of the settings.
#[derive(Args, Debug)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Tell all that is wrong with the settings that serve would use, or `good`
    Check(CheckArgs),
    /// Tell the settings that serve would use, and where each came from
    Show(ShowArgs),
    /// Print a file with all settings, their defaults and what they mean
    Example,
}

#[derive(Args, Debug)]
struct CheckArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Args, Debug)]
struct ShowArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// The form of what is told: `toml` can be used as a file
    #[arg(long, value_enum, default_value_t = Form::Toml)]
    output: Form,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Form {
    Toml,
    Json,
}

/// Tells what was asked for.
pub(crate) fn run(args: &ConfigArgs) -> ExitCode {
    end(match &args.verb {
        Verb::Check(args) => check(&args.settings.sources()),
        Verb::Show(args) => show(&args.settings.sources(), args.output),
        Verb::Example => print(&example::example()),
    })
}

fn check(sources: &Sources) -> Result<(), ServerFailure> {
    for mistyped in mistyped(&sources.variables) {
        let told = text::escaped(&text::without_tokens(&told(&mistyped)));
        output::tell(&format_args!("warning: {told}"));
    }
    let serve = config::check(sources)?.serve;
    examine_tls(&serve)?;
    for warning in warnings(&serve) {
        let told = text::escaped(&text::without_tokens(&warning));
        output::tell(&format_args!("warning: {told}"));
    }
    print("good\n")
}

/// What a server with these settings would warn of.
fn warnings(config: &ServeConfig) -> Vec<String> {
    let now = SystemClock::default().now();
    listeners(config)
        .into_iter()
        .flat_map(|(listener, tls)| {
            let warnings = tls::warnings(tls, now).into_iter();
            warnings.map(move |warning| format!("{listener} listener: {warning}"))
        })
        .collect()
}

/// The listeners that are to encrypt, and how.
fn listeners(config: &ServeConfig) -> Vec<(&'static str, &TlsConfig)> {
    let http = config.http.as_ref().map(|http| ("http", &http.listener));
    [("check", &config.check), ("admin", &config.admin)]
        .into_iter()
        .chain(http)
        .filter_map(|(listener, config)| Some((listener, config.tls.as_ref()?)))
        .collect()
}

/// Whether the listeners could encrypt with the files that were named.
fn examine_tls(config: &ServeConfig) -> Result<(), ServerFailure> {
    let problems: Vec<_> = listeners(config)
        .into_iter()
        .flat_map(|(listener, tls)| {
            let problems = tls::examine(tls).into_iter();
            problems.map(move |error| StartError::Tls { listener, error }.to_string())
        })
        .collect();
    let told = match problems.as_slice() {
        [] => return Ok(()),
        [problem] => problem.clone(),
        several => {
            let count = several.len();
            format!(
                "the settings have {count} problems:\n  {}",
                several.join("\n  ")
            )
        }
    };
    Err(ServerFailure::Settings(told))
}

/// What to say of a variable that nobody reads.
pub(crate) fn told(Mistyped { name, meant }: &Mistyped) -> String {
    format!("${name} is no setting and has no effect; did you mean ${meant}?")
}

fn show(sources: &Sources, form: Form) -> Result<(), ServerFailure> {
    let settings = config::load(sources)?.effective;
    match form {
        Form::Toml => print(&toml(&settings)),
        Form::Json => print(&output::json_text(&as_json(&settings))),
    }
}

fn print(text: &str) -> Result<(), ServerFailure> {
    match output::deliver(text) {
        // A reader who has seen enough is no failure.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(ServerFailure::File(format!(
            "cannot write to stdout: {error}"
        ))),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A file that sets what holds, with where it came from beside it.
fn toml(effective: &[Effective]) -> String {
    let mut text = String::new();
    let mut last = "";
    for Effective { key, value, origin } in effective {
        let (section, leaf) = key.rsplit_once('.').unwrap_or(("", key));
        if section != last {
            let gap = if last.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{gap}[{section}]\n"));
            last = section;
        }
        text.push_str(&match value {
            Some(value) => {
                // JSON's scalars are TOML's.
                let value = output::json_text(&without_tokens(value));
                let origin = text::escaped(&text::without_tokens(&origin.to_string()));
                format!("{leaf} = {}  # {origin}\n", value.trim_end())
            }
            None => format!("# {leaf}: {}\n", absent(key)),
        });
    }
    text
}

/// What it means that a setting has no value.
fn absent(key: &str) -> &'static str {
    let preset = settings()
        .find(|setting| setting.key == key)
        .map(|setting| setting.preset);
    match preset {
        Some(Preset::Absent { told, .. }) if !told.is_empty() => told,
        Some(Preset::Absent { .. } | Preset::Is(_)) | None => "none",
    }
}

/// Each setting by its place in the file.
fn as_json(effective: &[Effective]) -> Value {
    let all = effective.iter().map(|Effective { key, value, origin }| {
        let mut about = json!({ "value": value.as_ref().map(without_tokens) });
        let from = match origin {
            Origin::Default => json!({ "from": "default" }),
            Origin::File { file, line, column } => {
                let file = text::without_tokens(file);
                json!({ "from": "file", "file": file, "line": line, "column": column })
            }
            Origin::Variable(name) => json!({ "from": "variable", "variable": name }),
            Origin::Flag(name) => json!({ "from": "flag", "flag": format!("--{name}") }),
        };
        if let (Value::Object(about), Value::Object(from)) = (&mut about, from) {
            about.extend(from);
        }
        ((*key).to_owned(), about)
    });
    Value::Object(all.collect::<Map<_, _>>())
}

/// No setting is secret, but a token may have been given in the place of one.
fn without_tokens(value: &Value) -> Value {
    value
        .as_str()
        .map_or_else(|| value.clone(), |text| text::without_tokens(text).into())
}
