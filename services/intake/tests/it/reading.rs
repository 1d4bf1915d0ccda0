//! Status, search and artifacts.

use std::sync::atomic::Ordering;

use axum::body::Body;
use http::Method;
use probity_domain::EvidenceId;
use probity_platform::objects::{Fault, Objects as _};
use probity_platform::{Error, quarantine};
use probity_proto::ledger::CustodyEvent;
use probity_proto::stored::submission_key;
use serde_json::{Value, json};

use crate::world::{World, digest, request};

async fn list(world: &World, query: &str) -> (Vec<String>, Option<String>) {
    let (status, page) = world.get(&format!("/v1/evidence{query}")).await;
    assert_eq!(status, 200, "{page}");
    let numbers = page["evidence"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["evidence"].as_str().unwrap().to_owned());
    (
        numbers.collect(),
        page["next_page"].as_str().map(str::to_owned),
    )
}

#[tokio::test]
async fn states_come_from_storage_and_say_when_they_may_be_old() {
    let world = World::start().await;
    let numbers = world.deposit("c", "key-1", &["one", "two"]).await;
    let id = EvidenceId::parse(&numbers[1]).unwrap();
    world.neighbours.deposited.lock().unwrap().insert(id, 42);
    assert_eq!(
        world.get(&format!("/v1/evidence/{}", numbers[0])).await.1["state"],
        "accepted"
    );
    let (_, deposited) = world.get(&format!("/v1/evidence/{}", numbers[1])).await;
    assert_eq!(
        (&deposited["state"], &deposited["leaf_index"]),
        (&json!("deposited"), &json!(42))
    );
    let (_, batch) = world
        .get(&format!("/v1/submissions/{}", id.submission))
        .await;
    assert_eq!(batch["items"][1]["state"], "deposited");
    world.neighbours.down.store(true, Ordering::SeqCst);
    let get = request(
        Method::GET,
        &format!("/v1/evidence/{}", numbers[1]),
        &world.vendor,
    );
    let (status, headers, bytes) = world.send(get.body(Body::empty()).unwrap()).await;
    let body: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(
        (status.as_u16(), body["state"].as_str().unwrap()),
        (200, "accepted")
    );
    assert_eq!(headers["probity-degraded"], "index");
}

#[tokio::test]
async fn what_a_role_refused_for_good_is_told_with_its_reason() {
    let world = World::start().await;
    let numbers = world.deposit("c", "key-1", &["one", "two", "three"]).await;
    let ids: Vec<_> = numbers
        .iter()
        .map(|number| EvidenceId::parse(number).unwrap())
        .collect();
    let error = Error::malformed("too long for the log");
    for id in &ids[1..] {
        quarantine::refused(&world.ledger, "signing", *id, quarantine::ROUNDS, &error).await;
    }
    // Whatever was refused once: what is deposited is deposited.
    let deposited = &world.neighbours.deposited;
    deposited.lock().unwrap().insert(ids[2], 7);
    world.clock.advance_ms(120_000);
    let path = format!("/v1/submissions/{}", ids[0].submission);
    let (_, batch) = world.get(&path).await;
    let line = |n: usize| (&batch["items"][n]["state"], &batch["items"][n]["reason"]);
    assert_eq!(line(0), (&json!("accepted"), &Value::Null));
    let reason = json!("refused by signing: too long for the log");
    assert_eq!(line(1), (&json!("quarantined"), &reason));
    assert_eq!(line(2), (&json!("deposited"), &Value::Null));
    assert_eq!(
        list(&world, "?state=quarantined").await.0,
        [numbers[1].clone()]
    );
    let released = quarantine::release(&world.ledger, ids[1], "operator:o", "test");
    assert!(released.await.unwrap());
    assert_eq!(list(&world, "?state=quarantined").await.0, [""; 0]);
}

#[tokio::test]
async fn another_tenants_evidence_is_not_found() {
    let world = World::start().await;
    let numbers = world.deposit("c", "key-1", &["one"]).await;
    let id = EvidenceId::parse(&numbers[0]).unwrap();
    world.enrol("rival", "rival-inc", true).await;
    let rival = world.credential("rival", "rival-inc").await;
    for path in [
        format!("/v1/evidence/{}", numbers[0]),
        format!("/v1/evidence/{}/artifacts/page.html", numbers[0]),
        format!("/v1/submissions/{}", id.submission),
        format!("/v1/evidence?submission={}", id.submission),
    ] {
        let (status, problem) = world.get_as(&path, &rival).await;
        assert_eq!(
            (status.as_u16(), &problem["type"]),
            (404, &json!("urn:probity:problem:not_found")),
            "{path}"
        );
        assert_eq!(world.get(&path).await.0, 200, "{path}");
    }
    let (_, page) = world.get_as("/v1/evidence", &rival).await;
    assert_eq!(page["evidence"], json!([]));
    let digest = digest(b"one").digests.sha3_256;
    let head = request(Method::HEAD, &format!("/v1/blobs/{digest}"), &rival)
        .body(Body::empty())
        .unwrap();
    assert_eq!(world.send(head).await.0, 404);
}

#[tokio::test]
async fn numbers_that_are_none() {
    let world = World::start().await;
    let numbers = world.deposit("c", "key-1", &["one"]).await;
    let beyond = numbers[0].replace("-00000", "-00001");
    assert_eq!(world.get(&format!("/v1/evidence/{beyond}")).await.0, 404);
    assert_eq!(world.get("/v1/evidence/nonsense").await.0, 400);
    assert_eq!(world.get("/v1/submissions/nonsense").await.0, 400);
    assert_eq!(
        world
            .get(&format!("/v1/evidence/{}", numbers[0].to_lowercase()))
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn artifacts_come_back_whole_or_not_at_all() {
    let world = World::start().await;
    let numbers = world
        .deposit("c", "key-1", &["<script>alert(1)</script>"])
        .await;
    let path = format!("/v1/evidence/{}/artifacts/page.html", numbers[0]);
    let get = || {
        request(Method::GET, &path, &world.vendor)
            .body(Body::empty())
            .unwrap()
    };
    let (status, headers, bytes) = world.send(get()).await;
    assert_eq!(
        (status.as_u16(), &bytes[..]),
        (200, &b"<script>alert(1)</script>"[..])
    );
    assert_eq!(headers["content-disposition"], "attachment");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    for bad in ["other.html", "..%2f..%2fx", "%00"] {
        let path = format!("/v1/evidence/{}/artifacts/{bad}", numbers[0]);
        assert_eq!(world.get(&path).await.0, 404, "{bad}");
    }
    // One byte rots in the store.
    let key = format!(
        "blobs/acme/{}",
        digest(b"<script>alert(1)</script>").digests.sha3_256
    );
    world
        .truth
        .put(&key, "<script>alert(2)</script>".into())
        .await
        .unwrap();
    let (status, _, bytes) = world.send(get()).await;
    assert_eq!(status, 500);
    assert!(!String::from_utf8_lossy(&bytes).contains("alert"));
    // Gone without an order is a failure; gone by an order is told as that.
    world.truth.forget(&key);
    assert_eq!(world.send(get()).await.0, 500);
    let deleted = CustodyEvent::Deleted {
        order: "D-1".into(),
        keys: vec![key.clone()],
    };
    world.append(&numbers[0], vec![deleted]).await;
    let told = async || {
        let (status, _, problem) = world.send(get()).await;
        assert_eq!(status, 404);
        let problem = String::from_utf8_lossy(&problem).into_owned();
        assert!(problem.contains("deleted by order D-1"), "{problem}");
    };
    told().await;
    // Also when another evidence has brought the same bytes since.
    let again = "<script>alert(1)</script>".into();
    world.truth.put(&key, again).await.unwrap();
    told().await;
}

#[tokio::test]
async fn a_submission_that_does_not_read_is_passed_over() {
    let world = World::start().await;
    let mut expected = world.deposit("c", "key-1", &["one"]).await;
    world.clock.advance_ms(1_000);
    let torn = world.deposit("c", "key-2", &["two"]).await;
    let torn = EvidenceId::parse(&torn[0]).unwrap().submission;
    world.clock.advance_ms(1_000);
    expected.extend(world.deposit("c", "key-3", &["three"]).await);
    let (key, larger) = (submission_key(torn), vec![b' '; (64 << 20) + 1]);
    for bytes in [b"{".to_vec(), larger] {
        world.truth.put(&key, bytes.into()).await.unwrap();
        assert_eq!(list(&world, "").await, (expected.clone(), None));
        let alone = world.get(&format!("/v1/submissions/{torn}")).await;
        assert_eq!(alone.0, 500);
    }
    let odd = key.replace(&torn.to_string(), "odd");
    world.truth.put(&odd, "x".into()).await.unwrap();
    assert_eq!(list(&world, "").await, (expected, None));
    // A store that does not answer is another matter.
    world
        .truth
        .set_faults(move |_, asked| (asked == key).then_some(Fault::Refuse));
    assert_eq!(world.get("/v1/evidence").await.0, 503);
}

#[tokio::test]
async fn pages_in_order_of_time_without_gaps() {
    let world = World::start().await;
    let mut expected = Vec::new();
    for n in 0..7 {
        let texts = [format!("{n}a"), format!("{n}b"), format!("{n}c")];
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let case = if n % 2 == 0 { "even" } else { "odd" };
        expected.extend(world.deposit(case, &format!("key-{n}"), &texts).await);
        // Several in one hour, then some in later ones.
        world
            .clock
            .advance_ms(if n < 4 { 1_000 } else { 3_600_000 });
    }
    assert_eq!(
        list(&world, "?page_size=1000").await,
        (expected.clone(), None)
    );
    for size in [1, 2, 3, 4, 20] {
        let (mut paged, mut next) = list(&world, &format!("?page_size={size}")).await;
        while let Some(token) = next {
            let (more, after) = list(&world, &format!("?page_size={size}&page={token}")).await;
            assert!(more.len() <= size);
            paged.extend(more);
            next = after;
        }
        assert_eq!(paged, expected, "{size}");
    }
    let odd = expected
        .chunks(3)
        .skip(1)
        .step_by(2)
        .flatten()
        .cloned()
        .collect::<Vec<_>>();
    assert_eq!(list(&world, "?case=odd").await.0, odd);
    let last = EvidenceId::parse(&expected[20]).unwrap();
    assert_eq!(
        list(&world, &format!("?submission={}", last.submission))
            .await
            .0,
        expected[18..]
    );
    world.neighbours.deposited.lock().unwrap().insert(last, 7);
    assert_eq!(list(&world, "?state=deposited").await.0, expected[20..]);
    assert_eq!(
        list(&world, "?state=accepted&page_size=1000").await.0,
        expected[..20]
    );
    world.clock.advance_ms(25 * 3_600_000);
    assert_eq!(list(&world, "").await.0, Vec::<String>::new());
}

#[tokio::test]
async fn times_are_inclusive_then_exclusive() {
    let world = World::start().await;
    let first = world.deposit("c", "key-1", &["one"]).await;
    world.clock.advance_ms(10);
    let second = world.deposit("c", "key-2", &["two"]).await;
    let at = |number: &str| {
        EvidenceId::parse(number)
            .unwrap()
            .submission
            .at()
            .to_rfc3339()
    };
    let (t1, t2) = (at(&first[0]), at(&second[0]));
    assert_eq!(
        list(&world, &format!("?from={t1}&until={t2}")).await.0,
        first
    );
    assert_eq!(list(&world, &format!("?from={t2}")).await.0, second);
}

#[tokio::test]
async fn misspelt_queries_do_not_answer_everything() {
    let world = World::start().await;
    for bad in [
        "?kase=c",
        "?state=lost",
        "?page=xyz",
        "?page_size=0x",
        "?from=2020-01-01T00:00:00Z",
        "?submission=x",
    ] {
        let (status, problem) = world.get(&format!("/v1/evidence{bad}")).await;
        assert_eq!(
            (status.as_u16(), &problem["type"]),
            (400, &json!("urn:probity:problem:malformed")),
            "{bad}"
        );
    }
}

#[tokio::test]
async fn the_openapi_document_is_open() {
    let world = World::start().await;
    let request = http::Request::get("/openapi.json")
        .body(Body::empty())
        .unwrap();
    let (status, _, bytes) = world.send(request).await;
    let document: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(
        (
            status.as_u16(),
            document["openapi"].as_str().unwrap().starts_with("3.")
        ),
        (200, true)
    );
}
