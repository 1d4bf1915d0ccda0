//! Events of the ledger, of every kind and type.

use core::fmt::Debug;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use probity_proto::format::read_json;
use probity_proto::http::{PartyApplicationDocument, RecipientDocument};
use probity_proto::ledger::{
    AgreementEvent, ByteRange, CertificateEvent, CredentialEvent, CustodyEvent, DeliveryEvent,
    EVENT_FORMAT, Envelope, FindingEvent, InstructionEvent, IntentEvent, KINDS, LedgerEvent,
    PartyEvent, QuarantineEvent, ReadEvent, RecipientEvent, RemovalEvent, read_event,
};

use crate::golden;

const AT: &str = "2026-11-18T11:06:40.000Z";

#[track_caller]
fn holds<E: LedgerEvent + PartialEq + Debug>(name: &str, event: E) {
    let meant = Envelope {
        format: EVENT_FORMAT.to_owned(),
        kind: E::KIND.to_owned(),
        id: "id-1".to_owned(),
        seq: 3,
        at: AT.to_owned(),
        actor: "role:intake".to_owned(),
        cause: "submission:1".to_owned(),
        write_id: "ab".repeat(16),
        event,
    };
    let today = serde_json::to_vec(&meant).unwrap();
    let file = format!("ledger/{}-{name}.json", E::KIND);
    let bytes = golden(&file, today.clone());
    let read: Envelope<E> = read_json("event", EVENT_FORMAT, &bytes).unwrap();
    assert_eq!(read, meant, "{file} is read as something else");
    assert_eq!(today, bytes, "{file} is written otherwise");
    // Whoever reads events of all kinds knows this one.
    let of_any_kind = read_event(E::KIND, &bytes).unwrap();
    assert_eq!((of_any_kind.kind, of_any_kind.seq), (meant.kind, meant.seq));
    // What a newer version writes is refused by its name, with all its fields unread.
    let text = String::from_utf8(bytes).unwrap();
    let newer = text
        .replace("probity.event/1", "probity.event/2")
        .replace("\"seq\"", "\"number\"");
    let refused = read_json::<Envelope<E>>("event", EVENT_FORMAT, newer.as_bytes()).unwrap_err();
    assert!(refused.to_string().contains("probity.event/2"), "{refused}");
    // A field that this version does not know is never passed over in silence.
    let wider = text.replacen('{', "{\"newer\":1,", 1);
    let refused = read_json::<Envelope<E>>("event", EVENT_FORMAT, wider.as_bytes()).unwrap_err();
    assert!(refused.to_string().contains("newer"), "{refused}");
}

fn application() -> PartyApplicationDocument {
    PartyApplicationDocument {
        party: "acme-ltd".into(),
        tenant: "acme".into(),
        kind: "organization".into(),
        name: "Acme 有限公司".into(),
        identifier: "91110000600037341L".into(),
        country: "CN".into(),
        email: "a@example.com".into(),
        legal_representative: Some("L".into()),
        handler: None,
        declared_true: true,
    }
}

#[test]
fn parties() {
    let decided = PartyEvent::Decided {
        verified: true,
        method: "officer".into(),
        verifier: "officer-7".into(),
        document_sha3_256: vec!["09".repeat(32)],
        note: "seen".into(),
    };
    let accepted = PartyEvent::AgreementAccepted {
        agreement: "terms".into(),
        version: "1".into(),
        sha3_256: "07".repeat(32),
        channel: "api".into(),
        from_address: "192.0.2.1".into(),
    };
    for event in [PartyEvent::Applied(application()), decided, accepted] {
        let name = match &event {
            PartyEvent::Applied(_) => "applied",
            PartyEvent::Decided { .. } => "decided",
            PartyEvent::AgreementAccepted { .. } => "agreement-accepted",
        };
        holds(name, event);
    }
}

#[test]
fn agreements_and_credentials() {
    let published = AgreementEvent::Published {
        text: "An agreement.".into(),
        sha3_256: "07".repeat(32),
    };
    let withdrawn = AgreementEvent::Withdrawn {
        reason: "replaced".into(),
    };
    for event in [published, withdrawn] {
        let name = match &event {
            AgreementEvent::Published { .. } => "published",
            AgreementEvent::Withdrawn { .. } => "withdrawn",
        };
        holds(name, event);
    }
    let issued = CredentialEvent::Issued {
        role: "vendor".into(),
        tenant: Some("acme".into()),
        party: Some("acme-ltd".into()),
        recipient: None,
        secret_sha256: "05".repeat(32),
    };
    let revoked = CredentialEvent::Revoked {
        reason: "lost".into(),
    };
    for event in [issued, revoked] {
        let name = match &event {
            CredentialEvent::Issued { .. } => "issued",
            CredentialEvent::Revoked { .. } => "revoked",
        };
        holds(name, event);
    }
}

#[test]
fn intents_and_instructions() {
    let requested = IntentEvent::Requested {
        tenant: "acme".into(),
        party: "acme-ltd".into(),
        credential: "c".into(),
        instruction_sha256: "01".repeat(32),
        summary: "two captures".into(),
        code_hmac: "02".repeat(32),
        channel: "smtp".into(),
        masked_destination: "a***@example.com".into(),
        expires_at: AT.into(),
    };
    let failed = IntentEvent::AttemptFailed {
        reason: "wrong code".into(),
        from_address: "192.0.2.1".into(),
        user_agent: "t".into(),
    };
    let confirmed = IntentEvent::Confirmed {
        from_address: "192.0.2.1".into(),
        user_agent: "t".into(),
    };
    let used = IntentEvent::Used {
        submission: "01a1ee67-e275-785c-b702-0ba1bce374c2".into(),
    };
    for event in [
        requested,
        IntentEvent::Delivered {},
        failed,
        confirmed,
        used,
    ] {
        let name = match &event {
            IntentEvent::Requested { .. } => "requested",
            IntentEvent::Delivered {} => "delivered",
            IntentEvent::AttemptFailed { .. } => "attempt-failed",
            IntentEvent::Confirmed { .. } => "confirmed",
            IntentEvent::Used { .. } => "used",
        };
        holds(name, event);
    }
    let reserved = InstructionEvent::Reserved {
        tenant: "acme".into(),
        submission: "01a1ee67-e275-785c-b702-0ba1bce374c2".into(),
        instruction_sha256: "01".repeat(32),
        received_at: AT.into(),
    };
    let InstructionEvent::Reserved { .. } = &reserved;
    holds("reserved", reserved);
}

#[test]
fn certificates_and_recipients() {
    let intended = CertificateEvent::Intended {
        profile: "event".into(),
        party: "acme-ltd".into(),
        submission: "01a1ee67-e275-785c-b702-0ba1bce374c2".into(),
        tbs_certificate: "AQID".into(),
    };
    let issued = CertificateEvent::Issued {
        certificate: "AQID".into(),
    };
    let revoked = CertificateEvent::Revoked {
        reason: "key_compromise".into(),
        revoked_at: AT.into(),
    };
    for event in [intended, issued, revoked] {
        let name = match &event {
            CertificateEvent::Intended { .. } => "intended",
            CertificateEvent::Issued { .. } => "issued",
            CertificateEvent::Revoked { .. } => "revoked",
        };
        holds(name, event);
    }
    let profiled = RecipientEvent::Profiled(RecipientDocument {
        name: "Internet Court".into(),
        place_of_business: "Beijing".into(),
        encryption_certificate: "PEM".into(),
        signing_certificate: "PEM".into(),
        channel: "push".into(),
        endpoint: Some("https://court.example/".into()),
        tls_ca: None,
        allow_private_address: false,
    });
    let suspended = RecipientEvent::Suspended {
        reason: "moved".into(),
    };
    for event in [profiled, suspended] {
        let name = match &event {
            RecipientEvent::Profiled(_) => "profiled",
            RecipientEvent::Suspended { .. } => "suspended",
        };
        holds(name, event);
    }
}

#[test]
fn deliveries() {
    let requested = DeliveryEvent::Requested {
        evidence: "PB1-01M7Q6FRKNF1EBE0GBM6YE6X62-00001".into(),
        recipient: "beijing".into(),
        tenant: "acme".into(),
        case: "(2026)X1".into(),
    };
    let prepared = |part_bytes| DeliveryEvent::Prepared {
        object: "packages/1".into(),
        size_bytes: 7,
        package_sha256: "03".repeat(32),
        content_sha3_256: "04".repeat(32),
        part_bytes,
    };
    let failed = DeliveryEvent::AttemptFailed {
        next_at: AT.into(),
        reason: "503".into(),
    };
    let entered = DeliveryEvent::Entered {
        rule: "R1".into(),
        place: "Beijing".into(),
    };
    let acknowledged = DeliveryEvent::Acknowledged {
        scope: "receipt_only".into(),
        receipt: "AQID".into(),
        signature: "AQID".into(),
    };
    let suspended = DeliveryEvent::Suspended {
        reason: "410".into(),
    };
    let fetched = DeliveryEvent::Fetched {
        credential: "c".into(),
        legal_basis: "Article 7".into(),
    };
    let all = [
        requested,
        prepared(vec![]),
        prepared(vec![4, 3]),
        failed,
        entered,
        acknowledged,
        suspended,
        fetched,
    ];
    for event in all {
        let name = match &event {
            DeliveryEvent::Requested { .. } => "requested",
            DeliveryEvent::Prepared { part_bytes, .. } if part_bytes.is_empty() => "prepared",
            DeliveryEvent::Prepared { .. } => "prepared-in-parts",
            DeliveryEvent::AttemptFailed { .. } => "attempt-failed",
            DeliveryEvent::Entered { .. } => "entered",
            DeliveryEvent::Acknowledged { .. } => "acknowledged",
            DeliveryEvent::Suspended { .. } => "suspended",
            DeliveryEvent::Fetched { .. } => "fetched",
        };
        holds(name, event);
    }
}

#[test]
fn reads() {
    let fetched = |range| ReadEvent::Fetched {
        credential: "c".into(),
        legal_basis: "Article 7".into(),
        package_sha256: "03".repeat(32),
        range,
    };
    holds("fetched", fetched(None));
    let range = ByteRange { first: 4, last: 6 };
    holds("fetched-range", fetched(Some(range)));
}

#[test]
fn findings_and_quarantine() {
    let found = FindingEvent::Found {
        key: "log/tile/0/000".into(),
        what: "truncated".into(),
        detail: "7 bytes of 9".into(),
    };
    let repaired = FindingEvent::Repaired {
        key: "log/tile/0/000".into(),
        from: "replica".into(),
        versions: 2,
    };
    for event in [found, repaired] {
        let name = match &event {
            FindingEvent::Found { .. } => "found",
            FindingEvent::Repaired { .. } => "repaired",
        };
        holds(name, event);
    }
    let held = QuarantineEvent::Held {
        stage: "signing".into(),
        reason: "too long".into(),
    };
    for event in [held, QuarantineEvent::Released {}] {
        let name = match &event {
            QuarantineEvent::Held { .. } => "held",
            QuarantineEvent::Released {} => "released",
        };
        holds(name, event);
    }
}

#[test]
fn removals() {
    let begun = RemovalEvent::Begun {
        removal: "ef".repeat(16),
        order: "(2041)D3".into(),
        keys: vec![format!("blobs/acme/{}", "07".repeat(32))],
    };
    let ended = RemovalEvent::Ended {
        removal: "ef".repeat(16),
        removed: true,
    };
    for event in [begun, ended] {
        let name = match &event {
            RemovalEvent::Begun { .. } => "begun",
            RemovalEvent::Ended { .. } => "ended",
        };
        holds(name, event);
    }
}

#[test]
fn custody() {
    let order = || "(2041)D3".to_owned();
    let held = CustodyEvent::Held { order: order() };
    let lifted = CustodyEvent::Lifted { order: order() };
    let deleted = CustodyEvent::Deleted {
        order: order(),
        keys: vec![format!("blobs/acme/{}", "07".repeat(32))],
    };
    for event in [held, lifted, deleted] {
        let name = match &event {
            CustodyEvent::Held { .. } => "held",
            CustodyEvent::Lifted { .. } => "lifted",
            CustodyEvent::Deleted { .. } => "deleted",
        };
        holds(name, event);
    }
}

/// The types of events that a registry reads, as the refusal of one that is none names them.
fn types_of(kind: &str) -> Vec<String> {
    let stranger = serde_json::json!({
        "format": EVENT_FORMAT, "kind": kind, "id": "id-1", "seq": 0, "at": AT, "actor": "a", "cause": "c",
        "write_id": "w", "event": {"type": ""},
    });
    let refused = read_event(kind, stranger.to_string().as_bytes()).unwrap_err();
    let (_, known) = refused.reason.split_once("expected ").unwrap();
    let quoted = known.split('`').skip(1).step_by(2);
    quoted.map(str::to_owned).collect()
}

/// A new registry, and a new type of event in an old one, needs a golden file.
#[test]
fn every_type_of_every_kind_has_a_file() {
    let types = |kind: &'static str| {
        types_of(kind)
            .into_iter()
            .map(move |t| (kind.to_owned(), t))
    };
    let all: BTreeSet<_> = KINDS.iter().copied().flat_map(types).collect();
    assert!(all.len() > 30, "{all:?}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ledger");
    let files = fs::read_dir(folder).unwrap().map(|file| {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        let event: Envelope<serde_json::Value> = serde_json::from_slice(&bytes).unwrap();
        read_event(&event.kind, &bytes).unwrap();
        (event.kind, event.event["type"].as_str().unwrap().to_owned())
    });
    assert_eq!(files.collect::<BTreeSet<_>>(), all);
}
