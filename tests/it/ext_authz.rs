//! Envoy's question, asked of the real program as Envoy asks it: what is let
//! through, with what, and what is not.

mod credentials;
mod denials;
mod laws;
mod policies;
mod routes;

use std::collections::BTreeMap;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::address::Address as OneOf;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{
    Address, HeaderMap, HeaderValue, HeaderValueOption, SocketAddress,
};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use envoy_types::pb::google::protobuf::Struct;
use envoy_types::pb::google::protobuf::value::Kind;
use keyward::edge::pb::CreateKeyRequest;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::limits::limits;
use crate::support::{self, Server, key_request};

/// A request that Envoy asks about.
#[derive(Clone, Default)]
pub(crate) struct Ask(CheckRequest);

impl Ask {
    /// One with these headers, each name once, as Envoy merges them.
    pub(crate) fn with(headers: &[(&str, &str)]) -> Self {
        let mut ask = Self::default();
        let http = ask.http();
        http.method = "GET".to_owned();
        http.path = "/v1/people?page=2".to_owned();
        http.host = "api.test".to_owned();
        http.headers = owned(headers).collect();
        ask
    }

    /// One with these headers, each as it came.
    fn raw(headers: &[(&str, &[u8])]) -> Self {
        let mut ask = Self::with(&[]);
        let value = |(key, value): &(&str, &[u8])| HeaderValue {
            key: (*key).to_owned(),
            raw_value: value.to_vec(),
            ..HeaderValue::default()
        };
        ask.http().header_map = Some(HeaderMap {
            headers: headers.iter().map(value).collect(),
        });
        ask
    }

    /// One with this token after `Bearer`.
    pub(crate) fn bearer(token: &str) -> Self {
        Self::with(&[("authorization", &format!("Bearer {token}"))])
    }

    /// On a route whose configuration says this.
    pub(crate) fn on(mut self, extensions: &[(&str, &str)]) -> Self {
        self.attributes().context_extensions = owned(extensions).collect();
        self
    }

    /// From this address.
    fn at(mut self, ip: &str) -> Self {
        let address = OneOf::SocketAddress(SocketAddress {
            address: ip.to_owned(),
            ..SocketAddress::default()
        });
        self.attributes().source = Some(Peer {
            address: Some(Address {
                address: Some(address),
            }),
            ..Peer::default()
        });
        self
    }

    fn attributes(&mut self) -> &mut AttributeContext {
        self.0.attributes.get_or_insert_default()
    }

    fn http(&mut self) -> &mut HttpRequest {
        let request: &mut Request = self.attributes().request.get_or_insert_default();
        request.http.get_or_insert_default()
    }
}

fn owned<'a>(pairs: &'a [(&str, &str)]) -> impl Iterator<Item = (String, String)> + 'a {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
}

/// Envoy.
#[derive(Clone)]
pub(crate) struct Envoy(AuthorizationClient<Channel>);

impl Envoy {
    pub(crate) async fn of(server: &Server) -> Self {
        Self(AuthorizationClient::new(
            support::connect(&server.check_address).await,
        ))
    }

    pub(crate) fn over(channel: Channel) -> Self {
        Self(AuthorizationClient::new(channel))
    }

    pub(crate) async fn ask(&mut self, ask: &Ask) -> Result<Answer, Status> {
        let reply = self.0.check(ask.0.clone()).await?;
        Ok(Answer::of(reply.into_inner()))
    }

    /// The same, with a deadline.
    pub(crate) async fn ask_within(
        &mut self,
        ask: &Ask,
        deadline: Duration,
    ) -> Result<Answer, Status> {
        let mut request = tonic::Request::new(ask.0.clone());
        request.set_timeout(deadline);
        let reply = self.0.check(request).await?;
        Ok(Answer::of(reply.into_inner()))
    }

    /// What lets it through.
    async fn passes(&mut self, ask: &Ask) -> Passage {
        match self.ask(ask).await.unwrap() {
            Answer::Allowed(passage) => passage,
            other @ (Answer::Denied(_) | Answer::Failed(_)) => panic!("{other:?}"),
        }
    }

    /// What the client is told.
    async fn denies(&mut self, ask: &Ask) -> Refusal {
        match self.ask(ask).await.unwrap() {
            Answer::Denied(refusal) => refusal,
            other @ (Answer::Allowed(_) | Answer::Failed(_)) => panic!("{other:?}"),
        }
    }

    /// Why it is denied, for logs.
    async fn reason(&mut self, ask: &Ask) -> String {
        self.denies(ask).await.told["reason"].clone()
    }
}

/// Headers by name, of which none comes twice.
type Named = BTreeMap<String, String>;

/// What Envoy makes of an answer.
#[derive(Debug)]
pub(crate) enum Answer {
    Allowed(Passage),
    Denied(Refusal),
    /// It treats the check as failed.
    Failed(Refusal),
}

#[derive(Debug)]
pub(crate) struct Passage {
    /// Each replaces those of the client.
    set: Named,
    remove: Vec<String>,
    respond: Named,
    metadata: Option<Struct>,
}

#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) status: i32,
    pub(crate) headers: Named,
    pub(crate) body: String,
    /// Metadata, of texts alone.
    pub(crate) told: Named,
}

impl Answer {
    /// As Envoy reads it: what has no status passes, whatever else it has.
    fn of(response: CheckResponse) -> Self {
        let status = response.status.expect("an answer has a status");
        let code = Code::from_i32(status.code);
        let metadata = response.dynamic_metadata;
        let refusal =
            |http: envoy_types::pb::envoy::service::auth::v3::DeniedHttpResponse| Refusal {
                code,
                status: http.status.unwrap().code,
                headers: named(&http.headers, false),
                body: http.body,
                told: metadata.iter().flat_map(texts).collect(),
            };
        match response.http_response.expect("an answer says what to do") {
            HttpResponse::OkResponse(ok) => {
                assert_eq!(code, Code::Ok);
                let passage = Passage {
                    set: named(&ok.headers, false),
                    remove: ok.headers_to_remove,
                    respond: named(&ok.response_headers_to_add, true),
                    metadata,
                };
                // Envoy removes after it has set.
                assert!(
                    passage
                        .remove
                        .iter()
                        .all(|name| !passage.set.contains_key(name))
                );
                Self::Allowed(passage)
            }
            HttpResponse::DeniedResponse(http) => {
                assert_ne!(code, Code::Ok);
                Self::Denied(refusal(http))
            }
            HttpResponse::ErrorResponse(http) => {
                assert_ne!(code, Code::Ok);
                Self::Failed(refusal(http))
            }
        }
    }
}

#[expect(deprecated, reason = "older ones know nothing else")]
fn named(options: &[HeaderValueOption], appended: bool) -> Named {
    let mut named = Named::new();
    for option in options {
        let action = if appended {
            HeaderAppendAction::AppendIfExistsOrAdd
        } else {
            HeaderAppendAction::OverwriteIfExistsOrAdd
        };
        assert_eq!(option.append_action(), action);
        assert_eq!(option.append.as_ref().unwrap().value, appended);
        let HeaderValue { key, value, .. } = option.header.clone().unwrap();
        assert!(http::HeaderValue::from_str(&value).is_ok(), "{value}");
        assert_eq!(named.insert(key, value), None, "a header comes twice");
    }
    named
}

fn texts(of: &Struct) -> impl Iterator<Item = (String, String)> + '_ {
    of.fields
        .iter()
        .filter_map(|(name, value)| match &value.kind {
            Some(Kind::StringValue(text)) => Some((name.clone(), text.clone())),
            _ => None,
        })
}

const IDENTITY: [&str; 5] = [
    "x-keyward-key-id",
    "x-keyward-principal",
    "x-keyward-workspace",
    "x-keyward-environment",
    "x-keyward-scopes",
];

#[tokio::test(flavor = "multi_thread")]
async fn who_passes_is_told_to_the_upstream_and_to_other_filters() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &["live", "test"]).await;
    let request = CreateKeyRequest {
        name: "CRM sync".to_owned(),
        principal: "Ada Lovelace (50%), jos\u{e9}".to_owned(),
        metadata: [("team".to_owned(), "d\u{e4}ta".to_owned())].into(),
        limits: limits(&["read=5/3600", "slow=9/60"]),
        ..key_request("kling", &["people:read", "companies:*"])
    };
    let issued = admin.client.create_key(request).await.unwrap().into_inner();
    let id = issued.key.unwrap().id;

    let mut envoy = Envoy::of(&server).await;
    let ask = Ask::bearer(&issued.token).on(&[("limits", "read"), ("cost", "2")]);
    let passage = envoy.passes(&ask).await;
    let expected = [
        ("x-keyward-key-id", id.as_str()),
        (
            "x-keyward-principal",
            "Ada%20Lovelace%20(50%25)%2C%20jos%C3%A9",
        ),
        ("x-keyward-workspace", "kling"),
        ("x-keyward-environment", "live"),
        ("x-keyward-scopes", "companies:* people:read"),
    ];
    assert_eq!(passage.set, owned(&expected).collect());
    assert_eq!(passage.remove, ["authorization"]);
    let respond = [
        ("ratelimit-policy", "\"read\";q=5;w=3600"),
        ("ratelimit", passage.respond["ratelimit"].as_str()),
    ];
    assert_eq!(passage.respond, owned(&respond).collect());
    assert!(passage.respond["ratelimit"].starts_with("\"read\";r=3;t="));

    let metadata = passage.metadata.unwrap();
    let told: Named = texts(&metadata).collect();
    let expected = [
        ("key_id", id.as_str()),
        ("key_name", "CRM sync"),
        ("principal", "Ada Lovelace (50%), jos\u{e9}"),
        ("workspace", "kling"),
        ("environment", "live"),
    ];
    assert_eq!(told, owned(&expected).collect());
    let Some(Kind::ListValue(scopes)) = &metadata.fields["scopes"].kind else {
        panic!("{metadata:?}")
    };
    assert_eq!(scopes.values.len(), 2);
    let Some(Kind::StructValue(of_key)) = &metadata.fields["metadata"].kind else {
        panic!("{metadata:?}")
    };
    assert_eq!(
        texts(of_key).collect::<Named>(),
        owned(&[("team", "d\u{e4}ta")]).collect()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_of_its_identity_is_taken_off() {
    let server = Server::start();
    let mut admin = server.admin().await;
    admin.workspace("plain", "pln", &[]).await;
    let token = admin.key("plain", &[]).await.token;
    let mut envoy = Envoy::of(&server).await;
    let bearer = format!("Bearer {token}");
    let mut headers: Vec<_> = IDENTITY.iter().map(|name| (*name, "root")).collect();
    headers.push(("authorization", bearer.as_str()));
    // Neither an environment nor a scope is there to be told.
    let passage = envoy.passes(&Ask::with(&headers)).await;
    let set: Vec<_> = passage.set.keys().map(String::as_str).collect();
    assert_eq!(
        set,
        [
            "x-keyward-key-id",
            "x-keyward-principal",
            "x-keyward-workspace"
        ]
    );
    assert_eq!(
        passage.remove,
        ["x-keyward-environment", "x-keyward-scopes", "authorization"]
    );
    assert!(passage.set.values().all(|value| value != "root"));

    // Where nobody is asked for, nobody is.
    let preflight = [
        ("origin", "https://app.test"),
        ("access-control-request-method", "GET"),
        ("x-keyward-principal", "root"),
    ];
    let mut ask = Ask::with(&preflight).on(&[("preflights", "public")]);
    ask.http().method = "OPTIONS".to_owned();
    let passage = envoy.passes(&ask).await;
    assert_eq!(passage.set, Named::new());
    assert_eq!(passage.remove, IDENTITY);
    assert!(passage.metadata.is_none());
    let mut closed = ask.clone().on(&[]);
    assert_eq!(envoy.reason(&closed).await, "MISSING");
    closed = ask;
    closed.http().method = "GET".to_owned();
    assert_eq!(envoy.reason(&closed).await, "MISSING");
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_are_told_by_the_headers_that_were_chosen() {
    let site = support::Site::init();
    let mut command = site.serve_command();
    command.args([
        "--gateway-header-principal",
        "X-Consumer",
        "--gateway-header-scopes",
        "none",
    ]);
    let server = Server::spawn(site, command).unwrap();
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let token = admin.key("kling", &["*"]).await.token;
    let passage = Envoy::of(&server).await.passes(&Ask::bearer(&token)).await;
    let set: Vec<_> = passage.set.keys().map(String::as_str).collect();
    assert_eq!(
        set,
        ["x-consumer", "x-keyward-key-id", "x-keyward-workspace"]
    );
    assert_eq!(passage.remove, ["x-keyward-environment", "authorization"]);
}
