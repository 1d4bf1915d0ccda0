//! JSON documents in the store and at the edges.

use probity_domain::{
    Artifact, ArtifactName, ArtifactRole, CaseId, CredentialId, Digests, IdempotencyKey, IntentId,
    Item, ItemOutcome, Malformed, MediaType, PartyId, Purpose, Sha3_256, Sha256, Submission,
    SubmissionDraft, SubmissionId, SubmitterSignature, TenantId, Timestamp,
};
use probity_proto::clock::{
    CLOCK_RECORD_FORMAT, ClockChange, ClockRecordDocument, ClockSampleDocument,
    ClockSourceDocument, LeapDocument, RefusalCount, read_clock_record, write_clock_record,
};
use probity_proto::http::{
    INSTRUCTION_FORMAT, InstructionDocument, RECEIPT_FORMAT, ReceiptDocument,
};
use probity_proto::stored::{read_submission, submission_bytes, write_submission};

use crate::golden;

const AT: Timestamp = Timestamp::from_unix_ms(1_795_000_000_000);

/// The same document as a newer version would write it: another name, a field more.
fn newer(bytes: &[u8], name: &str) -> Vec<u8> {
    let text = core::str::from_utf8(bytes).unwrap();
    let renamed = text.replacen(&format!("{name}/1"), &format!("{name}/2"), 1);
    renamed.replacen('{', "{\"newer\":1,", 1).into_bytes()
}

fn submission() -> Submission {
    let artifact = |name: &str, role| Artifact {
        name: ArtifactName::parse(name).unwrap(),
        media_type: MediaType::parse("text/html").unwrap(),
        role,
        size_bytes: 5,
        digests: Digests {
            sha3_256: Sha3_256([1; 32]),
            sha256: Sha256([2; 32]),
        },
    };
    let artifacts = vec![
        artifact("截图 1.html", ArtifactRole::Content),
        artifact("log.jsonl", ArtifactRole::ProcessLog),
    ];
    let url = Some("https://example.com/?a=<b>&c".to_owned());
    let item = Item::new(
        "A page".into(),
        Purpose::Infringement,
        url,
        Some(AT),
        artifacts,
    );
    let refused = ItemOutcome::Refused(Malformed::new("title", "empty"));
    Submission::new(SubmissionDraft {
        id: SubmissionId::new(AT, [5; 10]),
        tenant: TenantId::parse("acme").unwrap(),
        party: PartyId::parse("acme-ltd").unwrap(),
        credential: CredentialId::new(AT, [1; 10]),
        on_behalf_of: Some(PartyId::parse("star").unwrap()),
        automated: true,
        case: CaseId::parse("(2026)京0491民初12345号").unwrap(),
        intent: Some(IntentId::new(AT, [2; 10])),
        idempotency_key: IdempotencyKey::parse("k").unwrap(),
        instruction_sha256: Sha256([3; 32]),
        submitter_signature: Some(SubmitterSignature {
            sha3_256: Sha3_256([6; 32]),
            instruction_sha3_256: Sha3_256([7; 32]),
            signer: "CN=Acme".into(),
        }),
        received_at: AT,
        items: vec![ItemOutcome::Accepted(item.unwrap()), refused],
    })
    .unwrap()
}

#[test]
fn submissions() {
    let meant = submission();
    let bytes = golden("submission.json", write_submission(&meant));
    assert_eq!(read_submission(&bytes).unwrap(), meant);
    assert_eq!(write_submission(&meant), bytes);
    assert_eq!(submission_bytes(&meant), bytes.len() as u64);
    let refused = read_submission(&newer(&bytes, "probity.submission")).unwrap_err();
    assert!(
        refused.to_string().contains("probity.submission/2"),
        "{refused}"
    );
}

/// What is said of stored bytes goes into logs, whoever wrote them.
#[test]
fn long_reasons_are_cut() {
    let long = "x".repeat(100_000);
    for (field, value) in [(long.as_str(), "1"), ("format", long.as_str())] {
        let bytes = format!("{{\"{field}\":\"{value}\"}}");
        let refused = read_submission(bytes.as_bytes()).unwrap_err();
        assert!(refused.reason.len() < 400, "{field:.9}");
    }
}

#[test]
fn clock_records() {
    let meant = ClockRecordDocument {
        format: CLOCK_RECORD_FORMAT.into(),
        unit: "8116411496f32831".into(),
        run: "4c58b8a2".into(),
        seq: 48,
        previous: Some("08".repeat(32)),
        from: AT.to_rfc3339(),
        to: AT.plus_ms(60_000).to_rfc3339(),
        elapsed_ms: 60_000,
        doubt: Some("the wall clock jumped".into()),
        changes: vec![ClockChange {
            at: AT.to_rfc3339(),
            doubt: None,
        }],
        changes_unlisted: 1,
        quorum: 2,
        accuracy_ms: 1_000,
        readings: 300,
        bound_us_max: 700,
        sources: vec![ClockSourceDocument {
            name: "ntp a".into(),
            answers: 4,
            failures: 1,
            last_failure: Some("no answer".into()),
            last: Some(ClockSampleDocument {
                stratum: 1,
                offset_us: -5,
                error_us: 600,
                delay_us: 100,
                leap: 0,
            }),
            offset_us_min: Some(-9),
            offset_us_max: Some(3),
            agrees: true,
        }],
        leap: Some(LeapDocument {
            at: AT.to_rfc3339(),
            inserted: true,
        }),
        times_given: 12,
        refusals: vec![RefusalCount {
            reason: "stale".into(),
            count: 2,
        }],
    };
    let bytes = golden("clock-record.json", write_clock_record(&meant));
    assert_eq!(read_clock_record(&bytes).unwrap(), meant);
    assert_eq!(write_clock_record(&meant), bytes);
    let refused = read_clock_record(&newer(&bytes, "probity.clock-record")).unwrap_err();
    assert!(
        refused.to_string().contains("probity.clock-record/2"),
        "{refused}"
    );
}

#[test]
fn instructions_and_receipts() {
    let meant = InstructionDocument {
        format: INSTRUCTION_FORMAT.into(),
        case: "(2026)X1".into(),
        automated: true,
        on_behalf_of: None,
        items: vec![serde_json::json!({"title": "A page"})],
    };
    let bytes = golden("instruction.json", serde_json::to_vec(&meant).unwrap());
    assert_eq!(
        serde_json::from_slice::<InstructionDocument>(&bytes).unwrap(),
        meant
    );
    assert_eq!(serde_json::to_vec(&meant).unwrap(), bytes);
    let meant = ReceiptDocument {
        format: RECEIPT_FORMAT.into(),
        delivery: "01a1ee67-e275-785c-b702-0ba1bce374c2".into(),
        recipient: "beijing".into(),
        evidence: "PB1-01M7Q6FRKNF1EBE0GBM6YE6X62-00001".into(),
        package_sha256: "03".repeat(32),
        content_sha3_256: Some("04".repeat(32)),
        scope: "content_digest_confirmed".into(),
        received_at: AT.to_rfc3339(),
        place: "Beijing".into(),
    };
    let bytes = golden("receipt.json", serde_json::to_vec(&meant).unwrap());
    assert_eq!(
        serde_json::from_slice::<ReceiptDocument>(&bytes).unwrap(),
        meant
    );
    assert_eq!(serde_json::to_vec(&meant).unwrap(), bytes);
}
