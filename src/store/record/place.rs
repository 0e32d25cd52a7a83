//! Where things lie in the store.
//!
//! | place | what |
//! |---|---|
//! | `s` | the state of the whole store |
//! | `w/<workspace>` | a workspace, or what is left of one |
//! | `a/<admin key>` | an admin key |
//! | `k/<key>` | a key, or what is left of one |
//! | `c/<key>` | the credits of a key |
//! | `u/<key>` | how a key was used; of the key that nobody has, since when that is counted |
//! | `r/<request, in hex>` | a request to issue a key that may be repeated |
//! | `h/<chain>` | the newest link of an audit chain |
//! | `x/<chain>\0<sequence, 8 bytes big endian>` | a link of an audit chain |
//! | `p/<principal>` | a principal, or what is left of one |
//! | `m/<workspace>\0<principal>` | a principal's membership in a workspace |
//! | `n/<workspace>\0<key>` | nothing: it finds a workspace's keys in order |
//! | `q/<principal>\0<key>` | nothing: it finds a principal's keys in order |
//! | `v/<principal>\0<workspace>` | nothing: it finds a principal's memberships in order |
//! | `y/<number, 8 bytes big endian>` | the place of the link that is the event of this number |
//!
//! A chain is named by its workspace; the system's has an empty name.

use crate::domain::id::{KeyId, WorkspaceId};
use crate::store::{Record, RecordId};

/// Where the state of the whole store lies.
pub(in crate::store) const STATE: &[u8] = b"s";
/// What the places of workspaces start with.
pub(in crate::store) const WORKSPACES: &[u8] = b"w/";
/// What the places of admin keys start with.
pub(in crate::store) const ADMIN_KEYS: &[u8] = b"a/";
/// What the places of audit heads start with.
pub(in crate::store) const AUDIT_HEADS: &[u8] = b"h/";
/// What the places of keys start with.
pub(in crate::store) const KEYS: &[u8] = b"k/";

/// What the places of credits start with.
pub(in crate::store) const CREDITS: &[u8] = b"c/";
/// What the places of keys' usage start with.
pub(in crate::store) const USAGES: &[u8] = b"u/";
/// What the places of principals start with.
pub(in crate::store) const PRINCIPALS: &[u8] = b"p/";
/// What the places of memberships start with.
pub(in crate::store) const MEMBERSHIPS: &[u8] = b"m/";

/// What postings start with: of the keys of a workspace, of those of a
/// principal, and of the memberships of a principal.
pub(in crate::store) const POSTINGS: [&[u8]; 3] = [b"n/", b"q/", b"v/"];

/// What the places of repeatable requests start with.
pub(in crate::store) const REQUESTS: &[u8] = b"r/";
/// What the order of all audit events starts with.
pub(in crate::store) const AUDIT_ORDER: &[u8] = b"y/";

/// Where a record lies.
pub(in crate::store) fn place(id: &RecordId) -> Vec<u8> {
    match id {
        RecordId::Workspace(id) => format!("w/{id}"),
        RecordId::Key(id) => format!("k/{id}"),
        RecordId::AdminKey(id) => format!("a/{id}"),
        RecordId::Credits(id) => format!("c/{id}"),
        RecordId::Usage(id) => format!("u/{id}"),
        RecordId::Request(id) => format!("r/{id}"),
        RecordId::Principal(id) => format!("p/{id}"),
        RecordId::Membership(workspace, id) => format!("m/{workspace}\0{id}"),
    }
    .into_bytes()
}

/// Where a record can be found by other ways than its id.
pub(in crate::store) fn postings(record: &Record) -> Vec<Vec<u8>> {
    match record {
        Record::Key(key) => {
            let id = key.id.to_string();
            let of_workspace = key.workspace().map(postings_of);
            let of_principal = postings_of_principal(&key.principal);
            let lists = of_workspace.into_iter().chain([of_principal]);
            lists
                .map(|list| [list.as_slice(), id.as_bytes()].concat())
                .collect()
        }
        Record::Membership(membership) => {
            let list = memberships_of_principal(&membership.principal);
            vec![[list.as_slice(), membership.workspace.as_str().as_bytes()].concat()]
        }
        Record::Workspace(_)
        | Record::AdminKey(_)
        | Record::Credits(_)
        | Record::Usage(_)
        | Record::Request(_)
        | Record::Principal(_)
        | Record::Tombstone(_) => Vec::new(),
    }
}

/// What the postings of a principal's keys start with.
pub(in crate::store) fn postings_of_principal(principal: &str) -> Vec<u8> {
    format!("q/{principal}\0").into_bytes()
}

/// What the postings of a principal's memberships start with.
pub(in crate::store) fn memberships_of_principal(principal: &str) -> Vec<u8> {
    format!("v/{principal}\0").into_bytes()
}

/// What the places of the memberships in a workspace start with.
pub(in crate::store) fn memberships_of(workspace: &WorkspaceId) -> Vec<u8> {
    format!("m/{workspace}\0").into_bytes()
}

/// The workspace that a posting of a membership names.
pub(in crate::store) fn workspace_at(posting: &[u8]) -> Option<WorkspaceId> {
    let id = posting.rsplit(|&byte| byte == 0).next()?;
    std::str::from_utf8(id).ok()?.parse().ok()
}

/// What the postings of a workspace's keys start with.
pub(in crate::store) fn postings_of(workspace: &WorkspaceId) -> Vec<u8> {
    format!("n/{workspace}\0").into_bytes()
}

/// The key that a place under [`KEYS`], or a posting, is about.
pub(in crate::store) fn key_at(place: &[u8]) -> Option<KeyId> {
    let id = place.rsplit(|&byte| byte == 0 || byte == b'/').next()?;
    std::str::from_utf8(id).ok()?.parse().ok()
}

/// Where the newest link of a chain is noted.
pub(in crate::store) fn audit_head_place(chain: &str) -> Vec<u8> {
    format!("h/{chain}").into_bytes()
}

/// Where an event is noted by its number, so that all events can be read in the
/// order of commits. The chain and sequence are the value there.
pub(in crate::store) fn audit_order_place(number: u64) -> Vec<u8> {
    [AUDIT_ORDER, &number.to_be_bytes()].concat()
}

/// What the places of a chain's links start with.
pub(in crate::store) fn audit_links_of(chain: &str) -> Vec<u8> {
    format!("x/{chain}\0").into_bytes()
}

/// Where a link of a chain lies.
pub(in crate::store) fn audit_place(chain: &str, sequence: u64) -> Vec<u8> {
    let mut place = format!("x/{chain}\0").into_bytes();
    place.extend(sequence.to_be_bytes());
    place
}

/// The chain that the place of a link is of.
pub(in crate::store) fn chain_at(place: &[u8]) -> Option<&str> {
    let chain = place.strip_prefix(b"x/")?.split(|&byte| byte == 0).next()?;
    std::str::from_utf8(chain).ok()
}

/// A place as people read it.
pub(in crate::store) fn readable(place: &[u8]) -> String {
    place.escape_ascii().to_string()
}
