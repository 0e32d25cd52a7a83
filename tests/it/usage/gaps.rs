//! What was before uses were counted is not known: no key is told to be unused
//! for that, after a server that did not count, and in a store that knows of none.

use keyward::edge::pb::{ListKeysRequest, RotateKeyRequest};
use prost_types::Timestamp;

use super::kept::stop;
use super::lists::listed;
use super::*;

fn never() -> ListKeysRequest {
    ListKeysRequest {
        never_used: true,
        ..ListKeysRequest::default()
    }
}

fn since(seconds: i64) -> ListKeysRequest {
    let unused_since = Some(Timestamp { seconds, nanos: 0 });
    ListKeysRequest {
        unused_since,
        ..ListKeysRequest::default()
    }
}

async fn counted_since(admin: &mut Admin, id: &str) -> Option<Timestamp> {
    key(admin, id).await.usage.unwrap().counted_since_time
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_used_while_nothing_was_counted_is_not_listed_as_unused() {
    let server = serve(&Site::init(), &[]);
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let [used, other] = [admin.key("kling", &[]).await, admin.key("kling", &[]).await];
    server
        .checks()
        .await
        .header(&used.token, &[])
        .await
        .unwrap();
    let [used_id, other_id] = [&used, &other].map(|issued| id(issued).to_owned());
    drop(admin);
    // A stop and a start leave no gap.
    let server = serve(&stop(server), &[]);
    let mut admin = server.admin().await;
    assert_eq!(listed(&mut admin, &never()).await, [&*other_id]);
    assert_eq!(counted_since(&mut admin, &other_id).await, None);
    drop(admin);

    // It is marked before anything can be used, however the server ends.
    let server = serve(&stop(server), &["--no-usage"]);
    server
        .checks()
        .await
        .header(&other.token, &[])
        .await
        .unwrap();
    let site = tokio::task::block_in_place(|| server.kill());
    let server = serve(&site, &[]);
    let mut admin = server.admin().await;
    assert_eq!(listed(&mut admin, &never()).await, [""; 0]);
    let start = counted_since(&mut admin, &other_id).await.unwrap();
    assert_eq!(counted_since(&mut admin, &used_id).await, Some(start));
    assert_eq!(listed(&mut admin, &since(start.seconds)).await, [""; 0]);
    // Once the counting has gone on for so long, it tells again.
    let all = listed(&mut admin, &since(start.seconds + 1)).await;
    assert_eq!(all, [&*used_id, &*other_id]);
    let later = admin.key("kling", &[]).await;
    assert_eq!(listed(&mut admin, &never()).await, [id(&later)]);
    assert_eq!(counted_since(&mut admin, id(&later)).await, None);
    // It stays the same from then on.
    server
        .checks()
        .await
        .header(&used.token, &[])
        .await
        .unwrap();
    drop(admin);
    let server = serve(&stop(server), &[]);
    let mut admin = server.admin().await;
    assert_eq!(counted_since(&mut admin, &used_id).await, Some(start));
    assert_eq!(listed(&mut admin, &never()).await, [id(&later)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_store_without_a_note_of_it_counting_begins_with_the_start() {
    let server = serve(&Site::init(), &["--no-usage"]);
    let mut admin = server.admin().await;
    admin.workspace("kling", "klg", &[]).await;
    let issued = admin.key("kling", &[]).await;
    let rotate = RotateKeyRequest {
        key_id: id(&issued).to_owned(),
        ..RotateKeyRequest::default()
    };
    admin.client.rotate_key(rotate).await.unwrap();
    server
        .checks()
        .await
        .header(&issued.token, &[])
        .await
        .unwrap();
    drop(admin);
    let server = serve(&stop(server), &[]);
    let mut admin = server.admin().await;
    assert_eq!(listed(&mut admin, &never()).await, [""; 0]);
    let found = key(&mut admin, id(&issued)).await;
    let start = found.usage.unwrap().counted_since_time.unwrap();
    assert_eq!(listed(&mut admin, &since(start.seconds)).await, [""; 0]);
    // So nobody can tell whether the old token was used.
    assert!(found.rotation.unwrap().start_time.unwrap().seconds <= start.seconds);
}
