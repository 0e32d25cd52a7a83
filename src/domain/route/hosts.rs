//! The rules by the hosts that they are for, so that those for other hosts cost
//! nothing.

use std::collections::HashMap;

use crate::domain::target::host::NormalHost;
use crate::domain::target::host_template::HostTemplate;
use crate::domain::target::path::NormalPath;

use super::Route;
use super::tree::{Search, Tree};

/// A tree for each host that rules name.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    all: Tree,
    exact: HashMap<Box<str>, Tree>,
    below: HashMap<Box<str>, Tree>,
    workspaces: HashMap<Box<str>, Tree>,
}

impl Hosts {
    pub(super) fn new(routes: &[Route]) -> Self {
        let mut hosts = Self {
            all: Tree::new(),
            exact: HashMap::new(),
            below: HashMap::new(),
            workspaces: HashMap::new(),
        };
        for (rule, route) in routes.iter().enumerate() {
            hosts.tree_of(route.host.as_ref()).add(&route.path, rule);
        }
        hosts
    }

    fn tree_of(&mut self, template: Option<&HostTemplate>) -> &mut Tree {
        let (trees, name) = match template {
            None => return &mut self.all,
            Some(HostTemplate::Exact(name)) => (&mut self.exact, name),
            Some(HostTemplate::Below(name)) => (&mut self.below, name),
            Some(HostTemplate::Workspace(name)) => (&mut self.workspaces, name),
        };
        trees.entry(name.clone()).or_insert_with(Tree::new)
    }

    /// Whether there are rules for some hosts alone.
    pub(super) fn are_named(&self) -> bool {
        let named = [&self.exact, &self.below, &self.workspaces];
        named.into_iter().any(|trees| !trees.is_empty())
    }

    /// Searches the rules for `host`; none: those for all hosts.
    pub(super) fn search(
        &self,
        search: &mut Search<'_, '_>,
        host: Option<&NormalHost<'_>>,
        path: &NormalPath<'_>,
    ) {
        let rest = path.rest();
        self.all.search(search, rest);
        let Some(host) = host.map(NormalHost::as_str).filter(|_| self.are_named()) else {
            return;
        };
        if let Some(tree) = self.exact.get(host) {
            tree.search(search, rest);
        }
        let mut behind = host.split_once('.').map(|(_, behind)| behind);
        if let Some(tree) = behind.and_then(|behind| self.workspaces.get(behind)) {
            tree.search(search, rest);
        }
        while let Some(name) = behind {
            if let Some(tree) = self.below.get(name) {
                tree.search(search, rest);
            }
            behind = name.split_once('.').map(|(_, behind)| behind);
        }
    }
}
