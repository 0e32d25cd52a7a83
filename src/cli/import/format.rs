//! Whose file it is, and the keys in it.

use std::collections::HashMap;
use std::path::Path;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::fields::{Fields, Problem};
use super::row::Row;
use super::source::{self, Source, Writing};
use super::{better_auth, kong, own, unkey};
use crate::cli::failure::Failure;
use crate::domain::clock::{Clock, SystemClock, Timestamp};
use crate::domain::digest::HashAlgorithm;
use crate::domain::import::Given;
use crate::domain::violation::Violations;
use crate::edge::pb;

/// Whose file it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum FormatFlag {
    /// Told by its name and its fields
    Auto,
    /// keyward's own columns, in CSV
    Csv,
    /// keyward's own fields, an object in each line
    Jsonl,
    /// Unkey's keys: rows of its database, or what its API gives or takes
    Unkey,
    /// Kong's key-auth: pages of its Admin API, or decK's file
    Kong,
    /// better-auth's table `apikey`
    BetterAuth,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Product {
    Own,
    Unkey,
    Kong,
    BetterAuth,
}

/// A column that is called otherwise in the file.
#[derive(Clone, Debug)]
pub(super) struct Renamed {
    ours: String,
    theirs: String,
}

impl Renamed {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        match text.split_once('=') {
            Some((ours, theirs)) if !ours.is_empty() && !theirs.is_empty() => Ok(Self {
                ours: ours.to_owned(),
                theirs: theirs.to_owned(),
            }),
            Some(_) | None => Err("expected `ours=theirs`, such as `token=api_key`"),
        }
    }
}

/// What keys get that say nothing of it themselves.
#[derive(Clone, Debug)]
pub(super) struct Defaults {
    pub(super) principal: Option<String>,
    pub(super) environment: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) scope_separator: Option<char>,
    pub(super) no_metadata: bool,
    /// Whether a `*` of another product's is one of ours.
    pub(super) wildcards: bool,
    /// Whether better-auth's keys are tokens, whatever they look like.
    pub(super) plain_keys: bool,
    /// When the file was made, in seconds since 1970.
    pub(super) exported_at: Option<i64>,
}

/// Reads the keys of a file, as often as it is asked to.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    source: Source,
    product: Product,
    map: Vec<Renamed>,
    ignore: Vec<String>,
    defaults: Defaults,
    now: Timestamp,
}

impl Reader {
    /// Opens a file and finds out whose it is.
    pub(super) fn open(
        path: &Path,
        format: FormatFlag,
        map: Vec<Renamed>,
        ignore: Vec<String>,
        defaults: Defaults,
    ) -> Result<Self, Failure> {
        let (writing, product) = match format {
            FormatFlag::Auto => (None, None),
            FormatFlag::Csv => (Some(Writing::Csv), Some(Product::Own)),
            FormatFlag::Jsonl => (Some(Writing::JsonLines), Some(Product::Own)),
            FormatFlag::Unkey => (None, Some(Product::Unkey)),
            FormatFlag::Kong => (None, Some(Product::Kong)),
            FormatFlag::BetterAuth => (None, Some(Product::BetterAuth)),
        };
        let source = Source::open(path, writing)?;
        let mut reader = Self {
            source,
            product: product.unwrap_or(Product::Own),
            map,
            ignore,
            defaults,
            now: SystemClock::default().now(),
        };
        if let Some(columns) = reader.source.columns()? {
            reader.refuse_headless(path, product, columns)?;
        }
        if product.is_none()
            && let Some(mut first) = source::first(&reader.source)?
        {
            reader.renamed(&mut first);
            reader.product = recognised(&first);
        }
        Ok(reader)
    }

    /// How a number of its keys is called.
    pub(super) fn place(&self) -> &'static str {
        self.source.place()
    }

    /// What the numbers of its keys depend on, and which of them are read.
    pub(super) fn fingerprint(&self) -> Result<Value, Failure> {
        let renamed = self.map.iter();
        let renamed: Vec<_> = renamed
            .map(|Renamed { ours, theirs }| format!("{ours}={theirs}"))
            .collect();
        Ok(json!({
            "file_sha256": self.source.fingerprint()?,
            "format": format!("{:?}, {:?}", self.product, self.source.writing),
            "map": renamed,
            "ignore": self.ignore,
        }))
    }

    /// Hands each key to `each`, until that fails.
    pub(super) fn read(
        &self,
        each: &mut dyn FnMut(Row) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.source.read(&mut |record| {
            let mut fields = Fields::of(record.object);
            self.renamed(&mut fields);
            let mut row = Row::default();
            row.key.number = record.number;
            match self.product {
                Product::Own => own::key(&mut fields, &mut row),
                Product::Unkey => unkey::key(&mut fields, &mut row),
                Product::Kong => kong::key(&mut fields, &mut row, self.defaults.exported_at),
                Product::BetterAuth => {
                    better_auth::key(&mut fields, &mut row, self.defaults.plain_keys);
                }
            }
            row.problems = fields.problems;
            if self.product != Product::Own && !self.defaults.wildcards {
                self.refuse_wildcards(&mut row);
            }
            self.complete(&mut row);
            each(row)
        })
    }

    /// Refuses a file of CSV that names no column of tokens: what is in its first
    /// line may be one, and is not told.
    fn refuse_headless(
        &self,
        path: &Path,
        product: Option<Product>,
        columns: Vec<String>,
    ) -> Result<(), Failure> {
        let named = columns.into_iter().map(|name| (name, Value::Bool(true)));
        let mut fields = Fields::of(named.collect());
        self.renamed(&mut fields);
        let credentials: &[&str] = match product {
            Some(Product::Own) => &["token", "sha256", "blake3"],
            Some(Product::Unkey) => &["hash", "plaintext"],
            Some(Product::Kong | Product::BetterAuth) => &["key"],
            None => &["token", "sha256", "blake3", "hash", "plaintext", "key"],
        };
        if credentials.iter().any(|name| fields.has(name)) {
            return Ok(());
        }
        let names = credentials.join(", ");
        let failure = Failure::usage(format!(
            "the first line of {} names no column of tokens, as which are known: {names}",
            path.display()
        ));
        Err(failure
            .note("Put the names of the columns there, or say by --map token=NAME which it is."))
    }

    fn renamed(&self, fields: &mut Fields) {
        for column in &self.ignore {
            fields.ignore(column);
        }
        for Renamed { ours, theirs } in &self.map {
            fields.rename(theirs, ours);
        }
    }

    /// Refuses what another product may have meant as it is written, and what
    /// would permit much here.
    fn refuse_wildcards(&self, row: &mut Row) {
        let separator = self.defaults.scope_separator.unwrap_or(':');
        let is_wild = |scope: &&String| {
            scope.as_str() == "ALL" || scope.split([':', separator]).any(|part| part == "*")
        };
        if row.key.scopes.iter().any(|scope| is_wild(&scope)) {
            let wild = "has a wildcard, which would permit all that it stands for here: say by --wildcards that it is meant so, or leave the field out by --ignore";
            row.problems.push(Problem::new("permissions", wild));
        }
    }

    /// Puts in what goes without saying.
    fn complete(&self, row: &mut Row) {
        let Defaults {
            principal,
            environment,
            scopes,
            scope_separator,
            no_metadata,
            ..
        } = &self.defaults;
        let key = &mut row.key;
        if key.principal.is_empty() {
            key.principal = principal.clone().unwrap_or_default();
        }
        if key.principal.is_empty() {
            let missing = "is not named; say by --principal who acts with such keys";
            row.problems.push(Problem::new("principal", missing));
        }
        if key.environment.is_empty() {
            key.environment = environment.clone().unwrap_or_default();
        }
        if key.scopes.is_empty() {
            key.scopes.clone_from(scopes);
        } else if let Some(separator) = scope_separator {
            for scope in &mut key.scopes {
                *scope = scope.replace(*separator, ":");
            }
        }
        if *no_metadata {
            key.metadata.clear();
        }
        let now = i64::try_from(self.now.as_micros() / 1_000_000).unwrap_or(i64::MAX);
        if key.expire_time.is_some_and(|time| time.seconds <= now) {
            row.skip = Some("expired");
        }
    }
}

/// Whose record it is, by the fields that only that product has.
fn recognised(first: &Fields) -> Product {
    let any = |names: &[&str]| names.iter().any(|name| first.has(name));
    if first.has("key")
        && any(&[
            "rate_limit_enabled",
            "request_count",
            "refill_interval",
            "reference_id",
        ])
    {
        Product::BetterAuth
    } else if first.has("key") && any(&["consumer", "ttl", "tags"]) {
        Product::Kong
    } else if any(&["hash", "plaintext"])
        && any(&[
            "key_auth_id",
            "key_space_id",
            "start",
            "external_id",
            "owner_id",
            "key_id",
            "meta",
            "permissions",
        ])
    {
        Product::Unkey
    } else {
        Product::Own
    }
}

/// The tokens that were seen in a file, by 16 bytes of their hashes.
#[derive(Default)]
pub(super) struct Seen(HashMap<[u8; 16], u64>);

impl Seen {
    /// What is wrong with a key whose token is another one's, too. What the
    /// token itself is worth, the server judges.
    pub(super) fn again(&mut self, row: &Row, place: &str) -> Option<Problem> {
        let (number, key) = (row.key.number, &row.key);
        let (given, field) = match &key.hash {
            None => (Given::Token(key.token.clone().into()), "token"),
            Some(hash) => (
                Given::Hash {
                    algorithm: match hash.algorithm() {
                        pb::HashAlgorithm::Blake3 => Some(HashAlgorithm::Blake3),
                        pb::HashAlgorithm::Sha256 | pb::HashAlgorithm::Unspecified => {
                            Some(HashAlgorithm::Sha256)
                        }
                    },
                    value: hash.value.clone().into(),
                    hint: String::new(),
                },
                "hash",
            ),
        };
        let mut violations = Violations::default();
        let Some(token) = given.read(&mut violations) else {
            let told = violations.iter().next()?;
            return Some(Problem::new(told.field.clone(), told.description.clone()));
        };
        let mut short = [0; 16];
        short.copy_from_slice(&token.hash[..16]);
        short[0] ^= u8::from(token.imported.form.algorithm() == HashAlgorithm::Blake3);
        let other = self.0.insert(short, number)?;
        let sentence = format!("is that of {place} {other}, too");
        Some(Problem::new(field, sentence))
    }
}
