//! Compiles the protos with protox, so that no protoc has to be installed, and
//! notes which build this is, for `src/build_info.rs`.
//!
//! Beside the Rust types it writes one descriptor set per listener for
//! reflection: the file of the service served there and what it imports, so
//! that the check listener knows nothing of the admin schema. (The reflection
//! service's own filter hides names from the listing only.)

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, error::Error, fs};

use prost::Message;
use prost_types::FileDescriptorSet;

const KEY_CHECK: &str = "keyward/v1/key_check.proto";
const KEY_ADMIN: &str = "keyward/v1/key_admin.proto";
const ERROR_REASON: &str = "keyward/v1/error_reason.proto";
const STORE_RECORD: &str = "keyward/store/v1/record.proto";

fn main() -> Result<(), Box<dyn Error>> {
    note_build()?;
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(
        [KEY_CHECK, KEY_ADMIN, ERROR_REASON, STORE_RECORD],
        ["proto"],
    )?;

    let out = PathBuf::from(env::var("OUT_DIR")?);
    let check = closure(&files, &[KEY_CHECK]);
    let admin = closure(&files, &[KEY_ADMIN, ERROR_REASON]);
    fs::write(out.join("check_descriptors.bin"), check.encode_to_vec())?;
    fs::write(out.join("admin_descriptors.bin"), admin.encode_to_vec())?;

    tonic_prost_build::configure()
        // Ordered maps, so that one record has one encoding and one MAC.
        .btree_map(".")
        // These carry tokens: `edge::pb` writes a `Debug` that keeps them.
        .skip_debug([
            "keyward.v1.CheckRequest",
            "keyward.v1.CreateKeyResponse",
            "keyward.v1.ImportKey",
            "keyward.v1.TokenHash",
            "keyward.v1.CreateAdminKeyResponse",
            "keyward.v1.RotateAdminKeyResponse",
            "keyward.v1.RotateKeyResponse",
            "keyward.v1.IdentifyTokensRequest",
            "keyward.v1.ExplainCheckRequest",
        ])
        .compile_fds(files)?;
    Ok(())
}

/// Where a change makes a clone dirty, as far as the build goes.
const SOURCES: [&str; 6] = [
    "Cargo.lock",
    "Cargo.toml",
    "build.rs",
    "proto",
    "rust-toolchain.toml",
    "src",
];

/// Hands the commit and the kind of the build to the compiler.
fn note_build() -> Result<(), Box<dyn Error>> {
    println!("cargo:rustc-env=KEYWARD_BUILD_COMMIT={}", commit()?);
    for (name, variable) in [("PROFILE", "PROFILE"), ("TARGET", "TARGET")] {
        println!(
            "cargo:rustc-env=KEYWARD_BUILD_{name}={}",
            env::var(variable)?
        );
    }
    let rustc = said(Command::new(env::var("RUSTC")?).arg("--version"));
    let rustc = rustc.unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=KEYWARD_BUILD_RUSTC={rustc}");
    Ok(())
}

/// Names the commit where there is no clone, as in an image's build.
const COMMIT: &str = "KEYWARD_COMMIT";

/// The commit, `-dirty` if the sources are not as they are in it.
///
/// It is the one that is given, else git is asked; both may be missing: a
/// tarball is no clone, and git need not be installed. Nothing is fetched.
fn commit() -> Result<String, Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed={COMMIT}");
    match env::var(COMMIT) {
        Ok(given) if !given.is_empty() => abbreviated(&given)
            .ok_or_else(|| format!("{COMMIT} is {given:?}: a commit is meant, as `git rev-parse HEAD` says it, with `-dirty` after it or not").into()),
        _ => Ok(cloned()),
    }
}

/// The commit as git would say it. `None`: it is none.
fn abbreviated(given: &str) -> Option<String> {
    let (commit, dirty) = match given.strip_suffix("-dirty") {
        Some(commit) => (commit, "-dirty"),
        None => (given, ""),
    };
    let is_hex = commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_hex && commit.len() >= 7).then(|| format!("{commit:.12}{dirty}"))
}

/// The commit of the clone that this is, if it is one.
fn cloned() -> String {
    // A tarball may have been unpacked within somebody else's clone.
    let own = Path::new(".git").exists();
    let Some(commit) = own
        .then(|| said(git().args(["rev-parse", "--short=12", "HEAD"])))
        .flatten()
    else {
        return "unknown".to_owned();
    };
    // A commit or a checkout changes these, be it in a worktree or not.
    for name in ["HEAD", "logs/HEAD", "index"] {
        let path = said(git().args(["rev-parse", "--git-path", name]));
        if let Some(path) = path.filter(|path| Path::new(path).exists()) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
    }
    let changes = git()
        .args(["status", "--porcelain", "--"])
        .args(SOURCES)
        .output();
    match changes {
        Ok(changes) if changes.status.success() && changes.stdout.is_empty() => commit,
        _ => format!("{commit}-dirty"),
    }
}

fn git() -> Command {
    let mut git = Command::new("git");
    // Looking does not write the index, which others may be using.
    git.arg("--no-optional-locks");
    git
}

/// The line that `command` says; none if it fails or says nothing.
fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let line = String::from_utf8(output.stdout).ok()?;
    let line = line.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}

/// The named files and all that they import, in the order of `files`.
fn closure(files: &FileDescriptorSet, roots: &[&str]) -> FileDescriptorSet {
    let mut wanted: BTreeSet<&str> = roots.iter().copied().collect();
    // Imports come before the files that import them: one pass from the end
    // finds them all.
    for file in files.file.iter().rev() {
        if wanted.contains(file.name()) {
            wanted.extend(file.dependency.iter().map(String::as_str));
        }
    }
    let file = files
        .file
        .iter()
        .filter(|file| wanted.contains(file.name()))
        .cloned()
        .collect();
    FileDescriptorSet { file }
}
