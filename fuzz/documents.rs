//! JSON documents that vendors and courts send.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use probity_domain::ITEMS_PER_SUBMISSION_MAX;
use probity_pki::cms::{SignedData, verify_detached_content};
use probity_pki::package::{EVENT_MANIFEST, EVENT_SIGNATURE};
use probity_proto::http::{
    ArtifactDocument, INSTRUCTION_FORMAT, InstructionDocument, ItemDocument, RECEIPT_FORMAT,
    ReceiptDocument, SignedReceiptDocument,
};

use crate::decoders::{Decoder, Known};
use crate::instruction;

pub const DECODERS: [Decoder; 2] = [
    Decoder {
        name: "instruction",
        check: read_instruction,
        seeds: |known| vec![instruction_of(known)],
    },
    Decoder {
        name: "receipt",
        check: read_receipt,
        seeds: |known| vec![receipt_of(known)],
    },
];

fn instruction_of(known: &Known) -> Vec<u8> {
    let statement = &known.scenario.statement;
    let artifacts = statement.artifacts.iter().map(|artifact| ArtifactDocument {
        name: artifact.name.to_string(),
        media_type: artifact.media_type.as_str().to_owned(),
        role: artifact.role.as_str().to_owned(),
        size_bytes: artifact.size_bytes,
        sha3_256: artifact.sha3_256.to_hex(),
        sha256: artifact.sha256.to_hex(),
    });
    let item = ItemDocument {
        title: statement.title.clone(),
        purpose: statement.purpose.as_str().to_owned(),
        source_url: statement.source_url.clone(),
        captured_at: Some(statement.received_at.to_rfc3339()),
        artifacts: artifacts.collect(),
    };
    let document = InstructionDocument {
        format: INSTRUCTION_FORMAT.to_owned(),
        case: statement.case.to_string(),
        automated: true,
        on_behalf_of: Some("client-1".to_owned()),
        items: vec![
            serde_json::to_value(item).unwrap(),
            serde_json::json!({"title": 1}),
        ],
    };
    serde_json::to_vec(&document).unwrap()
}

/// Accepted lines are bounded, distinct, and read the same when written again.
fn read_instruction(_: &Known, bytes: &[u8]) {
    let Ok(read) = instruction::read(bytes) else {
        return;
    };
    assert!((1..=ITEMS_PER_SUBMISSION_MAX as usize).contains(&read.items.len()));
    let mut identities = std::collections::HashSet::new();
    for item in read.accepted() {
        assert!(identities.insert(item.identity()), "one capture twice");
        let again = probity_domain::Item::try_from(ItemDocument::from(item)).unwrap();
        assert_eq!(&again, item);
    }
    assert!(read.blobs().len() <= bytes.len());
}

fn receipt_of(known: &Known) -> Vec<u8> {
    let receipt = ReceiptDocument {
        format: RECEIPT_FORMAT.to_owned(),
        delivery: known.scenario.statement.submission.to_string(),
        recipient: "beijing".to_owned(),
        evidence: known.scenario.statement.evidence_number.to_string(),
        package_sha256: "01".repeat(32),
        content_sha3_256: Some("02".repeat(32)),
        scope: "receipt_only".to_owned(),
        received_at: known.scenario.statement.received_at.to_rfc3339(),
        place: "Beijing".to_owned(),
    };
    let signed = SignedReceiptDocument {
        receipt: STANDARD.encode(serde_json::to_vec(&receipt).unwrap()),
        signature: STANDARD.encode(known.member(EVENT_SIGNATURE)),
    };
    serde_json::to_vec(&signed).unwrap()
}

/// As delivery reads it, up to the comparison with a delivery.
fn read_receipt(known: &Known, bytes: &[u8]) {
    let Ok(document) = serde_json::from_slice::<SignedReceiptDocument>(bytes) else {
        return;
    };
    let (Ok(receipt), Ok(signature)) = (
        STANDARD.decode(&document.receipt),
        STANDARD.decode(&document.signature),
    ) else {
        return;
    };
    if let Ok(signed) = SignedData::from_der(&signature) {
        let holds = verify_detached_content(&signed, &receipt).is_ok();
        assert!(!holds || receipt == known.member(EVENT_MANIFEST));
    }
    if let Ok(read) = serde_json::from_slice::<ReceiptDocument>(&receipt) {
        let again = serde_json::to_vec(&read).unwrap();
        assert_eq!(
            serde_json::from_slice::<ReceiptDocument>(&again).unwrap(),
            read
        );
    }
}
