//! Instructions into submissions.

use std::sync::atomic::Ordering;

use axum::body::Body;
use futures::future::join_all;
use http::Method;
use probity_domain::SubmissionId;
use probity_platform::objects::{Fault, Objects as _, Verb};
use probity_proto::ledger::{IntentEvent, PartyEvent};
use probity_proto::registry::IntentState;
use probity_proto::stored::{read_submission, submission_key};
use serde_json::json;

use crate::world::{World, artifact, digest, instruction, item, numbers, request};

async fn submissions(world: &World) -> usize {
    world
        .truth
        .list("submissions/", None, 1000)
        .await
        .unwrap()
        .len()
}

#[tokio::test]
async fn numbers_come_after_durability_and_signing_is_told() {
    let world = World::start().await;
    let instruction = instruction(
        "(2026)京0491民初1号",
        vec![
            item(vec![world.upload(b"one").await]),
            item(vec![world.upload(b"two").await]),
        ],
    );
    let intent = world.intent(&instruction).await;
    let (status, submitted) = world.submit(&instruction, "key-1", Some(&intent)).await;
    assert_eq!(status, 200, "{submitted}");
    assert_eq!(numbers(&submitted).len(), 2);
    let id = SubmissionId::parse(submitted["submission"].as_str().unwrap()).unwrap();
    let object = world
        .truth
        .get(&submission_key(id), 1 << 20)
        .await
        .unwrap()
        .unwrap();
    let submission = read_submission(&object.bytes).unwrap();
    assert_eq!(
        (submission.tenant.as_str(), submission.party.as_str()),
        ("acme", "acme-legal")
    );
    assert_eq!(submission.intent.unwrap().to_string(), intent);
    assert!(submission.automated);
    let hints = world.neighbours.hints.lock().unwrap().clone();
    assert_eq!(
        (hints.len(), hints[0].first_item, hints[0].last_item),
        (1, 0, 1)
    );
    let history = world.ledger.read::<IntentEvent>(&intent).await.unwrap();
    assert_eq!(
        IntentState::of(&history.events).used_by,
        Some(id.to_string())
    );
}

#[tokio::test]
async fn the_same_key_gives_the_same_numbers_with_every_cache_gone() {
    let mut world = World::start().await;
    let instruction = instruction("c", vec![item(vec![world.upload(b"one").await])]);
    let intent = world.intent(&instruction).await;
    let (_, first) = world.submit(&instruction, "key-1", Some(&intent)).await;
    world.restart();
    world.clock.advance_ms(30 * 24 * 3_600_000);
    let (status, again) = world.submit(&instruction, "key-1", Some(&intent)).await;
    assert_eq!((status.as_u16(), &again), (200, &first));
    // Also without the intent: nothing new is instructed.
    assert_eq!(world.submit(&instruction, "key-1", None).await.1, first);
    assert_eq!(submissions(&world).await, 1);
}

#[tokio::test]
async fn the_same_key_for_something_else_is_a_conflict() {
    let world = World::start().await;
    let page = world.upload(b"one").await;
    let one = instruction("c", vec![item(vec![page.clone()])]);
    let two = instruction("d", vec![item(vec![page])]);
    let intent = world.intent(&one).await;
    assert_eq!(world.submit(&one, "key-1", Some(&intent)).await.0, 200);
    let intent = world.intent(&two).await;
    assert_eq!(world.submit(&two, "key-1", Some(&intent)).await.0, 409);
    // Another tenant's key is another key.
    world.enrol("rival", "rival-inc", true).await;
    let rival = world.credential("rival", "rival-inc").await;
    assert_eq!(world.submit_as(&rival, &two, "key-1", None).await.0, 403);
    assert_eq!(world.submit(&two, "key-2", Some(&intent)).await.0, 200);
}

#[tokio::test]
async fn sixteen_at_once_are_one_instruction() {
    let world = World::start().await;
    let instruction = instruction("c", vec![item(vec![world.upload(b"one").await])]);
    let intent = world.intent(&instruction).await;
    let calls = (0..16).map(|_| Box::pin(world.submit(&instruction, "key-1", Some(&intent))));
    let answers = join_all(calls).await;
    assert!(
        answers
            .iter()
            .all(|(status, body)| *status == 200 && *body == answers[0].1)
    );
    assert_eq!(submissions(&world).await, 1);
}

#[tokio::test]
async fn a_code_confirms_one_instruction() {
    let world = World::start().await;
    let page = world.upload(b"one").await;
    let one = instruction("c", vec![item(vec![page.clone()])]);
    let two = instruction("d", vec![item(vec![page])]);
    let intent = world.intent(&one).await;
    let unconfirmed = world.unconfirmed_intent(&one).await;
    for (intent, why) in [
        (None, "needs its confirmed intent"),
        (Some(unconfirmed.as_str()), "not confirmed"),
        (Some(intent.as_str()), "another instruction"),
    ] {
        let bytes = if why == "another instruction" {
            &two
        } else {
            &one
        };
        let (status, problem) = world.submit(bytes, "key-0", intent).await;
        assert_eq!(status, 403, "{why}");
        assert!(
            problem["detail"].as_str().unwrap().contains(why),
            "{problem}"
        );
    }
    assert_eq!(world.submit(&one, "key-1", Some(&intent)).await.0, 200);
    // The same bytes under another key are another instruction, and need a code of their own.
    let (status, problem) = world.submit(&one, "key-2", Some(&intent)).await;
    assert_eq!(status, 409);
    assert!(problem["detail"].as_str().unwrap().contains("was used"));
    let absent = "0190b6b0-0000-7000-8000-000000000000";
    assert_eq!(world.submit(&one, "key-3", Some(absent)).await.0, 404);
    assert_eq!(world.submit(&one, "key-3", Some("nonsense")).await.0, 400);
    // Another party's intent is nobody's.
    world.enrol("colleague", "acme", true).await;
    let colleague = world.credential("colleague", "acme").await;
    let intent = world.intent(&two).await;
    assert_eq!(
        world
            .submit_as(&colleague, &two, "key-4", Some(&intent))
            .await
            .0,
        404
    );
}

#[tokio::test]
async fn only_parties_in_good_standing() {
    let world = World::start().await;
    let instruction = instruction("c", vec![item(vec![world.upload(b"one").await])]);
    world.enrol("silent", "acme", false).await;
    let silent = world.credential("silent", "acme").await;
    let (status, problem) = world.submit_as(&silent, &instruction, "key-1", None).await;
    assert_eq!(status, 403);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("electronic form")
    );
    let stranger = world.credential("never-applied", "acme").await;
    assert_eq!(
        world
            .submit_as(&stranger, &instruction, "key-1", None)
            .await
            .0,
        403
    );
    let intent = world.intent(&instruction).await;
    assert_eq!(
        world.submit(&instruction, "key-1", Some(&intent)).await.0,
        200
    );
    // Verification withdrawn: seen within seconds.
    let withdrawn = PartyEvent::Decided {
        verified: false,
        method: "officer".into(),
        verifier: "v".into(),
        document_sha3_256: vec![],
        note: "stolen identity".into(),
    };
    world.append("acme-legal", vec![withdrawn]).await;
    world.clock.advance_ms(5_000);
    assert_eq!(
        world.submit(&instruction, "key-2", Some(&intent)).await.0,
        403
    );
}

#[tokio::test]
async fn a_half_bad_batch_is_half_accepted() {
    let world = World::start().await;
    let (one, two) = (world.upload(b"one").await, world.upload(b"two").await);
    let mut wrong_size = world.upload(b"three").await;
    wrong_size["size_bytes"] = json!(6);
    let mut wrong_sha256 = world.upload(b"four").await;
    wrong_sha256["sha256"] = json!("ab".repeat(32));
    let mut trick = one.clone();
    trick["name"] = json!("../../etc/passwd");
    let mut control = one.clone();
    control["name"] = json!("page\u{7}.html");
    let mut reversed = one.clone();
    reversed["name"] = json!("page\u{202e}lmth.exe");
    let empty = artifact("empty.txt", digest(b""));
    let items = vec![
        item(vec![one.clone()]),
        item(vec![artifact("x", digest(b"never uploaded"))]),
        item(vec![one]),
        item(vec![wrong_size]),
        item(vec![wrong_sha256]),
        item(vec![trick]),
        json!({"surprise": true}),
        item(vec![two.clone()]),
        item(vec![control]),
        item(vec![reversed]),
        item(vec![empty]),
        item(vec![two.clone(), two]),
    ];
    let instruction = instruction("c", items);
    let intent = world.intent(&instruction).await;
    let (status, submitted) = world.submit(&instruction, "key-1", Some(&intent)).await;
    assert_eq!(status, 200);
    let states: Vec<_> = submitted["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["state"].as_str().unwrap())
        .collect();
    let refused = "refused";
    assert_eq!(
        states,
        [
            "accepted", refused, refused, refused, refused, refused, refused, "accepted", refused,
            refused, refused, refused
        ]
    );
    let reason = |place: usize| {
        submitted["items"][place]["reason"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(reason(1).contains("not uploaded"));
    assert!(reason(2).contains("the same artifacts as item 0"));
    assert!(reason(3).contains("5 bytes are stored"));
    assert!(reason(4).contains("SHA-256"));
    assert!(reason(5).contains("artifact name"));
    assert!(reason(8).contains("artifact name"));
    assert!(reason(9).contains("artifact name"));
    assert!(reason(10).contains("empty"), "{}", reason(10));
    assert!(reason(11).contains("name"), "{}", reason(11));
    assert!(numbers(&submitted)[1].ends_with("-00007"));
    // The stored answer reads the same as the first one.
    let path = format!(
        "/v1/submissions/{}",
        submitted["submission"].as_str().unwrap()
    );
    assert_eq!(world.get(&path).await.1, submitted);
}

#[tokio::test]
async fn a_wholly_bad_batch_uses_nothing_up() {
    let world = World::start().await;
    let page = artifact("page.html", digest(b"late"));
    let instruction = instruction("c", vec![item(vec![page]), json!(1)]);
    let intent = world.intent(&instruction).await;
    let (status, problem) = world.submit(&instruction, "key-1", Some(&intent)).await;
    assert_eq!(status, 400);
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("item 0") && detail.contains("item 1"),
        "{detail}"
    );
    assert_eq!(submissions(&world).await, 0);
    world.upload(b"late").await;
    assert_eq!(
        world.submit(&instruction, "key-1", Some(&intent)).await.0,
        200
    );
}

#[tokio::test]
async fn instructions_are_strict_and_bounded() {
    let world = World::start().await;
    for bad in [
        &b"{"[..],
        b"[]",
        br#"{"format":"probity.instruction/1","case":"c","items":[],"x":1}"#,
    ] {
        assert_eq!(world.submit(bad, "key-1", None).await.0, 400);
    }
    let good = instruction("c", vec![item(vec![world.upload(b"one").await])]);
    for key in ["", " a", &"k".repeat(129)] {
        assert_eq!(world.submit(&good, key, None).await.0, 400, "{key:?}");
    }
    let without_key = request(Method::POST, "/v1/submissions", &world.vendor)
        .body(Body::from("{}"))
        .unwrap();
    assert_eq!(world.send(without_key).await.0, 400);
    let huge = request(Method::POST, "/v1/submissions", &world.vendor)
        .header("idempotency-key", "k")
        .header("content-length", 33 * 1024 * 1024)
        .body(Body::empty())
        .unwrap();
    assert_eq!(world.send(huge).await.0, 413);
}

#[tokio::test]
async fn with_the_bus_down_it_accepts_all_the_same() {
    let world = World::start().await;
    world.neighbours.down.store(true, Ordering::SeqCst);
    let numbers = world.deposit("c", "key-1", &["one"]).await;
    let (status, standing) = world.get(&format!("/v1/evidence/{}", numbers[0])).await;
    assert_eq!(
        (status.as_u16(), standing["state"].as_str().unwrap()),
        (200, "accepted")
    );
}

#[tokio::test]
async fn a_try_that_broke_off_is_taken_up_again() {
    let world = World::start().await;
    let instruction = instruction("c", vec![item(vec![world.upload(b"one").await])]);
    let intent = world.intent(&instruction).await;
    let down = |verb: Verb, key: &str| {
        (verb == Verb::Create && key.starts_with("submissions/")).then_some(Fault::Refuse)
    };
    world.truth.set_faults(down);
    assert_eq!(
        world.submit(&instruction, "key-1", Some(&intent)).await.0,
        503
    );
    world.truth.clear_faults();
    let (status, submitted) = world.submit(&instruction, "key-1", Some(&intent)).await;
    assert_eq!(status, 200, "{submitted}");
    assert_eq!(
        world.submit(&instruction, "key-1", Some(&intent)).await.1,
        submitted
    );
    assert_eq!(submissions(&world).await, 1);
}

#[tokio::test]
async fn a_lost_answer_is_read_back_on_the_next_try() {
    let world = World::start().await;
    let instruction = instruction("c", vec![item(vec![world.upload(b"one").await])]);
    let intent = world.intent(&instruction).await;
    world.truth.set_faults(|verb, key| {
        (verb == Verb::Create && key.starts_with("submissions/")).then_some(Fault::DropResponse)
    });
    assert_eq!(
        world.submit(&instruction, "key-1", Some(&intent)).await.0,
        503
    );
    world.truth.clear_faults();
    assert_eq!(
        world.submit(&instruction, "key-1", Some(&intent)).await.0,
        200
    );
    assert_eq!(submissions(&world).await, 1);
}

#[tokio::test]
async fn without_required_intents_an_instruction_stands_alone() {
    let world = World::start_with(json!({"require_intent": false})).await;
    let instruction = instruction("c", vec![item(vec![world.upload(b"one").await])]);
    assert_eq!(world.submit(&instruction, "key-1", None).await.0, 200);
}

/// Nobody reads a submission that is larger than what readers take: what strangers' lines are refused with stays short.
#[tokio::test]
async fn lines_that_make_long_refusals_do_not_hide_the_others() {
    let world = World::start().await;
    let good = item(vec![world.upload(b"one").await]);
    let odd = json!({"title": ["\u{7f}".repeat(100_000)]});
    let surplus = json!({"\u{7f}\u{202e}".repeat(50_000): 1});
    let mut lines = vec![good];
    for _ in 0..25 {
        lines.extend([odd.clone(), surplus.clone()]);
    }
    let instruction = instruction("c", lines);
    let intent = world.intent(&instruction).await;
    let (status, submitted) = world.submit(&instruction, "key-1", Some(&intent)).await;
    assert_eq!((status.as_u16(), numbers(&submitted).len()), (200, 1));
    let stored = world.truth.list("submissions/", None, 9).await.unwrap();
    assert!(stored[0].size_bytes < 200_000, "{stored:?}");
}

/// A byte is refused with a sentence; ten thousand sentences are no reason to refuse what is good.
#[tokio::test]
async fn many_short_lines_are_refused_with_memory_accounted_for() {
    let world = World::start().await;
    let mut lines = vec![json!(0); 9_999];
    lines.push(item(vec![world.upload(b"one").await]));
    let instruction = instruction("c", lines);
    let intent = world.intent(&instruction).await;
    let tenant = probity_domain::TenantId::parse("acme").unwrap();
    let submit = async || {
        let request = request(Method::POST, "/v1/submissions", &world.vendor)
            .header("idempotency-key", "key-1")
            .header("probity-intent", &intent)
            .header("content-length", instruction.len());
        let body = Body::from(instruction.clone());
        let (status, _, answer) = world.send(request.body(body).unwrap()).await;
        (status, String::from_utf8(answer.to_vec()).unwrap())
    };
    // There is room for the instruction, not for what is said of it.
    let held = world.intake.admit(&tenant, 95 << 20).await.unwrap();
    let (status, problem) = submit().await;
    assert_eq!(status, 429, "{problem}");
    assert_eq!(submissions(&world).await, 0);
    drop(held);
    let (status, submitted) = submit().await;
    assert_eq!(status, 200);
    assert!(submitted.contains("-09999"), "the good line is accepted");
}
