//! The pager: lists, page by page, in the order of ids, with bounded work for
//! each page.

use std::sync::Arc;

use crate::domain::scope::ScopeSet;
use crate::domain::violation::Violations;
use crate::store::{List, Record, RecordId, Revision, Versioned};

use super::super::error::{Kind, RegistryError};
use super::super::page;
use super::{Registry, blocking};

/// How many records are looked at for one page at most, whether or not they
/// are shown: a filter that few keys fit must not make one call read them all.
pub(super) const MAX_LOOKED_AT: usize = 500;

/// How long all that is looked at for one page may be together, in bytes: five
/// hundred ordinary keys fit, and of the largest as many as cost no more to
/// read. A reply is well below what gRPC clients take in one message.
pub(super) const MAX_LOOKED_AT_LEN: usize = 256 * 1024;

/// How many records are read at a time, so that few are read in vain where
/// the page ends before the last of them.
pub(super) const CHUNK: usize = 64;

/// Which page of a list.
#[derive(Clone, Debug, Default)]
pub struct PageQuestion {
    /// How many at most; 0: as many as usual.
    pub size: i32,
    /// Where to go on; empty: from the start.
    pub token: String,
}

/// Some of the items of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The items, in order.
    pub items: Vec<T>,
    /// Where the next page starts; empty: there is none.
    pub next_page_token: String,
}

/// What a walk goes through.
pub(super) struct Walk {
    /// What its page tokens are good for.
    pub(super) name: String,
    /// The records that it passes.
    pub(super) list: List,
    /// Whether many of them are not shown.
    pub(super) filtered: bool,
}

impl Registry {
    /// One page of `walk`: what `keep` makes of its records.
    pub(super) async fn walk<T>(
        &self,
        walk: &Walk,
        question: &PageQuestion,
        keep: impl Fn(Versioned) -> Option<T>,
    ) -> Result<Page<T>, RegistryError> {
        let (size, after) = self.read_question(&walk.name, question)?;
        let mut last = after.map(|PassedId(id)| id);
        let mut left = if walk.filtered { MAX_LOOKED_AT } else { size };
        let (mut items, mut length) = (Vec::new(), 0);
        'page: loop {
            let wanted = left.min(CHUNK);
            // One more than is looked at tells whether there is more.
            let chunk = self.chunk(&walk.list, last.clone(), wanted + 1).await?;
            let is_last = chunk.len() <= wanted;
            for found in chunk.into_iter().take(wanted) {
                if items.len() == size || length > MAX_LOOKED_AT_LEN {
                    break 'page;
                }
                left -= 1;
                length += text_len(&found.record);
                last = Some(found.record.id());
                items.extend(keep(found));
            }
            if is_last {
                last = None;
                break;
            }
            if left == 0 {
                break;
            }
        }
        let next_page_token = match last {
            Some(last) => self.pager.token(&walk.name, &PassedId(last).to_string()),
            None => String::new(),
        };
        Ok(Page {
            items,
            next_page_token,
        })
    }

    /// Some records of `list` from behind `after` on, which every check judges
    /// by.
    async fn chunk(
        &self,
        list: &List,
        after: Option<RecordId>,
        limit: usize,
    ) -> Result<Vec<Versioned>, RegistryError> {
        let (store, list) = (Arc::clone(&self.store), list.clone());
        let records = blocking(move || store.list(&list, after.as_ref(), limit))
            .await?
            .map_err(|error| RegistryError::from_store(&error, Kind::Key, ""))?;
        let newest = records.iter().map(|found| found.revision).max();
        self.settled(newest.unwrap_or(Revision(0))).await?;
        Ok(records)
    }

    /// The size of the page that was asked for, and where it starts.
    pub(super) fn read_question<T: std::str::FromStr>(
        &self,
        list: &str,
        question: &PageQuestion,
    ) -> Result<(usize, Option<T>), RegistryError> {
        let mut violations = Violations::default();
        let size = page::size(question.size);
        if size.is_none() {
            violations.add("page_size", "is negative; leave it out for the default");
        }
        let after = match question.token.as_str() {
            "" => None,
            token => {
                let after = self.pager.read(list, token);
                if after.is_none() {
                    violations.add(
                        "page_token",
                        "is not one that was given for this list; start from the first page",
                    );
                }
                after
            }
        };
        violations.none()?;
        Ok((size.unwrap_or_default(), after))
    }
}

/// The id of the record that a page ended with, as a page token holds it.
struct PassedId(RecordId);

impl std::fmt::Display for PassedId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            RecordId::Workspace(id) => write!(f, "w/{id}"),
            RecordId::Key(id) => write!(f, "k/{id}"),
            RecordId::AdminKey(id) => write!(f, "a/{id}"),
            RecordId::Credits(id) => write!(f, "c/{id}"),
            RecordId::Usage(id) => write!(f, "u/{id}"),
            RecordId::Request(id) => write!(f, "r/{id}"),
            RecordId::Principal(id) => write!(f, "p/{id}"),
            RecordId::Membership(workspace, id) => write!(f, "m/{workspace}\0{id}"),
        }
    }
}

impl std::str::FromStr for PassedId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let read = match text.split_at_checked(2).ok_or(())? {
            ("w/", id) => id.parse().map(RecordId::Workspace),
            ("k/", id) => id.parse().map(RecordId::Key),
            ("a/", id) => id.parse().map(RecordId::AdminKey),
            ("p/", id) => Ok(RecordId::Principal(id.to_owned())),
            ("m/", ids) => {
                let (workspace, id) = ids.split_once('\0').ok_or(())?;
                let workspace = workspace.parse();
                workspace.map(|workspace| RecordId::Membership(workspace, id.to_owned()))
            }
            (_, _) => return Err(()),
        };
        read.map(Self).map_err(|_| ())
    }
}

/// About how long a record is on the wire, in bytes.
fn text_len(record: &Record) -> usize {
    /// Ids, names, times, hint, environments, note, credits, tags and lengths.
    const FIXED: usize = 460;
    let scopes = |scopes: &ScopeSet| -> usize {
        let lengths = scopes.iter().map(|scope| scope.as_str().len() + 2);
        lengths.sum()
    };
    FIXED
        + match record {
            Record::Key(key) => {
                let metadata = key.metadata.iter();
                let metadata = metadata.map(|(name, value)| name.len() + value.len() + 6);
                let note = key.revocation.as_ref().map_or(0, |end| end.note.len());
                key.name.len()
                    + key.description.len()
                    + key.principal.len()
                    + scopes(&key.scopes)
                    + metadata.sum::<usize>()
                    + note
            }
            Record::Workspace(workspace) => scopes(workspace.scope_catalog.scopes()),
            Record::AdminKey(admin) => scopes(&admin.grant_ceiling),
            Record::Principal(principal) => {
                principal.id.len() + principal.display_name.len() + principal.description.len()
            }
            Record::Membership(membership) => {
                membership.principal.len() + scopes(&membership.scope_ceiling)
            }
            Record::Tombstone(_) | Record::Credits(_) | Record::Usage(_) | Record::Request(_) => 0,
        }
}
