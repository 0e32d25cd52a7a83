//! The table of all settings: their names, their defaults, what they mean. The
//! flags, the variables, the file, its example and the documents follow it.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use super::draft::ClientCertificate;
use super::setting::{Kind, Preset, Setting};
use crate::edge::ext_authz::UndecidedAnswer;

/// A span that may be nothing at all.
const NOTHING: Duration = Duration::ZERO;
/// The least for what is done again and again.
const SECOND: Duration = Duration::from_secs(1);

/// The settings of one listener: its field in the draft and section of the
/// file, where it listens and what that may be, how calls are turned away, and
/// settings that it has beyond those of the others.
macro_rules! listener {
    ($field:ident, $listen:literal, $kind:expr, $where:literal, $turned_away:literal, [$($more:expr),*]) => {
        &[
            row(
                concat!(stringify!($field), ".listen"),
                concat!(stringify!($field), "-listen"),
                Preset::Is($listen),
                $kind,
                $where,
            ),
            $($more,)*
            row(
                concat!(stringify!($field), ".tls.certificate"),
                concat!(stringify!($field), "-tls-certificate"),
                absent("", concat!("/etc/keyward/", stringify!($field), ".crt")),
                Kind::File(|to, path| to.$field.certificate = Some(path)),
                "The listener's certificate chain, PEM, its own first; with it, the listener encrypts",
            ),
            row(
                concat!(stringify!($field), ".tls.key"),
                concat!(stringify!($field), "-tls-key"),
                absent("", concat!("/etc/keyward/", stringify!($field), ".key")),
                Kind::File(|to, path| to.$field.key = Some(path)),
                "The private key of the certificate, PEM",
            ),
            row(
                concat!(stringify!($field), ".tls.client_ca"),
                concat!(stringify!($field), "-tls-client-ca"),
                absent("", concat!("/etc/keyward/", stringify!($field), "-clients.crt")),
                Kind::File(|to, path| to.$field.client_ca = Some(path)),
                "Who signs the certificates of clients, PEM",
            ),
            row(
                concat!(stringify!($field), ".tls.client_certificate"),
                concat!(stringify!($field), "-tls-client-certificate"),
                Preset::Is("none"),
                Kind::Word(&[
                    ("none", |to| to.$field.client_certificate = ClientCertificate::None),
                    ("optional", |to| to.$field.client_certificate = ClientCertificate::Optional),
                    ("required", |to| to.$field.client_certificate = ClientCertificate::Required),
                ]),
                "Whether clients show a certificate: `none`, `optional` or `required`",
            ),
            row(
                concat!(stringify!($field), ".limits.max_connections"),
                concat!(stringify!($field), "-max-connections"),
                Preset::Is("10000"),
                Kind::Count(u32::MAX, |to, most| to.$field.limits.max_connections = size(most)),
                "Connections at a time; further ones are closed at once",
            ),
            row(
                concat!(stringify!($field), ".limits.max_calls"),
                concat!(stringify!($field), "-max-calls"),
                Preset::Is("10000"),
                Kind::Count(u32::MAX, |to, most| to.$field.limits.max_calls = size(most)),
                concat!("Calls under way at a time; further ones are ", $turned_away, " at once"),
            ),
            row(
                concat!(stringify!($field), ".limits.max_streams"),
                concat!(stringify!($field), "-max-streams"),
                Preset::Is("1024"),
                Kind::Count(u32::MAX, |to, most| to.$field.limits.max_streams = most.get()),
                "Calls under way at a time on one connection; the client waits with further ones",
            ),
            row(
                concat!(stringify!($field), ".limits.max_connection_age"),
                concat!(stringify!($field), "-max-connection-age"),
                Preset::Is("never"),
                Kind::SpanOrNever(SECOND, |to, age| to.$field.limits.max_connection_age = age),
                "The age at which a connection's client is told to open another, or `never`",
            ),
            row(
                concat!(stringify!($field), ".limits.max_connection_age_grace"),
                concat!(stringify!($field), "-max-connection-age-grace"),
                Preset::Is("30s"),
                Kind::Span(NOTHING, |to, span| to.$field.limits.max_connection_age_grace = span),
                "How long calls may go on after that",
            ),
            row(
                concat!(stringify!($field), ".limits.keepalive_interval"),
                concat!(stringify!($field), "-keepalive-interval"),
                Preset::Is("1m"),
                Kind::Span(SECOND, |to, span| to.$field.limits.keepalive_interval = span),
                "How long a silent connection is left alone before it is pinged",
            ),
            row(
                concat!(stringify!($field), ".limits.keepalive_timeout"),
                concat!(stringify!($field), "-keepalive-timeout"),
                Preset::Is("20s"),
                Kind::Span(SECOND, |to, span| to.$field.limits.keepalive_timeout = span),
                "How long the answer to a ping may take",
            ),
            row(
                concat!(stringify!($field), ".limits.receive_timeout"),
                concat!(stringify!($field), "-receive-timeout"),
                Preset::Is("10s"),
                Kind::Span(SECOND, |to, span| to.$field.limits.receive_timeout = span),
                "How long a client may take to shake hands, and to send a request whole",
            ),
        ]
    };
}

/// Where the store lies and how it is kept.
const STORE: &[Setting] = &[
    row(
        "store.data_dir",
        "data-dir",
        Preset::Is("./keyward-data"),
        Kind::Folder(|to, path| to.data_dir = path),
        "The data folder; the store is in `store` in it",
    ),
    row(
        "store.guard_dir",
        "guard-dir",
        absent("`guard` in the data folder", "/etc/keyward/guard"),
        Kind::Folder(|to, path| to.guard_dir = Some(path)),
        "The folder of the pepper and the guard file, which backups of the store must not hold",
    ),
    row(
        "store.lost_grace",
        "store-lost-grace",
        Preset::Is("5m"),
        Kind::Span(NOTHING, |to, span| to.lost_grace = span),
        "How long checks are answered from memory after the store has failed",
    ),
    row(
        "store.key_retention",
        "key-retention",
        Preset::Is("30d"),
        Kind::Span(NOTHING, |to, span| to.key_retention = span),
        "How long a revoked key is kept before it can be deleted",
    ),
];

const CHECK: &[Setting] = listener!(
    check,
    "127.0.0.1:50051",
    Kind::Address(|to, address| to.check.listen = address),
    "Where checks are answered: `HOST:PORT` or `unix:PATH`",
    "UNAVAILABLE",
    [row(
        "check.threads",
        "check-threads",
        absent("one per core", "4"),
        Kind::Count(1_024, |to, threads| to.threads =
            NonZeroUsize::try_from(threads).ok()),
        "How many threads answer checks",
    )]
);

const ADMIN: &[Setting] = listener!(
    admin,
    "127.0.0.1:50052",
    Kind::Address(|to, address| to.admin.listen = address),
    "Where admin calls are answered: `HOST:PORT` or `unix:PATH`",
    "UNAVAILABLE",
    []
);

const HTTP: &[Setting] = listener!(
    http,
    "127.0.0.1:8080",
    Kind::AddressOrOff(|to, address| {
        to.http_off = address.is_none();
        to.http.listen = address.unwrap_or_default();
    }),
    "Where gateways ask over plain HTTP, and probes: `HOST:PORT`, `unix:PATH` or `off`",
    "answered 503",
    [
        row(
            "http.trusted_gateways",
            "http-trusted-gateways",
            Preset::Is("127.0.0.0/8 ::1"),
            Kind::Networks(|to, networks| to.trusted_gateways = networks),
            "Whose word is taken for where a request comes from: networks, with spaces in between, or \
             `none`; whoever comes by a unix socket is trusted",
        ),
        row(
            "http.source_header",
            "http-source-header",
            Preset::Is("x-forwarded-for"),
            Kind::SourceHeader(|to, name| to.source_header = Some(name)),
            "The header in which they say so: addresses, of which the rightmost that is not theirs counts",
        )
    ]
);

/// For those who watch a server.
const METRICS: &[Setting] = &[row(
    "metrics.listen",
    "metrics-listen",
    absent("where `http.listen` says", "127.0.0.1:9090"),
    Kind::Address(|to, address| to.metrics = Some(address)),
    "Where metrics and probes are answered apart from gateways, in clear: `HOST:PORT` or `unix:PATH`",
)];

/// What is kept of how keys are used.
const USAGE: &[Setting] = &[
    row(
        "usage.count",
        "no-usage",
        Preset::Is("true"),
        Kind::Negated(|to, on| to.usage.counted = on),
        "Whether uses of keys are counted; flag and variable switch it off",
    ),
    row(
        "usage.addresses",
        "no-usage-addresses",
        Preset::Is("true"),
        Kind::Negated(|to, on| to.usage.addresses = on),
        "Whether the address of each key's last use is kept; flag and variable switch it off",
    ),
    row(
        "usage.write_interval",
        "usage-write-interval",
        Preset::Is("1m"),
        Kind::Span(SECOND, |to, span| to.usage_write_interval = span),
        "How often what was counted is written to the store; a crash loses as much",
    ),
];

/// A header by which upstreams are told who calls.
macro_rules! header {
    ($field:ident, $name:literal, $told:literal) => {
        row(
            concat!("gateway.headers.", stringify!($field)),
            concat!("gateway-header-", $name),
            Preset::Is(concat!("x-keyward-", $name)),
            Kind::Header(|to, name| to.gateway.headers.$field = name),
            concat!(
                "The header by which upstreams are told ",
                $told,
                ", or `none`"
            ),
        )
    };
}

/// What gateways are told that do not speak keyward's own API.
const GATEWAY: &[Setting] = &[
    row(
        "gateway.routes",
        "routes",
        absent("", "/etc/keyward/routes.toml"),
        Kind::File(|to, path| to.routes = Some(path)),
        "The file of routes: what each request of a gateway needs; one that no route matches is denied",
    ),
    row(
        "gateway.undecided",
        "gateway-undecided",
        Preset::Is("unavailable"),
        Kind::Word(&[
            ("unavailable", |to| {
                to.gateway.undecided = UndecidedAnswer::Unavailable
            }),
            ("error-response", |to| {
                to.gateway.undecided = UndecidedAnswer::ErrorResponse
            }),
        ]),
        "What Envoy is answered where there is no verdict: `unavailable`, an RPC error, or `error-response`",
    ),
    header!(key_id, "key-id", "which key it is"),
    header!(principal, "principal", "who acts with the key"),
    header!(
        workspace,
        "workspace",
        "the workspace that a request is for"
    ),
    header!(environment, "environment", "the environment of the key"),
    header!(scopes, "scopes", "what the key may do"),
];

/// What concerns all listeners.
const SERVER: &[Setting] = &[
    row(
        "server.encrypted_elsewhere",
        "encrypted-elsewhere",
        Preset::Is("false"),
        Kind::Switch(|to, on| to.encrypted_elsewhere = on),
        "Something else encrypts what goes to listeners that other machines can reach; without this, \
         such listeners are refused unless they encrypt by themselves",
    ),
    row(
        "server.reflection",
        "no-reflection",
        Preset::Is("true"),
        Kind::Negated(|to, on| to.reflection = on),
        "Whether the listeners tell clients of the API's schema; flag and variable switch it off",
    ),
    row(
        "server.drain_timeout",
        "drain-timeout",
        Preset::Is("10s"),
        Kind::Span(NOTHING, |to, span| to.drain_timeout = span),
        "How long calls under way may take once the server is told to stop",
    ),
];

const LOG: &[Setting] = &[
    row(
        "log.format",
        "log-format",
        Preset::Is("text"),
        Kind::Word(&[
            ("text", |to| to.log_as_json = false),
            ("json", |to| to.log_as_json = true),
        ]),
        "The form of the log on stderr: `text`, or `json`, one object a line",
    ),
    row(
        "log.filter",
        "log",
        Preset::Is("info"),
        Kind::Filter(|to, filter| to.log_filter = filter),
        "What is logged: a level, or a filter such as `info,keyward::store=debug`",
    ),
];

/// All settings, section by section.
pub fn settings() -> impl Iterator<Item = &'static Setting> + Clone {
    [
        STORE, USAGE, CHECK, ADMIN, HTTP, METRICS, GATEWAY, SERVER, LOG,
    ]
    .into_iter()
    .flatten()
}

const fn row(
    key: &'static str,
    flag: &'static str,
    preset: Preset,
    kind: Kind,
    meaning: &'static str,
) -> Setting {
    Setting {
        key,
        flag,
        preset,
        meaning,
        kind,
    }
}

const fn absent(told: &'static str, sample: &'static str) -> Preset {
    Preset::Absent { told, sample }
}

fn size(number: NonZeroU32) -> usize {
    usize::try_from(number.get()).unwrap_or(usize::MAX)
}
