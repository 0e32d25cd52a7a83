//! The reader beside the generated one, and what it makes of odd messages.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::address::Address as OneOf;
use envoy_types::pb::envoy::config::core::v3::{
    Address, HeaderMap, HeaderValue, Pipe, SocketAddress,
};
use envoy_types::pb::envoy::service::auth::v3 as pb;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request};
use proptest::prelude::*;
use prost::Message;

use super::*;

fn of(http: HttpRequest) -> pb::CheckRequest {
    pb::CheckRequest {
        attributes: Some(pb::AttributeContext {
            request: Some(Request {
                http: Some(http),
                ..Request::default()
            }),
            ..pb::AttributeContext::default()
        }),
    }
}

fn from(address: OneOf) -> Peer {
    Peer {
        address: Some(Address {
            address: Some(address),
        }),
        ..Peer::default()
    }
}

fn socket(ip: &str) -> OneOf {
    OneOf::SocketAddress(SocketAddress {
        address: ip.to_owned(),
        ..SocketAddress::default()
    })
}

fn header(key: &str, value: &str) -> HeaderValue {
    HeaderValue {
        key: key.to_owned(),
        raw_value: value.as_bytes().to_vec(),
        ..HeaderValue::default()
    }
}

/// What the generated reader's message says of a header, by the rules of this one.
fn expected<'m>(http: &'m HttpRequest, name: &str) -> Found<'m> {
    let is_it = |key: &str| key.eq_ignore_ascii_case(name);
    let merged = http.headers.iter().filter(|(key, _)| is_it(key));
    let merged: Vec<&[u8]> = merged.map(|(_, value)| value.as_bytes()).collect();
    let list = http.header_map.iter().flat_map(|map| &map.headers);
    let raw: Vec<&[u8]> = list
        .filter(|header| is_it(&header.key))
        .map(|header| match header.raw_value.as_slice() {
            [] => header.value.as_bytes(),
            raw => raw,
        })
        .collect();
    match (merged.as_slice(), raw.as_slice()) {
        ([], []) => Found::Nothing,
        ([one], []) | ([], [one]) => Found::One(one),
        ([one], [other]) if one == other => Found::One(one),
        (_, _) => Found::Several,
    }
}

fn same(message: &[u8], expected_message: &pb::CheckRequest, names: &[&str]) {
    let read = CheckRequest::read(message).unwrap();
    let attributes = expected_message.attributes.clone().unwrap_or_default();
    let http = attributes.request.and_then(|request| request.http);
    let http = http.unwrap_or_default();
    let asked = read.asked();
    assert_eq!(
        (asked.method, asked.host, asked.path),
        (&*http.method, &*http.host, &*http.path)
    );
    let address = attributes.source.and_then(|peer| peer.address?.address);
    let ip = match address {
        Some(OneOf::SocketAddress(socket)) => socket.address,
        _ => String::new(),
    };
    assert_eq!(asked.source_address.unwrap_or_default(), ip);
    let pairs: HashMap<String, String> = read
        .pairs()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(pairs, attributes.context_extensions);
    for name in names {
        let found = asked.headers.find(name);
        assert!(found == expected(&http, name), "{name} {http:?}");
    }
}

/// Messages within messages, by their keys on the wire: `attributes`, `request`
/// and `http`; `source` and `address`.
const PLACES: &[&[u8]] = &[
    &[0x0a],
    &[0x0a, 0x22],
    &[0x0a, 0x22, 0x12],
    &[0x0a, 0x0a, 0x0a],
];

fn name() -> impl Strategy<Value = String> {
    "[ab]{0,2}|[AB]|.{0,4}"
}

proptest! {
    #[test]
    fn a_request_reads_as_the_generated_reader_reads_it(
        texts in proptest::array::uniform4(".{0,12}"),
        headers in proptest::collection::hash_map(name(), ".{0,3}", 0..5),
        list in proptest::option::of(proptest::collection::vec((name(), "x?", "y?|.{0,3}"), 0..5)),
        extensions in proptest::collection::hash_map(".{0,6}", ".{0,6}", 0..4),
        pipe in any::<bool>(),
        body in ".{0,30}",
    ) {
        let [method, host, path, ip] = texts;
        let list = list.map(|list| HeaderMap {
            headers: list
                .into_iter()
                .map(|(key, value, raw)| HeaderValue {
                    key,
                    value: if raw.is_empty() { value } else { String::new() },
                    raw_value: raw.into_bytes(),
                })
                .collect(),
        });
        let mut request = of(HttpRequest {
            id: "1".into(),
            method,
            headers,
            header_map: list,
            path,
            host,
            size: -1,
            body,
            ..HttpRequest::default()
        });
        if let Some(attributes) = &mut request.attributes {
            attributes.context_extensions = extensions;
            attributes.source = Some(from(if pipe {
                OneOf::Pipe(Pipe { path: "/p".into(), mode: 3 })
            } else {
                socket(&ip)
            }));
        }
        same(&request.encode_to_vec(), &request, &["", "a", "b", "ab", "aa"]);
    }

    #[test]
    fn whatever_the_generated_reader_reads_is_read(
        message in proptest::collection::vec(prop_oneof![0_u8..32, any::<u8>()], 0..40),
        path in proptest::sample::select(PLACES),
    ) {
        // As the innermost message at one of these places.
        let message = path.iter().rev().fold(message, |inner, tag| {
            let len = u8::try_from(inner.len()).unwrap();
            [&[*tag, len][..], &inner].concat()
        });
        if let Ok(expected) = pb::CheckRequest::decode(message.as_slice()) {
            let read = CheckRequest::read(&message);
            prop_assert!(read.is_ok(), "refused what reads as {:?}", expected);
            let entries = read.unwrap().pairs().count();
            let merged = expected.attributes.map_or(0, |of| of.context_extensions.len());
            // But for those that come twice.
            if entries == merged {
                same(&message, &pb::CheckRequest::decode(message.as_slice()).unwrap(), &[]);
            }
        }
    }
}

#[test]
fn messages_are_merged_as_protobuf_merges_them() {
    let first = of(HttpRequest {
        method: "GET".into(),
        path: "/a".into(),
        headers: HashMap::from([("a".into(), "1".into())]),
        ..HttpRequest::default()
    });
    let mut second = of(HttpRequest {
        path: "/b".into(),
        header_map: Some(HeaderMap {
            headers: vec![header("b", "2")],
        }),
        ..HttpRequest::default()
    });
    for (sources, ip) in [
        (vec![socket("1.1.1.1")], "1.1.1.1"),
        (vec![socket("1.1.1.1"), OneOf::Pipe(Pipe::default())], ""),
        (
            vec![OneOf::Pipe(Pipe::default()), socket("2.2.2.2")],
            "2.2.2.2",
        ),
        (vec![socket("1.1.1.1"), socket("")], "1.1.1.1"),
        (
            vec![socket("1.1.1.1"), OneOf::Pipe(Pipe::default()), socket("")],
            "",
        ),
    ] {
        let mut message = first.encode_to_vec();
        for source in sources {
            if let Some(attributes) = &mut second.attributes {
                attributes.source = Some(from(source));
            }
            message.extend(second.encode_to_vec());
        }
        let expected = pb::CheckRequest::decode(message.as_slice()).unwrap();
        let asked = CheckRequest::read(&message).unwrap().asked();
        assert_eq!((asked.method, asked.path), ("GET", "/b"));
        assert_eq!(asked.source_address.unwrap_or_default(), ip);
        let source = expected.attributes.unwrap().source.unwrap();
        let address = source.address.unwrap().address.unwrap();
        let expected = match address {
            OneOf::SocketAddress(socket) => socket.address,
            OneOf::Pipe(_) | OneOf::EnvoyInternalAddress(_) => String::new(),
        };
        assert_eq!(expected, ip);
    }
}

#[test]
fn a_header_that_is_told_in_both_ways_is_one() {
    type Row<'a> = (
        &'a [(&'a str, &'a str)],
        &'a [(&'a str, &'a str)],
        Found<'a>,
    );
    let table: &[Row<'_>] = &[
        (&[("a", "1")], &[("a", "1")], Found::One(b"1")),
        (&[("a", "1")], &[("A", "1")], Found::One(b"1")),
        (&[("a", "1")], &[("a", "2")], Found::Several),
        (&[("a", "1")], &[("a", "1"), ("a", "1")], Found::Several),
        (&[("a", "1,2")], &[("a", "1"), ("a", "2")], Found::Several),
        (&[("a", "1"), ("A", "1")], &[], Found::Several),
        (&[("a", "1")], &[("b", "1")], Found::One(b"1")),
        (&[], &[("a", "1"), ("A", "2")], Found::Several),
        (&[], &[("a", "")], Found::One(b"")),
        (&[("b", "1")], &[], Found::Nothing),
    ];
    for (merged, list, expected) in table {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let message = of(HttpRequest {
            headers: merged.iter().map(owned).collect(),
            header_map: Some(HeaderMap {
                headers: list.iter().map(|(key, value)| header(key, value)).collect(),
            }),
            ..HttpRequest::default()
        })
        .encode_to_vec();
        let asked = CheckRequest::read(&message).unwrap().asked();
        assert!(asked.headers.find("a") == *expected, "{merged:?} {list:?}");
    }
}

#[test]
fn what_comes_twice_in_a_map_came_twice() {
    let one = of(HttpRequest {
        headers: HashMap::from([("authorization".into(), "Bearer x".into())]),
        ..HttpRequest::default()
    });
    let message = [one.encode_to_vec(), one.encode_to_vec()].concat();
    let asked = CheckRequest::read(&message).unwrap().asked();
    assert!(asked.headers.find("authorization") == Found::Several);
}

#[test]
fn a_value_that_contradicts_itself_is_none() {
    let message = of(HttpRequest {
        header_map: Some(HeaderMap {
            headers: vec![HeaderValue {
                key: "a".into(),
                value: "1".into(),
                raw_value: b"2".to_vec(),
            }],
        }),
        ..HttpRequest::default()
    })
    .encode_to_vec();
    let asked = CheckRequest::read(&message).unwrap().asked();
    assert!(asked.headers.find("a") == Found::Several);
}

#[test]
fn texts_need_not_be_utf8_and_what_is_no_message_is_refused() {
    // attributes { request { http { path: ff } } }
    let odd = [0x0a, 7, 0x22, 5, 0x12, 3, 0x22, 1, 0xff];
    assert_eq!(CheckRequest::read(&odd).unwrap().asked().path, "\0");
    // attributes is a number; http is; the message ends within a field.
    for broken in [&[0x08, 1][..], &[0x0a, 4, 0x22, 2, 0x10, 1], &[0x0a, 9]] {
        assert!(CheckRequest::read(broken).is_err());
    }
    let nothing = CheckRequest::read(&[]).unwrap();
    assert_eq!(nothing.asked().source_address, None);
    assert_eq!(nothing.pairs().count(), 0);
}

#[test]
fn nothing_is_allocated() {
    let mut request = of(HttpRequest {
        method: "GET".into(),
        path: "/v1/people?x=1".into(),
        host: "api.test".into(),
        headers: (0..30)
            .map(|n| (format!("x-{n}"), "v".repeat(20)))
            .collect(),
        ..HttpRequest::default()
    });
    if let Some(attributes) = &mut request.attributes {
        attributes.source = Some(from(socket("10.0.0.1")));
        attributes.context_extensions = HashMap::from([("cost".into(), "2".into())]);
    }
    let message = request.encode_to_vec();
    let allocations = allocation_counter::measure(|| {
        let read = CheckRequest::read(&message).unwrap();
        assert_eq!(read.asked().path, "/v1/people?x=1");
        assert!(read.asked().headers.find("x-7") != Found::Nothing);
        assert!(read.pairs().eq([("cost", "2")]));
    });
    assert_eq!(allocations.count_total, 0);
}
