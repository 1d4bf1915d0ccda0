//! One-time codes.

use futures::future::join_all;
use probity_domain::{CredentialId, PartyId, TenantId, Timestamp};
use probity_platform::ErrorKind;
use probity_platform::access::{Caller, CallerRole};
use probity_proto::ledger::IntentEvent;
use serde_json::json;

use crate::world::{World, other_than};

fn digest(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

async fn agreed(world: &World) -> String {
    let vendor = world.vendor("acme-legal", "acme").await;
    world.agree("acme-legal", &vendor).await;
    vendor
}

#[tokio::test]
async fn no_code_without_an_agreement_on_electronic_form() {
    let world = World::start().await;
    let vendor = world.vendor("acme-legal", "acme").await;
    let request = json!({"instruction_sha256": digest(1), "summary": "s"});
    let (status, problem) = world.post("/v1/intents", &vendor, request.clone()).await;
    assert_eq!(status, 403);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("electronic form")
    );
    world.agree("acme-legal", &vendor).await;
    assert_eq!(world.post("/v1/intents", &vendor, request).await.0, 200);
    // Verification withdrawn later: no more codes.
    let refused =
        json!({"verified": false, "method": "officer", "document_sha3_256": [], "note": "stolen"});
    world
        .post("/v1/parties/acme-legal/decision", &world.officer, refused)
        .await;
    let request = json!({"instruction_sha256": digest(1), "summary": "s"});
    assert_eq!(world.post("/v1/intents", &vendor, request).await.0, 403);
}

#[tokio::test]
async fn a_code_confirms_its_instruction_once() {
    let world = World::start().await;
    let vendor = agreed(&world).await;
    let (intent, code) = world.intent(&vendor, &digest(1)).await;
    let (status, problem) = world.confirm(&vendor, &intent, &code, &digest(2)).await;
    assert_eq!(status, 409);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("another instruction")
    );
    let (status, problem) = world
        .confirm(&vendor, &intent, &other_than(&code), &digest(1))
        .await;
    assert_eq!(status, 403);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("3 attempts left")
    );
    let (status, confirmed) = world.confirm(&vendor, &intent, &code, &digest(1)).await;
    assert_eq!(
        (status.as_u16(), confirmed["state"].as_str().unwrap()),
        (200, "confirmed")
    );
    let (status, problem) = world.confirm(&vendor, &intent, &code, &digest(1)).await;
    assert_eq!(status, 409);
    assert!(problem["detail"].as_str().unwrap().contains("used before"));
    let (_, status) = world.get(&format!("/v1/intents/{intent}"), &vendor).await;
    assert_eq!(status["state"], "confirmed");
}

#[tokio::test]
async fn every_attempt_leaves_a_trace_and_no_code_does() {
    let world = World::start().await;
    let vendor = agreed(&world).await;
    let (intent, code) = world.intent(&vendor, &digest(1)).await;
    world
        .confirm(&vendor, &intent, &other_than(&code), &digest(1))
        .await;
    world.confirm(&vendor, &intent, &code, &digest(1)).await;
    world.confirm(&vendor, &intent, &code, &digest(1)).await;
    let history = world.ledger.read::<IntentEvent>(&intent).await.unwrap();
    let traces: Vec<_> = history
        .facts()
        .filter_map(|fact| match fact {
            IntentEvent::AttemptFailed {
                reason,
                from_address,
                user_agent,
            } => Some((reason.as_str(), from_address.as_str(), user_agent.as_str())),
            IntentEvent::Confirmed {
                from_address,
                user_agent,
            } => Some(("confirmed", from_address.as_str(), user_agent.as_str())),
            _ => None,
        })
        .collect();
    let (address, agent) = ("198.51.100.9", "test/1");
    let expected = [
        ("wrong code", address, agent),
        ("confirmed", address, agent),
        ("confirmed before", address, agent),
    ];
    assert_eq!(traces, expected);
    let stored = serde_json::to_string(&history.events).unwrap();
    assert!(!stored.contains(&code), "the ledger never holds a code");
}

#[tokio::test]
async fn codes_expire_and_run_out() {
    let world = World::start().await;
    let vendor = agreed(&world).await;
    let (intent, code) = world.intent(&vendor, &digest(1)).await;
    world.clock.advance_ms(600_000);
    let (status, problem) = world.confirm(&vendor, &intent, &code, &digest(1)).await;
    assert_eq!(status, 403);
    assert!(problem["detail"].as_str().unwrap().contains("expired"));

    let (intent, code) = world.intent(&vendor, &digest(1)).await;
    for _ in 0..5 {
        assert_eq!(
            world
                .confirm(&vendor, &intent, &other_than(&code), &digest(1))
                .await
                .0,
            403
        );
    }
    let (status, problem) = world.confirm(&vendor, &intent, &code, &digest(1)).await;
    assert_eq!(status, 403);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("too many attempts")
    );
}

#[tokio::test]
async fn attempts_at_once_share_the_same_few() {
    let world = World::start().await;
    let vendor = agreed(&world).await;
    let one = digest(1);
    let (intent, code) = world.intent(&vendor, &digest(1)).await;
    let wrong = other_than(&code);
    let attempts = (0..12)
        .map(|_| world.confirm(&vendor, &intent, &wrong, &one))
        .map(Box::pin);
    let answers = join_all(attempts).await;
    let told_wrong = answers
        .iter()
        .filter(|(_, p)| p["detail"].as_str().unwrap().contains("wrong code"))
        .count();
    assert_eq!(told_wrong, 5);
    assert_eq!(
        world.confirm(&vendor, &intent, &code, &digest(1)).await.0,
        403
    );

    let (intent, code) = world.intent(&vendor, &digest(1)).await;
    let attempts = (0..8)
        .map(|_| world.confirm(&vendor, &intent, &code, &one))
        .map(Box::pin);
    let confirmed = join_all(attempts)
        .await
        .iter()
        .filter(|(s, _)| *s == 200)
        .count();
    assert_eq!(confirmed, 1);
}

#[tokio::test]
async fn intents_belong_to_their_party() {
    let world = World::start().await;
    let vendor = agreed(&world).await;
    let stranger = world.vendor("rival", "rival-inc").await;
    let (intent, code) = world.intent(&vendor, &digest(1)).await;
    assert_eq!(
        world.confirm(&stranger, &intent, &code, &digest(1)).await.0,
        404
    );
    assert_eq!(
        world
            .get(&format!("/v1/intents/{intent}"), &stranger)
            .await
            .0,
        404
    );
    assert_eq!(
        world
            .confirm(&vendor, "nonsense", &code, &digest(1))
            .await
            .0,
        400
    );
    let bad = json!({"instruction_sha256": "xyz", "summary": "s"});
    assert_eq!(world.post("/v1/intents", &vendor, bad).await.0, 400);
    assert_eq!(
        world.confirm(&vendor, &intent, &code, &digest(1)).await.0,
        200
    );
}

#[tokio::test]
async fn who_floods_leaves_room_for_others() {
    let world = World::start().await;
    let floods = agreed(&world).await;
    let other = world.vendor("other-legal", "other").await;
    let request = || json!({"instruction_sha256": digest(1), "summary": "s"});
    let caller = Caller {
        credential: CredentialId::new(Timestamp::from_unix_ms(0), [1; 10]),
        role: CallerRole::Vendor {
            tenant: TenantId::parse("acme").unwrap(),
            party: PartyId::parse("acme-legal").unwrap(),
        },
    };
    let mut under_way = Vec::new();
    let refused = loop {
        match world.identity.enter(&caller).await {
            Ok(entered) => under_way.push(entered),
            Err(e) => break e,
        }
    };
    assert_eq!(refused.kind, ErrorKind::TooMany);
    assert_eq!(world.post("/v1/intents", &floods, request()).await.0, 429);
    // Past the door: no agreement was accepted.
    assert_eq!(world.post("/v1/intents", &other, request()).await.0, 403);
    drop(under_way);
    assert_eq!(world.post("/v1/intents", &floods, request()).await.0, 200);
}
