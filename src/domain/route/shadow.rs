//! Finds rules that can never match: a mistake, for whoever wrote one meant it to
//! count. Words count in any case: a request that an earlier rule would match but
//! for case is refused, and comes to no later rule.

use super::{Methods, Route};

/// A rule that can never match, by its place in the order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shadowed {
    /// The rule.
    pub rule: usize,
    /// The earlier rules that match whatever it would: one, or one for each of
    /// its methods.
    pub by: Vec<usize>,
}

/// The rules that can never match.
pub(super) fn shadowed(routes: &[Route]) -> Vec<Shadowed> {
    routes
        .iter()
        .enumerate()
        .filter_map(|(rule, route)| {
            let by = covering(routes.get(..rule)?, route)?;
            Some(Shadowed { rule, by })
        })
        .collect()
}

/// Those of `earlier` that leave nothing of `route`, if they do.
fn covering(earlier: &[Route], route: &Route) -> Option<Vec<usize>> {
    let first = |is_for: &dyn Fn(&Methods) -> bool| {
        earlier.iter().position(|other| {
            is_for(&other.methods) && other.path.covers(&route.path) && covers_host(other, route)
        })
    };
    match &route.methods {
        Methods::Any => {
            let by = first(&|methods| *methods == Methods::Any)?;
            Some(vec![by])
        }
        Methods::Of(methods) => {
            let mut by = methods
                .iter()
                .map(|method| first(&|methods| methods.contain(method)))
                .collect::<Option<Vec<_>>>()?;
            by.sort_unstable();
            by.dedup();
            Some(by)
        }
    }
}

fn covers_host(one: &Route, other: &Route) -> bool {
    match (&one.host, &other.host) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(one), Some(other)) => one.covers(other),
    }
}
