//! The generated types of `keyward.v1`, named under `edge` (and by the command
//! line, which is a client) alone.
#![allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    reason = "generated code"
)]

tonic::include_proto!("keyward.v1");

/// What reflection on the check listener knows: KeyCheck and its messages.
pub const CHECK_DESCRIPTORS: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/check_descriptors.bin"));

/// What reflection on the admin listener knows: KeyAdmin, its messages and the
/// reasons of its errors.
pub const ADMIN_DESCRIPTORS: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/admin_descriptors.bin"));

// A token never appears in `Debug` output, not even of a wire type. What holds
// a `CheckRequest` prints it as it prints itself.

impl std::fmt::Debug for CheckRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckRequest")
            .field("workspace", &self.workspace)
            .field("environment", &self.environment)
            .field("required_scopes", &self.required_scopes)
            .field("limits", &self.limits)
            .field("cost", &self.cost)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for CreateKeyResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreateKeyResponse")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ImportKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImportKey")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenHash")
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for CreateAdminKeyResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreateAdminKeyResponse")
            .field("admin_key", &self.admin_key)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for RotateAdminKeyResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RotateAdminKeyResponse")
            .field("admin_key", &self.admin_key)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for RotateKeyResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RotateKeyResponse")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for IdentifyTokensRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdentifyTokensRequest")
            .field("count", &self.tokens.len())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ExplainCheckRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExplainCheckRequest")
            .field("workspace", &self.workspace)
            .field("environment", &self.environment)
            .field("required_scopes", &self.required_scopes)
            .field("limits", &self.limits)
            .field("cost", &self.cost)
            .finish_non_exhaustive()
    }
}
