//! Which profiles are accepted (ETA s.47, trap 47).

use probity_delivery::recipient;
use probity_pki::keys::MemoryKey;
use probity_pki::x509::Profile;
use probity_platform::ErrorKind;
use probity_platform::access::CallerRole;
use probity_proto::http::RecipientDocument;
use probity_proto::ledger::RecipientEvent;

use crate::fixture::{HOUR_MS, NOW};
use crate::world::{ENDPOINT, Platform, caller, certificate, court, other_curve, tenant};

#[tokio::test]
async fn certificates_that_are_not_good_are_refused() {
    let platform = Platform::new().await;
    let court = court("new");
    let good = court.document(Some(ENDPOINT));
    let later = NOW.plus_ms(24 * HOUR_MS);
    let pem = |profile, key: &MemoryKey, until| certificate(profile, key, until).to_pem().unwrap();
    let fresh = MemoryKey::generate().unwrap();
    let encryption = |pem: String| RecipientDocument {
        encryption_certificate: pem,
        ..good.clone()
    };
    let signing = |pem: String| RecipientDocument {
        signing_certificate: pem,
        ..good.clone()
    };
    let refused = [
        (
            "expired",
            encryption(pem(Profile::CourtEncryption, &fresh, NOW.plus_ms(60_000))),
        ),
        (
            "another curve",
            encryption(pem(Profile::CourtEncryption, &other_curve(), later)),
        ),
        (
            "no key agreement",
            encryption(pem(Profile::CourtSigning, &fresh, later)),
        ),
        ("not PEM", encryption("nonsense".into())),
        (
            "signing expired",
            signing(pem(Profile::CourtSigning, &fresh, NOW.plus_ms(60_000))),
        ),
        (
            "signing on another curve",
            signing(pem(Profile::CourtSigning, &other_curve(), later)),
        ),
        (
            "signing with an encryption certificate",
            signing(pem(Profile::CourtEncryption, &fresh, later)),
        ),
        (
            "one key for both",
            signing(pem(Profile::CourtSigning, &court.encryption.0, later)),
        ),
        (
            "http",
            RecipientDocument {
                endpoint: Some("http://court.example".into()),
                ..good.clone()
            },
        ),
        (
            "loopback",
            RecipientDocument {
                endpoint: Some("https://127.0.0.1".into()),
                ..good.clone()
            },
        ),
        (
            "metadata service",
            RecipientDocument {
                endpoint: Some("https://169.254.169.254".into()),
                allow_private_address: true,
                ..good.clone()
            },
        ),
        (
            "push without endpoint",
            RecipientDocument {
                endpoint: None,
                ..good.clone()
            },
        ),
        (
            "pull with endpoint",
            RecipientDocument {
                channel: "pull".into(),
                ..good.clone()
            },
        ),
        (
            "unknown channel",
            RecipientDocument {
                channel: "fax".into(),
                ..good.clone()
            },
        ),
        (
            "no name",
            RecipientDocument {
                name: String::new(),
                ..good.clone()
            },
        ),
        (
            "no place",
            RecipientDocument {
                place_of_business: String::new(),
                ..good.clone()
            },
        ),
        (
            "broken CA",
            RecipientDocument {
                tls_ca: Some("nonsense".into()),
                ..good.clone()
            },
        ),
    ];
    for (why, document) in refused {
        let stored = platform.profile(&court, &document).await;
        assert!(stored.is_err(), "{why}");
    }
    platform.profile(&court, &good).await.unwrap();
}

#[tokio::test]
async fn who_may_store_what() {
    let platform = Platform::new().await;
    let court = court("new");
    let put = async |role, document: &RecipientDocument| {
        let stored = recipient::put(
            &platform.ledger,
            &*platform.clock,
            &caller(role),
            &court.id,
            document,
        )
        .await;
        stored.err().map(|e| e.kind)
    };
    let public = court.document(Some(ENDPOINT));
    let private = RecipientDocument {
        endpoint: Some("https://127.0.0.1:8443".into()),
        allow_private_address: true,
        ..public.clone()
    };
    let vendor = CallerRole::Vendor {
        tenant: tenant("acme"),
        party: probity_domain::PartyId::parse("p").unwrap(),
    };
    assert_eq!(put(vendor, &public).await, Some(ErrorKind::Forbidden));
    assert_eq!(
        put(
            CallerRole::Court {
                recipient: court.id.clone()
            },
            &public
        )
        .await,
        Some(ErrorKind::Forbidden)
    );
    assert_eq!(
        put(CallerRole::Officer, &private).await,
        Some(ErrorKind::Forbidden)
    );
    assert_eq!(put(CallerRole::Operator, &private).await, None);
    assert_eq!(put(CallerRole::Officer, &public).await, None);
    assert_eq!(put(CallerRole::Officer, &public).await, None);
    let history = platform.ledger.read::<RecipientEvent>("new").await.unwrap();
    assert_eq!(history.events.len(), 2, "the same again changes nothing");
}

#[tokio::test]
async fn a_suspended_recipient_gets_nothing_until_it_has_a_new_profile() {
    let platform = Platform::new().await;
    let id = platform.request(&platform.beijing).await.id;
    let mut history = platform
        .ledger
        .read::<RecipientEvent>("beijing")
        .await
        .unwrap();
    let event = RecipientEvent::Suspended {
        reason: "key lost".into(),
    };
    platform
        .ledger
        .append(&mut history, "role:operator", "test", event)
        .await
        .unwrap();
    platform.courier.deliver(id).await.unwrap();
    assert_eq!(platform.pushes(), 0);
    let asked = platform
        .courier
        .request(&tenant("acme"), "c", &platform.asked(&platform.beijing))
        .await;
    assert_eq!(asked.unwrap_err().kind, ErrorKind::Conflict);
    platform
        .profile(
            &platform.beijing,
            &platform.beijing.document(Some(ENDPOINT)),
        )
        .await
        .unwrap();
    platform.courier.deliver(id).await.unwrap();
    assert_eq!(platform.pushes(), 1);
}
