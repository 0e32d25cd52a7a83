//! Compiles the protos with protox, so that no protoc has to be installed.
//!
//! Beside the Rust types it writes one descriptor set per listener for
//! reflection: the file of the service served there and what it imports, so
//! that the check listener knows nothing of the admin schema. (The reflection
//! service's own filter hides names from the listing only.)

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::{env, error::Error, fs};

use prost::Message;
use prost_types::FileDescriptorSet;

const KEY_CHECK: &str = "keyward/v1/key_check.proto";
const KEY_ADMIN: &str = "keyward/v1/key_admin.proto";
const ERROR_REASON: &str = "keyward/v1/error_reason.proto";
const STORE_RECORD: &str = "keyward/store/v1/record.proto";

fn main() -> Result<(), Box<dyn Error>> {
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
            "keyward.v1.CreateAdminKeyResponse",
            "keyward.v1.RotateAdminKeyResponse",
        ])
        .compile_fds(files)?;
    Ok(())
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
