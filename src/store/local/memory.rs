//! An engine that forgets: for tests of what stands on a store.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::RwLock;

use super::engine::{Engine, EngineError, Entries, Put};

/// An ordered map in memory.
#[derive(Debug, Default)]
pub struct MemoryEngine(RwLock<BTreeMap<Vec<u8>, Vec<u8>>>);

fn poisoned<E>(_: E) -> EngineError {
    EngineError::own("a writer panicked")
}

impl Engine for MemoryEngine {
    fn get(&self, place: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.0.read().map_err(poisoned)?.get(place).cloned())
    }

    fn scan<'a>(&'a self, prefix: &'a [u8], after: &[u8]) -> Entries<'a> {
        let from = if after < prefix {
            Bound::Included(prefix)
        } else {
            Bound::Excluded(after)
        };
        let entries: Vec<_> = match self.0.read() {
            Ok(map) => map
                .range::<[u8], _>((from, Bound::Unbounded))
                .take_while(|(place, _)| place.starts_with(prefix))
                .map(|(place, value)| Ok((place.clone(), value.clone())))
                .collect(),
            Err(error) => vec![Err(poisoned(error))],
        };
        Box::new(entries.into_iter())
    }

    fn scan_back<'a>(&'a self, prefix: &'a [u8], before: Option<&[u8]>) -> Entries<'a> {
        let mut entries: Vec<_> = self
            .scan(prefix, b"")
            .take_while(|entry| match (entry, before) {
                (Ok((place, _)), Some(before)) => place.as_slice() < before,
                (_, _) => true,
            })
            .collect();
        entries.reverse();
        Box::new(entries.into_iter())
    }

    fn apply(&self, puts: &[Put]) -> Result<(), EngineError> {
        let mut map = self.0.write().map_err(poisoned)?;
        for (place, value) in puts {
            match value {
                Some(value) => map.insert(place.clone(), value.clone()),
                None => map.remove(place),
            };
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), EngineError> {
        Ok(())
    }
}
