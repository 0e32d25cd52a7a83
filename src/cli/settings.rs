//! The flags of the server's settings. They follow the table of settings, and
//! are handed on as they were typed: who reads them tells of all mistakes at
//! once.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::OsStringValueParser;
use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches, value_parser};

use crate::config::FOLDERS;
use crate::config::gather::Sources;
use crate::config::setting::{Preset, Setting};
use crate::config::table::settings;

/// The file, and a flag for each setting.
#[derive(Clone, Default, Debug)]
pub(crate) struct SettingsArgs(Given);

/// The file, and a flag for each setting that says where the store lies.
#[derive(Clone, Default, Debug)]
pub(crate) struct FolderArgs(Given);

/// The flags that were given.
#[derive(Clone, Default, Debug)]
struct Given {
    config: Option<PathBuf>,
    flags: Vec<(&'static Setting, OsString)>,
}

impl SettingsArgs {
    /// These flags, and the environment.
    pub(crate) fn sources(&self) -> Sources {
        self.0.sources()
    }
}

impl FolderArgs {
    /// These flags, and the environment.
    pub(crate) fn sources(&self) -> Sources {
        self.0.sources()
    }
}

impl Args for SettingsArgs {
    fn augment_args(command: Command) -> Command {
        command.arg(config_flag()).args(settings().map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl Args for FolderArgs {
    fn augment_args(command: Command) -> Command {
        command.arg(config_flag()).args(folders().map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingsArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Ok(Self(Given::of(matches, settings())))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl FromArgMatches for FolderArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Ok(Self(Given::of(matches, folders())))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Given {
    fn of(matches: &ArgMatches, settings: impl Iterator<Item = &'static Setting>) -> Self {
        let typed = |setting: &'static Setting| {
            let words = matches.get_one::<OsString>(setting.flag)?;
            Some((setting, words.clone()))
        };
        Self {
            config: matches.get_one("config").cloned(),
            flags: settings.filter_map(typed).collect(),
        }
    }

    fn sources(&self) -> Sources {
        Sources {
            config: self.config.clone(),
            variables: std::env::vars_os().collect(),
            flags: self.flags.clone(),
        }
    }
}

fn folders() -> impl Iterator<Item = &'static Setting> {
    settings().filter(|setting| FOLDERS.contains(&setting.key))
}

fn config_flag() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("PATH")
        .value_parser(value_parser!(PathBuf))
        .help("The file with settings; flags and variables come before what is in it [env: KEYWARD_CONFIG]")
}

fn flag(setting: &'static Setting) -> Arg {
    let arg = Arg::new(setting.flag)
        .long(setting.flag)
        .value_parser(OsStringValueParser::new())
        .help(help(setting))
        .help_heading(heading(setting));
    match setting.value_name() {
        Some(name) => arg.value_name(name),
        None => arg
            .value_name("BOOL")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
    }
}

fn help(setting: &Setting) -> String {
    let default = match setting.preset {
        // A switch is off where it is not given.
        Preset::Is(_) if setting.value_name().is_none() => "",
        Preset::Is(told) | Preset::Absent { told, .. } => told,
    };
    let mut help = format!("{} [env: {}]", setting.meaning, setting.variable());
    if !default.is_empty() {
        help.push_str(&format!(" [default: {default}]"));
    }
    help
}

fn heading(setting: &Setting) -> &'static str {
    match setting.section().split('.').next() {
        Some("store") => "Store",
        Some("check") => "Check listener",
        Some("admin") => "Admin listener",
        Some("http") => "HTTP listener",
        Some("metrics") => "Metrics",
        Some("log") => "Log",
        _ => "Server",
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Line {
        #[command(flatten)]
        settings: SettingsArgs,
    }

    fn flags(line: &str) -> Vec<(&'static str, String)> {
        let line = Line::try_parse_from(line.split(' ')).unwrap();
        let flags = line.settings.0.flags.into_iter();
        flags
            .map(|(setting, words)| (setting.key, words.into_string().unwrap()))
            .collect()
    }

    #[test]
    fn flags_are_handed_on_as_they_were_typed() {
        assert_eq!(flags("keyward"), []);
        assert_eq!(
            flags("keyward --log loud --check-listen= --no-reflection --encrypted-elsewhere=maybe"),
            [
                ("check.listen", String::new()),
                ("server.encrypted_elsewhere", "maybe".to_owned()),
                ("server.reflection", "true".to_owned()),
                ("log.filter", "loud".to_owned()),
            ]
        );
    }
}
