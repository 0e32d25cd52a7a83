//! `keyward keys revoke`: end a key for good, with a reason.

use clap::{Args, ValueEnum};

use super::admin::{Admin, AdminFlags};
use super::failure::Failure;
use super::output::{self, Output};
use super::status::Flags;
use super::{argument, key_view, text};
use crate::edge::pb::{RevocationReason, RevokeKeyRequest};

const FLAGS: Flags = &[("reason", "--reason")];

#[derive(Args, Debug)]
pub(crate) struct RevokeArgs {
    /// The id of the key, `key_…`
    key_id: String,
    /// Why. A key that is revoked already keeps its first reason
    #[arg(long, value_enum)]
    reason: Option<Reason>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Reason {
    /// Its token became known to others
    Leaked,
    /// It is no longer needed
    Unused,
    /// Another key has taken its place
    Superseded,
    /// Its principal has left or lost the right to it
    PrivilegeWithdrawn,
    /// It was used against the rules
    Abused,
}

impl From<Reason> for RevocationReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Leaked => Self::Leaked,
            Reason::Unused => Self::Unused,
            Reason::Superseded => Self::Superseded,
            Reason::PrivilegeWithdrawn => Self::PrivilegeWithdrawn,
            Reason::Abused => Self::Abused,
        }
    }
}

/// Revokes the key and shows what has become of it.
pub(crate) async fn run(
    args: RevokeArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let reason = args
        .reason
        .map_or(RevocationReason::Unspecified, RevocationReason::from);
    let request = RevokeKeyRequest {
        key_id: argument::key_id(args.key_id)?,
        reason: reason.into(),
        ..RevokeKeyRequest::default()
    };
    let mut admin = Admin::connect(flags).await?;
    let reply = admin
        .change(request, FLAGS, async |client, r| client.revoke_key(r).await)
        .await?;
    let key = reply.key.unwrap_or_default();
    if key.revocation_reason != i32::from(reason) {
        let kept = text::revocation_reason(key.revocation_reason);
        output::tell(&format_args!(
            "note: it was revoked before, with the reason {kept}, which stays"
        ));
    }
    key_view::show(output, &key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_can_be_given() {
        let names: Vec<_> = Reason::value_variants()
            .iter()
            .map(|reason| text::revocation_reason(RevocationReason::from(*reason).into()))
            .collect();
        assert_eq!(
            names,
            [
                "LEAKED",
                "UNUSED",
                "SUPERSEDED",
                "PRIVILEGE_WITHDRAWN",
                "ABUSED"
            ]
        );
    }
}
