//! What is a receipt and what is not.

use probity_delivery::receipt::SignedReceipt;
use probity_domain::DeliveryState;
use probity_pki::x509::Profile;
use probity_platform::{Clock as _, ErrorKind};
use probity_proto::http::{ReceiptDocument, SignedReceiptDocument};

use crate::fixture::{HOUR_MS, NOW};
use crate::world::{Platform, answer, certificate, court, sign_with};

/// Every way in which it is not one, as the court signs it.
fn forgeries(
    platform: &Platform,
    good: &ReceiptDocument,
) -> Vec<(&'static str, SignedReceiptDocument)> {
    let court = &platform.hangzhou;
    let changed = |change: &dyn Fn(&mut ReceiptDocument)| {
        let mut receipt = good.clone();
        change(&mut receipt);
        court.sign(&receipt)
    };
    let other_court = court_of_the_same_name();
    let mut resigned = court.sign(good);
    resigned.receipt = changed(&|r| r.place = "elsewhere".to_owned()).receipt;
    let mut no_signature = court.sign(good);
    no_signature.signature = "bm8=".to_owned();
    // As it stands it signs nothing: the lint refuses.
    let encryption_key = &court.encryption.0;
    let until = NOW.plus_ms(24 * HOUR_MS);
    let for_signing = certificate(Profile::CourtSigning, encryption_key, until);
    vec![
        (
            "another package",
            changed(&|r| r.package_sha256 = "ab".repeat(32)),
        ),
        (
            "another content",
            changed(&|r| r.content_sha3_256 = Some("ab".repeat(32))),
        ),
        (
            "content digest missing",
            changed(&|r| r.content_sha3_256 = None),
        ),
        (
            "another delivery",
            changed(&|r| r.delivery = r.delivery.replace('7', "8")),
        ),
        (
            "another recipient",
            changed(&|r| r.recipient = "beijing".to_owned()),
        ),
        (
            "other evidence",
            changed(&|r| r.evidence = r.evidence.replace("-00003", "-00004")),
        ),
        (
            "received tomorrow",
            changed(&|r| r.received_at = NOW.plus_ms(24 * HOUR_MS).to_rfc3339()),
        ),
        (
            "another format",
            changed(&|r| r.format = "probity.receipt/2".to_owned()),
        ),
        (
            "unknown scope",
            changed(&|r| r.scope = "everything".to_owned()),
        ),
        (
            "no time",
            changed(&|r| r.received_at = "yesterday".to_owned()),
        ),
        ("another court's key", other_court.sign(good)),
        (
            "the encryption key",
            sign_with(
                encryption_key,
                &for_signing,
                &serde_json::to_vec(good).unwrap(),
            ),
        ),
        ("other bytes than signed", resigned),
        ("no signature", no_signature),
        (
            "not JSON",
            sign_with(&court.signing.0, &court.signing.1, b"received, thanks"),
        ),
        (
            "an unknown field",
            sign_with(&court.signing.0, &court.signing.1, &with_a_field(good)),
        ),
    ]
}

fn court_of_the_same_name() -> crate::world::Court {
    court("hangzhou")
}

fn with_a_field(good: &ReceiptDocument) -> Vec<u8> {
    let mut value = serde_json::to_value(good).unwrap();
    value["but"] = "with reservations".into();
    serde_json::to_vec(&value).unwrap()
}

#[tokio::test]
async fn nothing_but_the_courts_own_receipt_acknowledges() {
    let platform = Platform::new().await;
    let delivery = platform.prepared().await;
    let court = &platform.hangzhou;
    let good = court.receipt(&delivery, "content_digest_confirmed");
    for (why, forged) in forgeries(&platform, &good) {
        let handed_in = SignedReceipt::decode(&forged).unwrap();
        let refused = platform
            .courier
            .hand_in(&court.caller(), delivery.id, &handed_in)
            .await;
        assert_eq!(refused.unwrap_err().kind, ErrorKind::Malformed, "{why}");
        let state = platform.courier.delivery(delivery.id).await.unwrap().state;
        assert_eq!(state, DeliveryState::Prepared, "{why}");
    }
    let handed_in = SignedReceipt::decode(&court.sign(&good)).unwrap();
    let done = platform
        .courier
        .hand_in(&court.caller(), delivery.id, &handed_in)
        .await
        .unwrap();
    assert_eq!(
        done.document().receipt_scope.as_deref(),
        Some("content_digest_confirmed")
    );
}

#[tokio::test]
async fn a_receipt_for_other_digests_is_a_failed_push() {
    let platform = Platform::new().await;
    let id = platform.request(&platform.beijing).await.id;
    let template = platform
        .hangzhou
        .receipt(&platform.prepared().await, "receipt_only");
    let beijing = &platform.beijing;
    let forged = ReceiptDocument {
        delivery: id.to_string(),
        recipient: "beijing".to_owned(),
        ..template
    };
    let signed = beijing.sign(&forged);
    platform.court_answers(move |_, _| answer(200, &signed));
    platform.courier.deliver(id).await.unwrap();
    let delivery = platform.courier.delivery(id).await.unwrap();
    assert!(
        matches!(delivery.state, DeliveryState::Retrying { attempts: 1, .. }),
        "{:?}",
        delivery.state
    );
    let events = platform.events(id).await;
    let reason = format!("{:?}", events.last().unwrap());
    assert!(reason.contains("package digest"), "{reason}");
}

#[tokio::test]
async fn repeated_receipts_change_nothing_and_larger_ones_add() {
    let platform = Platform::new().await;
    let delivery = platform.prepared().await;
    let court = &platform.hangzhou;
    let hand_in = async |scope: &str| {
        let signed = SignedReceipt::decode(&court.sign(&court.receipt(&delivery, scope))).unwrap();
        platform
            .courier
            .hand_in(&court.caller(), delivery.id, &signed)
            .await
            .unwrap();
        platform.events(delivery.id).await.len()
    };
    let first = hand_in("receipt_only").await;
    assert_eq!(hand_in("receipt_only").await, first);
    assert_eq!(hand_in("technical_conformity_confirmed").await, first + 1);
    assert_eq!(hand_in("content_digest_confirmed").await, first + 1);
    let done = platform
        .courier
        .delivery(delivery.id)
        .await
        .unwrap()
        .document();
    assert_eq!(
        done.receipt_scope.as_deref(),
        Some("technical_conformity_confirmed")
    );
}

#[tokio::test]
async fn an_expired_certificate_signs_no_receipts() {
    let platform = Platform::new().await;
    let court = &platform.hangzhou;
    let mut document = court.document(None);
    let soon = certificate(
        Profile::CourtSigning,
        &court.signing.0,
        NOW.plus_ms(HOUR_MS),
    );
    document.signing_certificate = soon.to_pem().unwrap();
    platform.profile(court, &document).await.unwrap();
    let delivery = platform.prepared().await;
    let receipt = serde_json::to_vec(&court.receipt(&delivery, "receipt_only")).unwrap();
    let signed = SignedReceipt::decode(&sign_with(&court.signing.0, &soon, &receipt)).unwrap();
    platform.clock.advance_ms(HOUR_MS);
    assert!(platform.clock.now() > soon.not_after());
    let refused = platform
        .courier
        .hand_in(&court.caller(), delivery.id, &signed)
        .await
        .unwrap_err();
    assert!(refused.detail.contains("not valid now"), "{refused}");
}

#[tokio::test]
async fn anothers_delivery_does_not_exist() {
    let platform = Platform::new().await;
    let delivery = platform.prepared().await;
    let signed = platform
        .beijing
        .sign(&platform.beijing.receipt(&delivery, "receipt_only"));
    let signed = SignedReceipt::decode(&signed).unwrap();
    let refused = platform
        .courier
        .hand_in(&platform.beijing.caller(), delivery.id, &signed)
        .await;
    assert_eq!(refused.unwrap_err().kind, ErrorKind::NotFound);
}

#[test]
fn what_is_not_base64_is_no_receipt() {
    let document = SignedReceiptDocument {
        receipt: "%".into(),
        signature: String::new(),
    };
    assert!(SignedReceipt::decode(&document).is_err());
}
