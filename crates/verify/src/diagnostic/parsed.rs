//! What the documents say, taken apart for people and other programs. Judgement never reads this.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use probity_pki::algorithm::{key_name, signature_hash};
use probity_pki::asic::Manifest;
use probity_pki::crl::Crl;
use probity_pki::ocsp::OcspResponse;
use probity_pki::package::{CHECKPOINT, INCLUSION, Inclusion, STORAGE_ATTESTATION};
use probity_pki::x509::Certificate;
use serde_json::{Value, json};

use super::Diagnostic;
use crate::parts::{Part, Parts};
use crate::signature::{Signed, Stamp};
use crate::text::Text;

pub fn view(diagnostic: &Diagnostic) -> Value {
    let parts = Parts::of(diagnostic);
    let checkpoint = diagnostic.document(CHECKPOINT);
    let inclusion = diagnostic.document(INCLUSION).map(Inclusion::parse);
    let mut view = json!({
        "event_manifest": part(&parts.event_manifest, manifest),
        "event_signature": part(&parts.event, signed),
        "seal_manifest": part(&parts.seal_manifest, manifest),
        "seal_signature": part(&parts.seal, signed),
        "submitter_manifest": part(&parts.submitter_manifest, manifest),
        "submitter_signature": part(&parts.submitter, signed),
        "statement": part(&parts.statement, |s| serde_json::to_value(s).unwrap_or_default()),
        "checkpoint": checkpoint.map(String::from_utf8_lossy),
        "inclusion": inclusion.map(|parsed| match parsed {
            Ok(inclusion) => json!({
                "leaf_index": inclusion.leaf_index,
                "tree_size": inclusion.tree_size,
                "hashes": inclusion.hashes.iter().map(|h| hex::encode(h.0)).collect::<Vec<_>>(),
            }),
            Err(e) => unreadable(&Text::error(&e)),
        }),
    });
    // Data of packages without one stay what they were.
    let attestation = diagnostic.document(STORAGE_ATTESTATION);
    if let (Some(note), Some(view)) = (attestation, view.as_object_mut()) {
        let note = String::from_utf8_lossy(note).into_owned();
        view.insert("storage_attestation".to_owned(), note.into());
    }
    view
}

fn part<T>(part: &Part<T>, view: impl FnOnce(&T) -> Value) -> Value {
    match part {
        Part::Absent => Value::Null,
        Part::Unreadable(reason) => unreadable(reason),
        Part::Read(read) => view(read),
    }
}

fn unreadable(reason: &Text) -> Value {
    json!({ "unreadable": reason.en })
}

fn manifest(manifest: &Manifest) -> Value {
    let reference = |r: &probity_pki::asic::DataObjectReference| {
        json!({
            "member": r.member,
            "algorithm": r.algorithm.name(),
            "digest": hex::encode(&r.digest),
        })
    };
    json!({
        "signature": manifest.signature,
        "references": manifest.references.iter().map(reference).collect::<Vec<_>>(),
    })
}

fn signed(signed: &Signed) -> Value {
    let data = &signed.data;
    json!({
        "arithmetic": result(&signed.signer),
        "signer": data.signer_certificate().ok().map(Certificate::subject),
        "digest_algorithm": data.digest_algorithm().name(),
        "signing_time_claimed": data.signing_time().map(|at| at.to_rfc3339()),
        "commitment": data.commitment().map(|c| format!("{c:?}")),
        "instruction_digest": data.instruction_digest().map(hex::encode),
        "signature_value": hex::encode(data.signature_value()),
        "certificates": certificates(data.certificates()),
        "revocation_lists": lists(data.crls()),
        "ocsp_responses": responses(data.ocsp_responses()),
        "revocation_data_bound": data.binds_status(),
        "time_stamp": signed.stamp.as_ref().map(stamp),
    })
}

fn stamp(stamp: &Stamp) -> Value {
    let (token, info) = (&stamp.token, stamp.token.tst_info());
    json!({
        "arithmetic": result(&stamp.unit),
        "unit": stamp.unit.as_ref().ok().map(Certificate::subject),
        "gen_time": info.gen_time.to_rfc3339(),
        "accuracy_us": info.accuracy_us,
        "policy": info.policy.to_string(),
        "serial": hex::encode(&info.serial),
        "imprint_algorithm": info.imprint.algorithm.name(),
        "imprint": hex::encode(&info.imprint.digest),
        "digest_algorithm": token.digest_algorithm().name(),
        "clock_evidence": info.clock_evidence.as_ref().map(|evidence| {
            json!({ "record": evidence.record, "sha256": hex::encode(evidence.digest) })
        }),
        "certificates": certificates(token.certificates()),
        "revocation_lists": lists(token.crls()),
        "ocsp_responses": responses(token.ocsp_responses()),
    })
}

fn result<T>(result: &Result<T, Text>) -> Value {
    match result {
        Ok(_) => json!("holds"),
        Err(reason) => json!({ "fails": reason.en }),
    }
}

fn certificates(certificates: &[Certificate]) -> Vec<Value> {
    let view = |certificate: &Certificate| {
        json!({
            "subject": certificate.subject(),
            "issuer": certificate.issuer(),
            "serial": certificate.serial_hex(),
            "not_before": certificate.not_before().to_rfc3339(),
            "not_after": certificate.not_after().to_rfc3339(),
            "is_ca": certificate.is_ca(),
            "key": key_name(certificate.spki_der()).ok(),
            "signature_hash": signature_hash(certificate.der()).ok().map(|hash| hash.name()),
            "sha256": hex::encode(certificate.sha256()),
            "der": STANDARD.encode(certificate.der()),
        })
    };
    certificates.iter().map(view).collect()
}

fn lists(lists: &[Crl]) -> Vec<Value> {
    let view = |list: &Crl| {
        json!({
            "issuer": list.issuer(),
            "number": list.number(),
            "this_update": list.this_update().to_rfc3339(),
            "next_update": list.next_update().to_rfc3339(),
            "revoked": list.revoked().len(),
            "signature_hash": signature_hash(list.der()).ok().map(|hash| hash.name()),
        })
    };
    lists.iter().map(view).collect()
}

fn responses(responses: &[OcspResponse]) -> Vec<Value> {
    let view = |response: &OcspResponse| {
        json!({
            "produced_at": response.produced_at().to_rfc3339(),
            "next_update": response.next_update().map(|at| at.to_rfc3339()),
            "der": STANDARD.encode(response.der()),
        })
    };
    responses.iter().map(view).collect()
}
