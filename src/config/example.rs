//! The example file: every setting with its default and its meaning.

use std::fmt::Write as _;

use serde_json::Value;

use super::draft::Draft;
use super::given::Given;
use super::setting::{Preset, Setting};
use super::table::settings;

/// The longest line of a comment.
const WIDTH: usize = 80;

const HEAD: &str = "\
# The settings of keyward serve, all of them, with their defaults.
#
# A line such as `#key = value` is the default of that key, or an example if it
# has none. Remove its first character to change it. Flags come before
# variables, variables before this file, this file before defaults. Spans of
# time are written like \"500ms\", \"10s\", \"5m\" or \"30d\". Relative paths start
# where the server is started.
#
#   keyward config check --config keyward.toml    tells all mistakes
#   keyward config show --config keyward.toml     tells what holds, and why
#   keyward serve --config keyward.toml           serves
";

/// The text of the example file.
#[must_use]
pub fn example() -> String {
    let mut text = HEAD.to_owned();
    let mut section = "";
    for setting in settings() {
        if setting.section() != section {
            section = setting.section();
            text.push_str(&format!("\n[{section}]\n"));
        }
        text.push('\n');
        comment(&mut text, &described(setting));
        let line = writeln!(text, "#{} = {}", setting.leaf(), shown(setting));
        debug_assert!(line.is_ok(), "a string takes all that is written");
    }
    text
}

/// The meaning of a setting, and what holds without it.
fn described(setting: &Setting) -> String {
    let meaning = setting.meaning;
    match setting.preset {
        Preset::Is(_) => format!("{meaning}."),
        Preset::Absent { told: "", .. } => format!("{meaning}. Default: none."),
        Preset::Absent { told, .. } => format!("{meaning}. Default: {told}."),
    }
}

/// The default or the example, as TOML writes it.
fn shown(setting: &Setting) -> Value {
    let text = match setting.preset {
        Preset::Is(text) | Preset::Absent { sample: text, .. } => text,
    };
    setting
        .read(&Given::Preset(text), &mut Draft::default())
        .unwrap_or_else(|_| text.into())
}

/// Adds a comment in lines that are not too long.
fn comment(text: &mut String, words: &str) {
    let mut line = "#".to_owned();
    for word in words.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            "#".clone_into(&mut line);
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}
