//! What stands beside the evidence: the submitter's own signature and the court's receipt.

use std::collections::BTreeMap;
use std::io::Cursor;

use probity_domain::{Sha3_256, Sha256, Timestamp};
use probity_pki::cms::{CommitmentType, SignRequest, sign_detached};
use probity_pki::crl::{Crl, RevocationReason, RevokedEntry};
use probity_pki::digest::HashAlgorithm;
use probity_pki::keys::{MemoryKey, SignatureAlgorithm};
use probity_pki::package;
use probity_pki::statement::SubmitterSignature;
use probity_pki::x509::{Certificate, Profile, Subject};
use probity_verify::{
    CheckName, CheckResult, Diagnostic, Limits, Overall, Policy, SignedReceipt, Verdict, examine,
    judge, measure_file, verify_package,
};

use crate::fixture::{
    HOUR_MS, Holder, Members, NOW, Scenario, World, certified, check, container, failed, result,
};

/// Somebody with an authority of its own.
pub struct Other {
    pub world: World,
    signing: Holder,
    lists: Vec<Crl>,
}

impl Other {
    pub fn new(name: &str) -> Self {
        Self::of(name, World::new())
    }

    fn of(name: &str, world: World) -> Self {
        let (subject, issuer) = (Subject::new(name), Some(&world.issuing));
        let signing = certified(Profile::CourtSigning, subject, &[0x51; 16], issuer, None);
        let lists = world.crls(&world.scenario());
        Self {
            world,
            signing,
            lists,
        }
    }

    pub fn sign(&self, content: &[u8], signing_time: Timestamp) -> Vec<u8> {
        let request = SignRequest {
            content,
            signer: &self.signing.certificate,
            extra_certificates: std::slice::from_ref(&self.world.issuing.certificate),
            crls: &self.lists,
            signing_time,
            commitment: CommitmentType::ProofOfOrigin,
            instruction_digest: None,
        };
        sign_detached(&request, &self.signing.key).unwrap()
    }

    pub fn roots(&self) -> Vec<Certificate> {
        vec![self.world.root.certificate.clone()]
    }
}

const INSTRUCTION: &[u8] = b"{\"items\":[]}";

/// A package whose instruction the submitter signed; logged, and honestly sealed around it.
pub fn with_submitter_signature(
    world: &World,
    make: impl FnOnce(&[u8]) -> Vec<u8>,
    alter: impl FnOnce(&mut Scenario, &mut Members),
) -> Vec<u8> {
    let sha3_256 = |bytes| Sha3_256(HashAlgorithm::Sha3_256.digest(bytes).try_into().unwrap());
    let sha256 = Sha256(
        HashAlgorithm::Sha256
            .digest(INSTRUCTION)
            .try_into()
            .unwrap(),
    );
    let manifest = package::submitter_manifest(&sha3_256(INSTRUCTION)).unwrap();
    let signature = make(&manifest);
    let mut scenario = world.scenario();
    scenario.sealed = false;
    scenario.signed_instruction = sha256.0;
    scenario.statement.instruction_sha256 = sha256;
    scenario
        .statement
        .intent
        .as_mut()
        .unwrap()
        .instruction_sha256 = sha256;
    scenario.statement.submitter_signature = Some(SubmitterSignature {
        sha3_256: sha3_256(&signature),
        instruction_sha3_256: sha3_256(INSTRUCTION),
        signer: "CN=Vendor".to_owned(),
    });
    let mut beside = vec![
        (
            package::SUBMITTER_INSTRUCTION.to_owned(),
            INSTRUCTION.to_vec(),
        ),
        (package::SUBMITTER_MANIFEST.to_owned(), manifest),
        (package::SUBMITTER_SIGNATURE.to_owned(), signature),
    ];
    alter(&mut scenario, &mut beside);
    let mut members = world.members(&scenario);
    members.extend(beside);
    world.seal(&scenario, &mut members);
    container(&members)
}

#[test]
fn a_submitters_own_signature_counts_by_its_own_roots() {
    let (world, vendor) = (World::new(), Other::new("Vendor"));
    let bytes = with_submitter_signature(&world, |m| vendor.sign(m, NOW), |_, _| {});
    let mut policy = world.policy();
    let verdict = verify_package(Cursor::new(&bytes), &policy);
    // Not required: undecided without spoiling the rest.
    assert_eq!(
        result(&verdict, CheckName::SubmitterSignature),
        CheckResult::Indeterminate
    );
    assert_eq!(verdict.overall, Overall::Valid, "{:?}", failed(&verdict));
    policy.submitter_roots = vendor.roots();
    let verdict = verify_package(Cursor::new(&bytes), &policy);
    let found = check(&verdict, CheckName::SubmitterSignature);
    assert_eq!(found.result, CheckResult::Passed, "{found:?}");
    assert!(found.reason.en.contains("by CN=Vendor"), "{found:?}");
    policy.submitter_roots = Other::new("Vendor").roots();
    let verdict = verify_package(Cursor::new(&bytes), &policy);
    assert_eq!(failed(&verdict), [CheckName::SubmitterSignature]);
}

type Make<'m> = &'m dyn Fn(&[u8]) -> Vec<u8>;
type Alter<'a> = &'a dyn Fn(&mut Scenario, &mut Members);

#[test]
fn a_submitters_bad_signature_makes_the_package_invalid() {
    let (world, vendor) = (World::new(), Other::new("Vendor"));
    let mut policy = world.policy();
    policy.submitter_roots = vendor.roots();
    let good: Make<'_> = &|manifest| vendor.sign(manifest, NOW);
    let nothing: Alter<'_> = &|_, _| {};
    let own = |s: &mut Scenario| s.statement.submitter_signature.clone().unwrap();
    let rows: [(&str, Make<'_>, Alter<'_>); 9] = [
        (
            "digest differs",
            &|_| vendor.sign(b"something else", NOW),
            nothing,
        ),
        (
            "after the evidence was time-stamped",
            &|m| vendor.sign(m, NOW.plus_ms(HOUR_MS)),
            nothing,
        ),
        (
            "malformed",
            &|m| [vendor.sign(m, NOW), vec![0]].concat(),
            nothing,
        ),
        ("malformed", &|_| Vec::new(), nothing),
        ("not in the package", good, &|_, beside| {
            beside.retain(|(name, _)| name != package::SUBMITTER_SIGNATURE);
        }),
        ("knows nothing of a signature", good, &|s, _| {
            s.statement.submitter_signature = None;
        }),
        ("another signature than", good, &|s, _| {
            let mut stated = own(s);
            stated.sha3_256 = Sha3_256([0; 32]);
            s.statement.submitter_signature = Some(stated);
        }),
        ("another instruction than", good, &|s, _| {
            let mut stated = own(s);
            stated.instruction_sha3_256 = Sha3_256([0; 32]);
            s.statement.submitter_signature = Some(stated);
        }),
        ("signer is not the one", good, &|s, _| {
            let mut stated = own(s);
            stated.signer = "CN=Somebody else".to_owned();
            s.statement.submitter_signature = Some(stated);
        }),
    ];
    for (said, make, alter) in rows {
        let bytes = with_submitter_signature(&world, make, alter);
        let verdict = verify_package(Cursor::new(&bytes), &policy);
        assert_eq!(failed(&verdict), [CheckName::SubmitterSignature], "{said}");
        let reason = &check(&verdict, CheckName::SubmitterSignature).reason.en;
        assert!(reason.contains(said), "{said}: {reason}");
    }
    // A changed instruction also differs from its manifest.
    let bytes = with_submitter_signature(&world, good, |_, beside| beside[0].1.push(b' '));
    let verdict = verify_package(Cursor::new(&bytes), &policy);
    let expected = [
        CheckName::MembersMatchManifest,
        CheckName::SubmitterSignature,
    ];
    assert_eq!(failed(&verdict), expected);
}

/// A receipt as a court writes it, for this package.
fn receipt(world: &World, bytes: &[u8]) -> serde_json::Value {
    let digest = HashAlgorithm::Sha3_256.digest(bytes);
    serde_json::json!({
        "format": "probity.receipt/1",
        "delivery": "0192d7a4-5b1e-7c3a-8f00-0123456789ab",
        "recipient": "hangzhou",
        "evidence": world.scenario().statement.evidence_number.to_string(),
        "package_sha256": "ab".repeat(32),
        "content_sha3_256": Sha3_256(digest.try_into().unwrap()).to_hex(),
        "scope": "technical_conformity_confirmed",
        "received_at": NOW.plus_ms(HOUR_MS / 2).to_rfc3339(),
        "place": "Hangzhou",
    })
}

fn judged(bytes: &[u8], receipt: Option<SignedReceipt>, policy: &Policy) -> Verdict {
    let mut measured = examine(Cursor::new(bytes), Limits::default());
    measured.file = Some(measure_file(Cursor::new(bytes)).unwrap());
    measured.receipt = receipt;
    let kept = Diagnostic::parse(measured.to_json().as_bytes()).unwrap();
    let verdict = judge(&measured, policy);
    assert_eq!(judge(&kept, policy).checks, verdict.checks);
    verdict
}

fn signed(court: &Other, receipt: &serde_json::Value) -> Option<SignedReceipt> {
    let document = receipt.to_string().into_bytes();
    let signature = court.sign(&document, NOW.plus_ms(HOUR_MS / 2));
    Some(SignedReceipt {
        document,
        signature,
    })
}

fn pinned(court: &Other) -> BTreeMap<String, Vec<Certificate>> {
    [(
        "hangzhou".to_owned(),
        vec![court.signing.certificate.clone()],
    )]
    .into()
}

#[test]
fn a_courts_receipt_is_for_this_very_package() {
    let (world, court) = (World::new(), Other::new("Court"));
    let bytes = container(&world.members(&world.scenario()));
    let good = receipt(&world, &bytes);
    let mut policy = world.policy();
    let verdict = judged(&bytes, signed(&court, &good), &policy);
    assert_eq!(
        result(&verdict, CheckName::Receipt),
        CheckResult::Indeterminate
    );
    policy.recipient_roots = court.roots();
    policy.recipients = pinned(&court);
    let verdict = judged(&bytes, signed(&court, &good), &policy);
    let found = check(&verdict, CheckName::Receipt);
    assert_eq!(found.result, CheckResult::Passed, "{found:?}");
    assert!(found.reason.en.contains("hangzhou received it at"));
    let verdict = judged(&bytes, None, &policy);
    assert_eq!(
        result(&verdict, CheckName::Receipt),
        CheckResult::NotPresent
    );
}

#[test]
fn a_receipt_for_something_else_fails() {
    let (world, court) = (World::new(), Other::new("Court"));
    let bytes = container(&world.members(&world.scenario()));
    let good = receipt(&world, &bytes);
    let mut policy = world.policy();
    policy.recipient_roots = court.roots();
    for (field, value, said) in [
        ("evidence", "PB1-00000", "other evidence"),
        ("content_sha3_256", &"00".repeat(32), "another digest"),
        ("content_sha3_256", "00", "not readable"),
        ("format", "probity.receipt/2", "format"),
        ("scope", "everything", "scope"),
        ("received_at", "yesterday", "not readable"),
        ("package_sha256", "none", "not readable"),
        ("extra", "field", "unknown field"),
    ] {
        let mut bad = good.clone();
        bad[field] = value.into();
        let verdict = judged(&bytes, signed(&court, &bad), &policy);
        assert_eq!(failed(&verdict), [CheckName::Receipt], "{field}");
        let reason = &check(&verdict, CheckName::Receipt).reason.en;
        assert!(reason.contains(said), "{field}: {reason}");
    }
    // A signature of another court, or over another document.
    let verdict = judged(&bytes, signed(&Other::new("Court"), &good), &policy);
    assert_eq!(failed(&verdict), [CheckName::Receipt]);
    let mut changed = signed(&court, &good).unwrap();
    changed.document.push(b' ');
    let verdict = judged(&bytes, Some(changed), &policy);
    assert_eq!(failed(&verdict), [CheckName::Receipt]);
    // Arrival alone says nothing about the contents (ETA s.14).
    let mut arrival = good;
    arrival.as_object_mut().unwrap().remove("content_sha3_256");
    let verdict = judged(&bytes, signed(&court, &arrival), &policy);
    assert_eq!(
        result(&verdict, CheckName::Receipt),
        CheckResult::Indeterminate
    );
}

/// Whose receipt it is, whether its certificate held, and when: each must be known.
#[test]
fn a_receipt_without_certainty_is_undecided() {
    let (world, mut court) = (World::new(), Other::new("Court"));
    let bytes = container(&world.members(&world.scenario()));
    let good = receipt(&world, &bytes);
    let mut policy = world.policy();
    policy.recipient_roots = court.roots();
    let undecided = |court: &Other, policy: &Policy, said: &str| {
        let verdict = judged(&bytes, signed(court, &good), policy);
        let found = check(&verdict, CheckName::Receipt);
        assert_eq!(found.result, CheckResult::Indeterminate, "{found:?}");
        assert!(found.reason.en.contains(said), "{found:?}");
    };
    undecided(&court, &policy, "none of its certificates is pinned");
    policy.recipients = pinned(&court);
    // The certificate of somebody else under the same root.
    let (subject, issuer) = (Subject::new("Court"), Some(&court.world.issuing));
    let other = certified(Profile::CourtSigning, subject, &[0x52; 16], issuer, None);
    let own = std::mem::replace(&mut court.signing, other);
    let verdict = judged(&bytes, signed(&court, &good), &policy);
    assert_eq!(failed(&verdict), [CheckName::Receipt]);
    court.signing = own;
    court.lists.clear();
    undecided(&court, &policy, "no revocation list");
    // Revoked before it signed.
    let mut revoked = court.world.scenario();
    revoked.revoked = vec![RevokedEntry {
        serial: court.signing.certificate.serial().to_vec(),
        at: NOW,
        reason: Some(RevocationReason::Superseded),
        invalid_since: None,
    }];
    court.lists = court.world.crls(&revoked);
    let verdict = judged(&bytes, signed(&court, &good), &policy);
    assert_eq!(failed(&verdict), [CheckName::Receipt]);
}

#[test]
fn a_receipts_times_are_in_order() {
    let (world, court) = (World::new(), Other::new("Court"));
    let bytes = container(&world.members(&world.scenario()));
    let mut policy = world.policy();
    policy.recipient_roots = court.roots();
    policy.recipients = pinned(&court);
    let received = |at: Timestamp, stamped_by: Option<(&World, Timestamp)>| {
        let mut document = receipt(&world, &bytes);
        document["received_at"] = at.to_rfc3339().into();
        let mut signed = signed(&court, &document).unwrap();
        if let Some((unit, gen_time)) = stamped_by {
            signed.signature = unit.stamped(&signed.signature, gen_time);
        }
        let verdict = judged(&bytes, Some(signed), &policy);
        let found = check(&verdict, CheckName::Receipt).clone();
        (found.result, found.reason.en)
    };
    let signed_at = NOW.plus_ms(HOUR_MS / 2);
    let (passed, failed) = (CheckResult::Passed, CheckResult::Failed);
    assert_eq!(received(signed_at, None).0, passed);
    // Sealed ten minutes after the evidence.
    let (result, said) = received(NOW.plus_ms(60_000), None);
    assert_eq!(result, failed);
    assert!(said.contains("before the package was made"), "{said}");
    let (result, said) = received(signed_at.plus_ms(120_000), None);
    assert_eq!(result, failed);
    assert!(said.contains("after the receipt was signed"), "{said}");
    // A time-stamp counts if its unit is trusted: the platform's, or one of the court's own authority.
    for unit in [&world, &court.world] {
        let stamped = received(signed_at, Some((unit, signed_at)));
        assert_eq!(stamped.0, passed, "{}", stamped.1);
        let early = received(signed_at, Some((unit, signed_at.plus_ms(-120_000))));
        assert_eq!(early.0, failed, "{}", early.1);
    }
    let stranger = World::new();
    let (result, said) = received(signed_at, Some((&stranger, signed_at)));
    assert_eq!(result, failed, "{said}");
}

#[test]
fn algorithms_beside_the_evidence_must_be_accepted() {
    let weaker = || MemoryKey::generate_for(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let world = World::new();
    let other = Other::of("Vendor", World::with_keys(&mut { weaker }));
    let mut policy = world.policy();
    policy.submitter_roots = other.roots();
    policy
        .algorithms
        .retain(|accepted| accepted.name != "P-256");
    let bytes = with_submitter_signature(&world, |m| other.sign(m, NOW), |_, _| {});
    let verdict = verify_package(Cursor::new(&bytes), &policy);
    assert_eq!(failed(&verdict), [CheckName::Algorithms]);
    let reason = &check(&verdict, CheckName::Algorithms).reason.en;
    assert!(reason.contains("P-256 (submitter's signature)"), "{reason}");
    assert!(reason.contains("P-256 (revocation data)"), "{reason}");

    let bytes = container(&world.members(&world.scenario()));
    policy.recipient_roots = other.roots();
    policy.recipients = pinned(&other);
    let verdict = judged(&bytes, signed(&other, &receipt(&world, &bytes)), &policy);
    assert_eq!(failed(&verdict), [CheckName::Algorithms]);
    let reason = &check(&verdict, CheckName::Algorithms).reason.en;
    assert!(reason.contains("P-256 (receipt)"), "{reason}");
}
