//! The cases that every gateway has to pass, by what they are about.

pub(super) mod allowed;
pub(super) mod cannot;
pub(super) mod denied;
pub(super) mod failing;
pub(super) mod forged;
pub(super) mod grpc;
pub(super) mod hops;
pub(super) mod paths;
pub(super) mod upgrades;
