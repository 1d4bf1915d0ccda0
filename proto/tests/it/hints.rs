//! Hints, questions and answers, in protobuf.

use core::fmt::Debug;

use probity_proto::v1::{
    AttestReply, AttestRequest, Attestation, DeliveryDue, Deposited, DepositedAt,
    DepositedEvidence, EventCertificate, EvidenceRecord, IssueEventCertificateReply,
    IssueEventCertificateRequest, LocateReply, LocateRequest, Located, Proof, ProveReply,
    ProveRequest, Refusal, Signed, StampReply, StampRequest, Stamped, Stamps, Submitted,
    attest_reply, issue_event_certificate_reply, locate_reply, prove_reply, stamp_reply,
};
use prost::Message;

use crate::golden;

const SUBMISSION: &str = "01a1ee67-e275-785c-b702-0ba1bce374c2";
const NUMBER: &str = "PB1-01M7Q6FRKNF1EBE0GBM6YE6X62-00001";

/// Reads yesterday's bytes as what was meant, writes the same bytes, and takes a newer version's field no wonder.
#[track_caller]
fn holds<M: Message + Default + PartialEq + Debug>(name: &str, meant: &M) {
    let bytes = golden(&format!("bus/{name}.bin"), meant.encode_to_vec());
    assert_eq!(
        M::decode(&*bytes).unwrap(),
        *meant,
        "{name} is read as something else"
    );
    assert_eq!(meant.encode_to_vec(), bytes, "{name} is written otherwise");
    // Field 1,000, length-delimited: no version knows it yet. It is ignored, and nothing else with it.
    let newer = [bytes.as_slice(), &[0xc2, 0x3e, 0x03, b'n', b'e', b'w']].concat();
    assert_eq!(
        M::decode(&*newer).unwrap(),
        *meant,
        "{name} with a newer field"
    );
}

fn records() -> Vec<EvidenceRecord> {
    vec![EvidenceRecord {
        evidence_number: NUMBER.into(),
        statement: vec![1; 3].into(),
        manifest: vec![2; 3].into(),
        signature: vec![3; 3].into(),
    }]
}

fn refusal() -> Refusal {
    Refusal {
        kind: "not_found".into(),
        detail: "nothing there".into(),
    }
}

#[test]
fn hints_of_yesterday() {
    // As they were before tenants had turns and rounds travelled along, and as they are since.
    for (version, tenant, round) in [("", "", 0), ("-2", "acme", 3)] {
        let submission_id = SUBMISSION.to_owned();
        let submitted = Submitted {
            submission_id: submission_id.clone(),
            first_item: 1,
            last_item: 300,
            round: 2,
            tenant: tenant.to_owned(),
        };
        holds(&format!("submitted{version}"), &submitted);
        let signed = Signed {
            submission_id: submission_id.clone(),
            records: records(),
            round,
        };
        holds(&format!("signed{version}"), &signed);
        let stamped = Stamped {
            submission_id,
            records: records(),
            round,
        };
        holds(&format!("stamped{version}"), &stamped);
    }
    let evidence = vec![DepositedEvidence {
        evidence_number: NUMBER.into(),
        leaf_index: 70_000,
    }];
    holds("deposited", &Deposited { evidence });
    let delivery_id = SUBMISSION.to_owned();
    holds(
        "delivery-due",
        &DeliveryDue {
            delivery_id,
            round: 1,
        },
    );
}

#[test]
fn questions_of_yesterday() {
    holds(
        "issue-event-certificate-request",
        &IssueEventCertificateRequest {
            submission_id: SUBMISSION.into(),
            tenant: "acme".into(),
            party: "acme-ltd".into(),
            subject_public_key_info: vec![4; 3].into(),
            certification_request: vec![5; 3].into(),
        },
    );
    let requests = vec![vec![6; 3].into(), vec![7; 3].into()];
    holds("stamp-request", &StampRequest { requests });
    let evidence_number = NUMBER.to_owned();
    holds("prove-request", &ProveRequest { evidence_number });
    let evidence_number = NUMBER.to_owned();
    holds("attest-request", &AttestRequest { evidence_number });
    let evidence_numbers = vec![NUMBER.to_owned()];
    holds("locate-request", &LocateRequest { evidence_numbers });
}

#[test]
fn answers_of_yesterday() {
    let certificate = EventCertificate {
        certificate: vec![1; 3].into(),
        chain: vec![vec![2; 3].into()],
        crls: vec![vec![3; 3].into()],
        ocsp_response: vec![4; 3].into(),
    };
    let outcome = issue_event_certificate_reply::Outcome::Certificate(certificate);
    holds(
        "issue-reply",
        &IssueEventCertificateReply {
            outcome: Some(outcome),
        },
    );
    let outcome = issue_event_certificate_reply::Outcome::Refusal(refusal());
    holds(
        "issue-refusal",
        &IssueEventCertificateReply {
            outcome: Some(outcome),
        },
    );
    let responses = vec![vec![5; 3].into()];
    let outcome = stamp_reply::Outcome::Stamps(Stamps { responses });
    holds(
        "stamp-reply",
        &StampReply {
            outcome: Some(outcome),
        },
    );
    let outcome = stamp_reply::Outcome::Refusal(refusal());
    holds(
        "stamp-refusal",
        &StampReply {
            outcome: Some(outcome),
        },
    );
    let proof = Proof {
        record: vec![6; 3].into(),
        leaf_index: 5,
        tree_size: 9,
        hashes: vec![vec![7; 32].into()],
        checkpoint: vec![8; 3].into(),
    };
    let outcome = prove_reply::Outcome::Proof(proof);
    holds(
        "prove-reply",
        &ProveReply {
            outcome: Some(outcome),
        },
    );
    let outcome = prove_reply::Outcome::Refusal(refusal());
    holds(
        "prove-refusal",
        &ProveReply {
            outcome: Some(outcome),
        },
    );
    let note = vec![9; 3].into();
    let outcome = attest_reply::Outcome::Attestation(Attestation { note });
    holds(
        "attest-reply",
        &AttestReply {
            outcome: Some(outcome),
        },
    );
    let outcome = attest_reply::Outcome::Refusal(refusal());
    holds(
        "attest-refusal",
        &AttestReply {
            outcome: Some(outcome),
        },
    );
    let deposited = vec![DepositedAt {
        evidence_number: NUMBER.into(),
        leaf_index: 5,
    }];
    let outcome = locate_reply::Outcome::Located(Located { deposited });
    holds(
        "locate-reply",
        &LocateReply {
            outcome: Some(outcome),
        },
    );
    let outcome = locate_reply::Outcome::Refusal(refusal());
    holds(
        "locate-refusal",
        &LocateReply {
            outcome: Some(outcome),
        },
    );
}
