//! Which names there are in the file and in the environment, and which one was
//! meant by one that there is not.

use std::ffi::OsString;

use super::setting::Setting;
use super::table::settings;

/// How alike two names have to be for one to be taken for the other, of 1.
const ALIKE: f64 = 0.8;
/// The same for variables, which others may have named.
const ALIKE_VARIABLES: f64 = 0.9;

/// The variable that names the file.
pub(super) const FILE_VARIABLE: &str = "KEYWARD_CONFIG";
/// Variables that are no settings of the server.
const OTHER_VARIABLES: [&str; 6] = [
    FILE_VARIABLE,
    "KEYWARD_ADMIN_SERVER",
    "KEYWARD_ADMIN_TOKEN",
    "KEYWARD_ADMIN_TOKEN_FILE",
    "KEYWARD_CHECK_SERVER",
    "KEYWARD_CONTEXT",
];
/// What variables for keyward's own tests and measurements start with.
const OTHER_PREFIXES: [&str; 2] = ["KEYWARD_TEST_", "KEYWARD_BENCH_"];

/// Whether `path` is a section of the file.
pub(super) fn is_section(path: &str) -> bool {
    sections().any(|section| section == path)
}

/// All sections, also those that have nothing but sections in them.
fn sections() -> impl Iterator<Item = &'static str> {
    settings().flat_map(|setting| {
        let section = setting.section();
        let outer = section.split_once('.').map(|(outer, _)| outer);
        outer.into_iter().chain([section])
    })
}

/// What to say of the key `name` in `section`, where there is none.
pub(super) fn unknown_key(section: &str, name: &str) -> String {
    let spoken = name.replace('-', "_");
    let meant = |setting: &&Setting| {
        [setting.leaf(), setting.key].contains(&spoken.as_str())
            || setting.flag.replace('-', "_") == spoken
    };
    let mut exact: Vec<&Setting> = settings().filter(meant).collect();
    if exact.iter().any(|setting| setting.section() == section) {
        exact.retain(|setting| setting.section() == section);
    }
    let advice = if !exact.is_empty() {
        let places: Vec<_> = exact.into_iter().map(|of| place(of, section)).collect();
        format!("write {}", places.join(" or "))
    } else {
        let here = settings().filter(|setting| setting.section() == section);
        nearest(&spoken, here, ALIKE, |setting| setting.leaf())
            .or_else(|| nearest(&spoken, settings(), ALIKE, |setting| setting.leaf()))
            .map_or_else(
                || "`keyward config example` shows all keys".to_owned(),
                |setting| format!("did you mean {}?", place(setting, section)),
            )
    };
    format!(
        "unknown key `{}` {}; {advice}",
        name.escape_debug(),
        within(section)
    )
}

/// What to say of the section `name` in `section`, where there is none.
pub(super) fn unknown_section(section: &str, name: &str) -> String {
    let full = if section.is_empty() {
        name.to_owned()
    } else {
        format!("{section}.{name}")
    };
    let mut exact: Vec<_> = sections()
        .filter(|known| known.rsplit('.').next() == Some(name))
        .map(|known| format!("[{known}]"))
        .collect();
    exact.dedup();
    let advice = if exact.is_empty() {
        nearest(&full, sections(), ALIKE, |known| known).map_or_else(
            || "`keyward config example` shows all sections".to_owned(),
            |known| format!("did you mean [{known}]?"),
        )
    } else {
        format!("write {}", exact.join(" or "))
    };
    format!("unknown section [{}]; {advice}", full.escape_debug())
}

/// A setting's name, with its section if that is not the one at hand.
fn place(setting: &Setting, section: &str) -> String {
    if setting.section() == section {
        format!("`{}`", setting.leaf())
    } else {
        format!("`{}` in [{}]", setting.leaf(), setting.section())
    }
}

fn within(section: &str) -> String {
    if section.is_empty() {
        "outside of all sections".to_owned()
    } else {
        format!("in [{section}]")
    }
}

/// A variable that looks like a setting's and is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistyped {
    /// Its name.
    pub name: String,
    /// The variable that may have been meant.
    pub meant: String,
}

/// The variables that look like a setting's and are none.
#[must_use]
pub fn mistyped(variables: &[(OsString, OsString)]) -> Vec<Mistyped> {
    let known: Vec<_> = settings().map(Setting::variable).collect();
    let mut found: Vec<_> = variables
        .iter()
        .filter_map(|(name, _)| {
            let name = name.to_str().filter(|name| name.starts_with("KEYWARD_"))?;
            let other = OTHER_VARIABLES.contains(&name)
                || OTHER_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
            if other || known.iter().any(|known| known == name) {
                return None;
            }
            let bare = |known: &String| known.replace("KEYWARD_", "");
            let candidates: Vec<_> = known.iter().map(bare).collect();
            let name = name.replace("KEYWARD_", "");
            let meant = nearest(&name, &candidates, ALIKE_VARIABLES, |known| known)?;
            Some(Mistyped {
                name: format!("KEYWARD_{name}"),
                meant: format!("KEYWARD_{meant}"),
            })
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// The candidate whose name is most like `name`, if one is like it at all.
pub(super) fn nearest<T>(
    name: &str,
    candidates: impl IntoIterator<Item = T>,
    alike: f64,
    of: impl Fn(&T) -> &str,
) -> Option<T> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, of(&candidate)), candidate))
        .filter(|(likeness, _)| *likeness >= alike)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}
