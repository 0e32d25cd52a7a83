//! Which fields an update sets: those whose flags were given.

use prost_types::FieldMask;

use super::failure::Failure;

/// The fields that are set, by their names in the API.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Mask(FieldMask);

impl Mask {
    /// The value that was given for a field, which is then set; else one that
    /// is left out of account.
    pub(crate) fn set<T: Default>(&mut self, path: &str, value: Option<T>) -> T {
        value.map_or_else(T::default, |value| {
            self.0.paths.push(path.to_owned());
            value
        })
    }

    /// All fields that are set. `Err`: there are none.
    pub(crate) fn finish(self) -> Result<FieldMask, Failure> {
        if self.0.paths.is_empty() {
            return Err(Failure::usage("nothing to change was named")
                .note("--help lists the flags that do."));
        }
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::failure::Exit;
    use super::*;

    #[test]
    fn only_what_was_given_is_set() {
        let mut mask = Mask::default();
        assert_eq!(mask.set("name", Some("n".to_owned())), "n");
        assert_eq!(mask.set::<String>("description", None), "");
        assert_eq!(mask.set::<Option<u8>>("expire_time", Some(None)), None);
        assert_eq!(mask.finish().unwrap().paths, ["name", "expire_time"]);
        assert_eq!(Mask::default().finish().unwrap_err().exit(), Exit::Usage);
    }
}
