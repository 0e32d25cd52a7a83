//! What many keys share: each set of scopes and of limits, and each name of an
//! environment, is held once.

use std::sync::Arc;

use crate::domain::limit::LimitSet;
use crate::domain::scope::ScopeSet;

use super::interner::Interner;

/// What keys share.
#[derive(Debug)]
pub(super) struct Shared {
    scopes: Interner<ScopeSet>,
    limits: Interner<LimitSet>,
    pub(super) environments: Interner<str>,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            scopes: Interner::new(),
            limits: Interner::new(),
            environments: Interner::new(),
        }
    }

    /// The shared copy of some limits.
    pub(super) fn limits(&mut self, limits: &LimitSet) -> Arc<LimitSet> {
        self.limits
            .intern(limits, |limits| Arc::new(limits.clone()))
    }

    /// The shared copy of some scopes.
    pub(super) fn scopes(&mut self, scopes: &ScopeSet) -> Arc<ScopeSet> {
        self.scopes
            .intern(scopes, |scopes| Arc::new(scopes.clone()))
    }
}
