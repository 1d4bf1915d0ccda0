//! Bytes into the store.

use axum::body::Body;
use http::Method;
use probity_domain::{Sha3_256, Sha256};
use probity_platform::objects::{Fault, Objects as _, Verb};
use serde_json::{Value, json};

use crate::world::{World, digest, request};

const BIG: usize = 9 * 1024 * 1024;

async fn stored(world: &World) -> usize {
    world.truth.list("blobs/", None, 1000).await.unwrap().len()
}

#[tokio::test]
async fn small_and_large_are_stored_once() {
    let world = World::start().await;
    for bytes in [b"abc".to_vec(), vec![7; BIG]] {
        let announced = digest(&bytes);
        let (status, first) = world.put(announced, &bytes).await;
        assert_eq!((status.as_u16(), &first["existed"]), (201, &json!(false)));
        let (status, second) = world.put(announced, &bytes).await;
        assert_eq!((status.as_u16(), &second["existed"]), (200, &json!(true)));
        let key = format!("blobs/acme/{}", announced.digests.sha3_256);
        assert_eq!(
            world
                .truth
                .get(&key, u64::MAX)
                .await
                .unwrap()
                .unwrap()
                .bytes,
            bytes
        );
        let head = request(
            Method::HEAD,
            &format!("/v1/blobs/{}", announced.digests.sha3_256),
            &world.vendor,
        );
        let (status, headers, _) = world.send(head.body(Body::empty()).unwrap()).await;
        assert_eq!(
            (status.as_u16(), headers["content-length"].to_str().unwrap()),
            (200, bytes.len().to_string().as_str())
        );
    }
    assert_eq!(stored(&world).await, 2);
}

#[tokio::test]
async fn bytes_that_are_not_what_was_announced_leave_nothing() {
    let world = World::start().await;
    for bytes in [b"abc".to_vec(), vec![7; BIG]] {
        let right = digest(&bytes);
        let mut other_sha3 = right;
        other_sha3.digests.sha3_256 = Sha3_256([1; 32]);
        let mut other_sha256 = right;
        other_sha256.digests.sha256 = Sha256([1; 32]);
        let mut longer = right;
        longer.size_bytes += 1;
        let mut shorter = right;
        shorter.size_bytes -= 1;
        for wrong in [other_sha3, other_sha256, longer, shorter] {
            let (status, problem) = world.put(wrong, &bytes).await;
            assert_eq!(
                (status.as_u16(), &problem["type"]),
                (400, &json!("urn:probity:problem:malformed"))
            );
        }
    }
    assert_eq!(stored(&world).await, 0);
}

#[tokio::test]
async fn empty_and_oversized_are_refused_before_they_are_read() {
    let world = World::start().await;
    let (status, problem) = world.put(digest(b""), b"").await;
    assert_eq!(status, 400);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("empty artifact")
    );
    let mut huge = digest(b"abc");
    huge.size_bytes = 20_000_001;
    let (status, problem) = world.put(huge, b"abc").await;
    assert_eq!((status.as_u16(), &problem["status"]), (413, &json!(413)));
}

#[tokio::test]
async fn known_bytes_keep_their_other_digest_and_length() {
    let world = World::start().await;
    world.upload(b"abc").await;
    let mut wrong = digest(b"abc");
    wrong.digests.sha256 = Sha256([1; 32]);
    assert_eq!(world.put(wrong, b"abc").await.0, 400);
    let mut wrong = digest(b"abc");
    wrong.size_bytes = 4;
    assert_eq!(world.put(wrong, b"abcd").await.0, 400);
}

#[tokio::test]
async fn headers_are_needed_and_strict() {
    let world = World::start().await;
    let announced = digest(b"abc");
    let path = format!("/v1/blobs/{}", announced.digests.sha3_256);
    let put = |path: &str, headers: &[(&str, String)]| {
        let mut builder = request(Method::PUT, path, &world.vendor);
        for (name, value) in headers {
            builder = builder.header(*name, value);
        }
        builder.body(Body::from("abc")).unwrap()
    };
    let sha256 = ("probity-sha256", announced.digests.sha256.to_hex());
    let length = ("content-length", "3".to_owned());
    for (path, headers) in [
        (path.as_str(), vec![length.clone()]),
        (path.as_str(), vec![sha256.clone()]),
        (
            path.as_str(),
            vec![sha256.clone(), ("content-length", "-3".to_owned())],
        ),
        (
            path.as_str(),
            vec![length.clone(), ("probity-sha256", "xyz".to_owned())],
        ),
        (
            "/v1/blobs/..%2f..%2fetc",
            vec![length.clone(), sha256.clone()],
        ),
    ] {
        assert_eq!(
            world.send(put(path, &headers)).await.0,
            400,
            "{path} {headers:?}"
        );
    }
    assert_eq!(world.send(put(&path, &[length, sha256])).await.0, 201);
}

#[tokio::test]
async fn only_valid_vendor_credentials() {
    let world = World::start().await;
    let announced = digest(b"abc");
    let path = format!("/v1/blobs/{}", announced.digests.sha3_256);
    let put = |secret: &str| {
        request(Method::PUT, &path, secret)
            .header("probity-sha256", announced.digests.sha256.to_hex())
            .header("content-length", 3)
            .body(Body::from("abc"))
            .unwrap()
    };
    let (id, officer) = world
        .access
        .issue(probity_platform::access::CallerRole::Officer, "t", "t")
        .await
        .unwrap();
    assert_eq!(world.send(put(officer.expose())).await.0, 403);
    world.access.revoke(id, "t", "t", "r").await.unwrap();
    assert_eq!(world.send(put(officer.expose())).await.0, 401);
    let unknown = format!("pk_{id}_{}", "A".repeat(43));
    for secret in ["", "nonsense", unknown.as_str()] {
        let (status, _, bytes) = world.send(put(secret)).await;
        assert_eq!(status, 401);
        let problem: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(problem["type"], "urn:probity:problem:unauthenticated");
    }
    assert_eq!(stored(&world).await, 0);
}

#[tokio::test]
async fn a_store_that_is_down_says_come_back() {
    let world = World::start().await;
    world.truth.set_faults(|verb, key| {
        (verb == Verb::Create && key.starts_with("blobs/")).then_some(Fault::Refuse)
    });
    let bytes = b"abc";
    assert_eq!(world.put(digest(bytes), bytes).await.0, 503);
    world.truth.clear_faults();
    assert_eq!(world.put(digest(bytes), bytes).await.0, 201);
}
