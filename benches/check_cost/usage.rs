//! Whether keyward counts how keys are used while it is measured: with it and
//! without it are two stands, driven in the same rounds.

use crate::Result;

/// What a keyward is started with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    /// As it comes.
    Counted,
    /// With `--no-usage`.
    Uncounted,
}

impl Usage {
    /// Those that `KEYWARD_BENCH_USAGE` asks for: `on`, `off` or `both`.
    pub(crate) fn asked() -> Result<Vec<Self>> {
        match std::env::var("KEYWARD_BENCH_USAGE").as_deref() {
            Err(_) | Ok("on") => Ok(vec![Self::Counted]),
            Ok("off") => Ok(vec![Self::Uncounted]),
            Ok("both") => Ok(vec![Self::Counted, Self::Uncounted]),
            Ok(text) => Err(format!("KEYWARD_BENCH_USAGE is {text:?}, not on, off or both").into()),
        }
    }

    /// What a round of it is called.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Counted => "",
            Self::Uncounted => " off",
        }
    }

    /// What tells its store from the other's.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Counted => "",
            Self::Uncounted => "-uncounted",
        }
    }

    /// The flags of its server.
    pub(crate) const fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Counted => &[],
            Self::Uncounted => &["--no-usage"],
        }
    }
}
