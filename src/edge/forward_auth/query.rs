//! The query of a forward-auth URL: what the route asks, and how its gateway has
//! to be answered.

use std::borrow::Cow;

/// What says how to answer. All others are of the policy.
const DENY_STATUS: &str = "deny_status";

/// A query that was taken apart.
#[derive(Debug)]
pub(super) struct Query<'q> {
    pairs: Vec<(Cow<'q, str>, Cow<'q, str>)>,
    deny_with_403: bool,
    /// What is wrong with how to answer.
    fault: Option<&'static str>,
}

impl<'q> Query<'q> {
    /// Takes `text` apart, as forms are written.
    pub(super) fn read(text: &'q str) -> Self {
        let mut query = Self {
            pairs: Vec::new(),
            deny_with_403: false,
            fault: None,
        };
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            if name != DENY_STATUS {
                query.pairs.push((name, value));
            } else if value != "403" {
                query.fault = Some("`deny_status` can be 403, and nothing else");
            } else {
                query.deny_with_403 = true;
            }
        }
        query
    }

    /// What the route asks, in pairs.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.pairs.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Whether whatever is no 200 has to be 401 or 403.
    pub(super) const fn denies_with_403(&self) -> bool {
        self.deny_with_403
    }

    /// What is wrong with it, beside the policy.
    pub(super) const fn fault(&self) -> Option<&'static str> {
        self.fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_a_policy_and_a_way_to_answer() {
        let query = Query::read("required_scopes=a:read+b%7Cc&deny_status=403&cost=2");
        let pairs: Vec<_> = query.pairs().collect();
        assert_eq!(pairs, [("required_scopes", "a:read b|c"), ("cost", "2")]);
        assert!(query.denies_with_403() && query.fault().is_none());
        let query = Query::read("");
        assert!(query.pairs().next().is_none() && !query.denies_with_403());
        for wrong in [
            "deny_status=200",
            "deny_status",
            "deny_status=403&deny_status=0403",
        ] {
            assert!(Query::read(wrong).fault().is_some(), "{wrong}");
        }
    }
}
