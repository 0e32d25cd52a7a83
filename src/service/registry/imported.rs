//! What is known of a token of another product: whether it was imported before,
//! and whether it is a hash that must not work as a token.

use crate::domain::digest::{HashAlgorithm, TokenDigest};
use crate::domain::id::WorkspaceId;
use crate::domain::import::{ForeignToken, ImportDraft, texts_of};
use crate::domain::request::IssueRequest;
use crate::domain::tombstone::{Buried, Tombstone};
use crate::domain::violation::Violations;
use crate::store::{Expect, Record, RecordId, Requirement};
use zeroize::Zeroizing;

use super::super::error::{Kind, RegistryError};
use super::Registry;
use super::import::ImportOutcome;
use super::requests::Identified;

/// What a token is known by.
pub(super) struct Known {
    pub(super) digest: TokenDigest,
    pub(super) request: Identified,
    /// The same token, if it had come as a hash of the other algorithm.
    pub(super) otherwise: Option<Identified>,
}

impl Known {
    pub(super) fn new(registry: &Registry, token: &ForeignToken, draft: &ImportDraft) -> Self {
        let of = |digest: &TokenDigest| {
            registry
                .requests
                .identify_import(digest, draft, &token.imported)
        };
        let algorithm = token.imported.form.algorithm();
        let digest = registry.hasher.imported(algorithm, &token.hash);
        let otherwise = token.otherwise.as_ref();
        Self {
            request: of(&digest),
            otherwise: otherwise
                .map(|(algorithm, hash)| of(&registry.hasher.imported(*algorithm, hash))),
            digest,
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Identified> {
        [&self.request].into_iter().chain(&self.otherwise)
    }
}

impl Registry {
    /// What became of a token when it was imported before; none, if it was not.
    pub(super) async fn imported_before(
        &self,
        own: &WorkspaceId,
        request: &Identified,
    ) -> Result<Option<ImportOutcome>, RegistryError> {
        let found = self.read(request.record(), Kind::Key, "").await?;
        let Some(Record::Request(carried_out)) = found.map(|found| found.record) else {
            return Ok(None);
        };
        let IssueRequest { key, .. } = carried_out;
        let found = self
            .read(RecordId::Key(key), Kind::Key, &key.to_string())
            .await?;
        let reserved = |workspace| ImportOutcome::Reserved {
            key: (workspace == Some(own)).then_some(key),
        };
        Ok(Some(match found.map(|found| found.record) {
            Some(Record::Key(found))
                if found.workspace() == Some(own) && found.revocation.is_none() =>
            {
                let differs = !request.is_like(&carried_out);
                ImportOutcome::Already { key, differs }
            }
            Some(Record::Key(found)) => reserved(found.workspace()),
            Some(Record::Tombstone(Tombstone {
                of: Buried::Key { workspace, .. },
                ..
            })) => reserved(workspace.as_ref()),
            // A key leaves its record, or a tombstone.
            Some(_) | None => return Err(RegistryError::Internal),
        }))
    }

    /// A hash that somebody stores must not work as a token, in whichever order
    /// the two are imported: who reads the one would have the other. So a change
    /// that imports either requires what is returned: that the other is not
    /// there. What is there is read only to `look` why a commit has found it so.
    pub(super) async fn no_hash_as_token(
        &self,
        token: &ForeignToken,
        draft: &ImportDraft,
        look: bool,
    ) -> Result<Vec<Requirement>, RegistryError> {
        let mut requires = Vec::new();
        for digest in self.other_readings(token) {
            let request = self
                .requests
                .identify_import(&digest, draft, &token.imported);
            let id = request.record();
            if look && let Some(works) = self.works_as(id.clone(), &digest).await? {
                if works {
                    return Err(one_too_many(token).into());
                }
                // It never will again, whatever it was.
                continue;
            }
            let expect = Expect::Absent;
            requires.push(Requirement::Record { id, expect });
        }
        Ok(requires)
    }

    /// What the token would be known by whose hash this token's text may be, or
    /// those whose text this hash may be.
    fn other_readings(&self, token: &ForeignToken) -> Vec<TokenDigest> {
        let all = HashAlgorithm::ALL;
        if let Some(hash) = &token.reads_as {
            let of_hash = all.map(|algorithm| self.hasher.imported(algorithm, hash));
            return of_hash.to_vec();
        }
        if token.otherwise.is_some() {
            return Vec::new();
        }
        let of_text = |text: &str| {
            all.map(|algorithm| {
                let hash = Zeroizing::new(algorithm.hash(text.as_bytes()));
                self.hasher.imported(algorithm, &hash)
            })
        };
        texts_of(&token.hash)
            .flat_map(|text| of_text(&text))
            .collect()
    }

    /// Whether what was imported as this lets anybody in; none, if nothing was.
    async fn works_as(
        &self,
        request: RecordId,
        digest: &TokenDigest,
    ) -> Result<Option<bool>, RegistryError> {
        let found = self.read(request, Kind::Key, "").await?;
        let Some(Record::Request(carried_out)) = found.map(|found| found.record) else {
            return Ok(None);
        };
        let key = carried_out.key;
        let found = self
            .read(RecordId::Key(key), Kind::Key, &key.to_string())
            .await?;
        let Some(Record::Key(found)) = found.map(|found| found.record) else {
            return Ok(Some(false));
        };
        let mut secrets = found.secrets.iter();
        let has_it = secrets.any(|secret| secret.digest == *digest);
        Ok(Some(has_it && found.revocation.is_none()))
    }
}

fn one_too_many(token: &ForeignToken) -> Violations {
    if token.reads_as.is_some() {
        return Violations::of(
            "token",
            "is the hash of a token that was imported: give it as `hash`, if it is meant to be one",
        );
    }
    Violations::of(
        "hash.value",
        "was imported as a token before, by mistake, and works as one: revoke that key first",
    )
}
