//! What five vendors promise their users about API keys, and which tests prove
//! it: the table behind docs/promises.md.
//!
//! The page is compared with the table in each run, and each test that it names
//! has to be there. `KEYWARD_WRITE_DOCS=1` writes the page.

mod table;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::process::Command;

use crate::docs::root;

use table::{Here, PROMISES, Promise};

const PAGE: &str = "docs/promises.md";

/// How many promises each vendor makes, by the letter of their numbers.
const VENDORS: [(char, &str, usize); 5] = [
    ('K', "Klue", 4),
    ('P', "Klipy", 9),
    ('C', "CluedIn", 7),
    ('G', "Kling", 11),
    ('E', "Erathos", 3),
];

const HEAD: &str = "\
# What you can promise your users

For those who put keyward behind a page on API keys. Five vendors have such a
page; here is what they promise on it, whether keyward keeps it, and which tests
prove that.

This page is made of the table in `tests/it/promises/table.rs`, and the tests
compare it with that, and look whether each test is there. To change it, change
the table, and run:

```console
$ KEYWARD_WRITE_DOCS=1 cargo test --test it promises
```
";

#[test]
fn every_promise_is_in_the_table_once_and_in_order() {
    let expected = VENDORS.into_iter().flat_map(|(letter, _, number)| {
        (1..=number).map(move |number| format!("{letter}{number}"))
    });
    assert!(expected.eq(PROMISES.iter().map(|promise| promise.id.to_owned())));
}

#[test]
fn every_test_that_proves_a_promise_is_there_and_is_run() {
    let (there, ignored) = (listed(&[]), listed(&["--ignored"]));
    // What is measured is ignored beside others, and run after them.
    let tests_run = fs::read_to_string(root().join("tests/run")).unwrap();
    let is_run = tests_run.contains("cargo test --locked --test it -- --ignored");
    assert!(there.len() > 400, "{}", there.len());
    for promise in &PROMISES {
        for test in promise.tests {
            let is_there = match unit_file(test) {
                Some((file, name)) => {
                    let code = fs::read_to_string(root().join(file)).unwrap_or_default();
                    code.contains(&format!("fn {name}("))
                }
                None => there.contains(*test) && (is_run || !ignored.contains(*test)),
            };
            assert!(is_there, "{}: there is no test {test}", promise.id);
        }
        // What is kept, if only in part, is proved.
        let is_kept = matches!(promise.here, Here::Yes | Here::More(_) | Here::InPart(_));
        assert_eq!(is_kept, !promise.tests.is_empty(), "{}", promise.id);
    }
}

#[test]
fn the_page_is_made_of_the_table() {
    let (made, path) = (page(), root().join(PAGE));
    if std::env::var_os("KEYWARD_WRITE_DOCS").is_some() {
        return fs::write(path, made).unwrap();
    }
    assert!(
        fs::read_to_string(path).unwrap_or_default() == made,
        "{PAGE} is not made of the table: run KEYWARD_WRITE_DOCS=1 cargo test --test it promises"
    );
}

/// The tests of this program, as it lists them itself.
fn listed(flags: &[&str]) -> BTreeSet<String> {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .arg("--list")
        .args(flags)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .map(str::to_owned)
        .collect()
}

/// The file of a unit test, and its name in it; none, if it is a test of this
/// program.
fn unit_file(test: &str) -> Option<(String, &str)> {
    let (module, name) = test.split_once("::tests::")?;
    Some((format!("src/{}.rs", module.replace("::", "/")), name))
}

/// A test's name, which leads to its file.
fn link(test: &str) -> String {
    let file = unit_file(test).map_or_else(
        || {
            let (module, _) = test.rsplit_once("::").unwrap();
            format!("tests/it/{}.rs", module.replace("::", "/"))
        },
        |(file, _)| file,
    );
    assert!(root().join(&file).exists(), "{test} is not in {file}");
    format!("[`{test}`](../{file})")
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for (letter, vendor, _) in VENDORS {
        write!(
            page,
            "\n## {vendor}\n\n| | promise | here | proved by |\n|---|---|---|---|\n"
        )
        .unwrap();
        for promise in PROMISES.iter().filter(|one| one.id.starts_with(letter)) {
            let Promise {
                id,
                text,
                here,
                tests,
            } = promise;
            let tests: Vec<_> = tests.iter().map(|test| link(test)).collect();
            let tests = tests.join("<br>");
            writeln!(page, "| {id} | {text} | {} | {tests} |", here.told()).unwrap();
        }
    }
    page
}

impl Here {
    fn told(self) -> String {
        match self {
            Self::Yes => "yes".to_owned(),
            Self::More(what) => format!("yes, and more: {what}"),
            Self::InPart(missing) => format!("in part: {missing}"),
            Self::Later => "later".to_owned(),
        }
    }
}
