//! Changes to a list of words, such as a key's scopes: as a whole, or one by
//! one.

use super::argument::Scopes;
use super::failure::Failure;

/// What is to become of a list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Edit {
    /// The whole list. Empty: as it is, but for what follows.
    pub(crate) whole: Vec<String>,
    /// To be in it.
    pub(crate) add: Vec<String>,
    /// Not to be in it.
    pub(crate) remove: Vec<String>,
    /// To be empty.
    pub(crate) none: bool,
}

impl Edit {
    /// What the flags say, of which `whole` and `none` exclude the others.
    pub(crate) fn new(
        whole: Vec<Scopes>,
        add: Vec<Scopes>,
        remove: Vec<Scopes>,
        none: bool,
    ) -> Self {
        Self {
            whole: Scopes::all(whole),
            add: Scopes::all(add),
            remove: Scopes::all(remove),
            none,
        }
    }

    /// Whether the list as it is now has to be known.
    pub(crate) fn is_relative(&self) -> bool {
        !(self.add.is_empty() && self.remove.is_empty())
    }

    /// Whether there is anything to do.
    pub(crate) fn is_any(&self) -> bool {
        self.none || self.is_relative() || !self.whole.is_empty()
    }

    /// The list as it is to be. `current` is the one that there is, which
    /// matters to relative edits alone.
    ///
    /// # Errors
    ///
    /// What is to be removed is not there: it may be a typo of what is.
    pub(crate) fn apply(&self, current: &[String]) -> Result<Vec<String>, Failure> {
        if !self.is_relative() {
            return Ok(self.whole.clone());
        }
        let mut list = current.to_vec();
        for gone in &self.remove {
            let before = list.len();
            list.retain(|word| word != gone);
            if list.len() == before {
                return Err(Failure::failed(format!("there is no {gone} to be removed"))
                    .note(format!("What there is: {}", current.join(" "))));
            }
        }
        for new in &self.add {
            if !list.contains(new) {
                list.push(new.clone());
            }
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(text: &str) -> Vec<Scopes> {
        text.split(',')
            .filter(|text| !text.is_empty())
            .map(|text| Scopes::parse(text).unwrap())
            .collect()
    }

    fn applied(whole: &str, add: &str, remove: &str, none: bool) -> String {
        let edit = Edit::new(scopes(whole), scopes(add), scopes(remove), none);
        assert!(edit.is_any());
        let current = ["a:read".to_owned(), "b:read".to_owned()];
        edit.apply(&current).unwrap().join(" ")
    }

    #[test]
    fn a_list_is_replaced_or_changed_word_by_word() {
        assert_eq!(applied("c:read d:read", "", "", false), "c:read d:read");
        assert_eq!(applied("", "", "", true), "");
        assert_eq!(
            applied("", "c:read a:read", "", false),
            "a:read b:read c:read"
        );
        assert_eq!(applied("", "c:read", "a:read,b:read", false), "c:read");
        assert!(!Edit::default().is_any());
    }

    #[test]
    fn what_is_not_there_cannot_be_removed() {
        let edit = Edit::new(Vec::new(), Vec::new(), scopes("a:raed"), false);
        let failure = edit.apply(&["a:read".to_owned()]).unwrap_err();
        assert!(failure.to_string().contains("What there is: a:read"));
    }
}
