//! Which build of keyward this is. `build.rs` finds out what Cargo does not
//! tell.

/// The version, as in `1.2.3`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from, abbreviated; with `-dirty` after it if
/// files had been changed since, and `unknown` if it was not built in a clone
/// and `KEYWARD_COMMIT` did not name it.
pub const COMMIT: &str = env!("KEYWARD_BUILD_COMMIT");

/// Both, as in `1.2.3 (1a2b3c4d)`.
pub const SHORT: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("KEYWARD_BUILD_COMMIT"),
    ")"
);

/// What a health check's `server` header says, as in
/// `keyward/1.2.3 (1a2b3c4d)`.
pub const SERVER: &str = concat!(
    "keyward/",
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("KEYWARD_BUILD_COMMIT"),
    ")"
);

/// What `keyward --version` says after the program's name.
pub const LONG: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit: ",
    env!("KEYWARD_BUILD_COMMIT"),
    "\nbuild: ",
    env!("KEYWARD_BUILD_PROFILE"),
    ", ",
    env!("KEYWARD_BUILD_TARGET"),
    "\ncompiler: ",
    env!("KEYWARD_BUILD_RUSTC"),
);
