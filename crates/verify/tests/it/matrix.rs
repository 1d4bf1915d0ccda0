//! Every ASN.1 element of the signatures, changed in every way: never valid, and the right check says so.
//!
//! Three attackers try each change: one who only has the package; one who takes seal and log proof
//! away, or puts a seal of his own there; and, so that the signature's own checks have to answer, one
//! for whom the honest delivery service and log have sealed and logged the changed bytes.

use std::collections::{BTreeMap, BTreeSet};

use probity_domain::Record;
use probity_pki::cms::{CommitmentType, SignRequest, sign_manifest};
use probity_pki::package::{
    self, CHECKPOINT, EVENT_MANIFEST, EVENT_SIGNATURE, INCLUSION, Inclusion, SEAL_MANIFEST,
    SEAL_SIGNATURE, STATEMENT, STORAGE_ATTESTATION, SealedMember,
};
use probity_pki::tlog::{Checkpoint, leaf_hash};
use probity_verify::{CheckName, CheckResult, Overall, Verdict};

use crate::decoders::{Known, facts};
use crate::fixture::{Members, World, attestation, change, failed, result};
use crate::region::{ALL as REGIONS, region};
use crate::tlv::Change::{self, AppendByte, Delete, Duplicate, FlipLastBit, Rotate};
use crate::tlv::Element;

/// What passes although it is changed, because nobody signed it and it says nothing: the verdict is
/// the same. Set members standing twice are the same set. In a token, which may be of another maker,
/// the order of the signed attributes is restored before they are verified (RFC 5652 5.4), and version
/// numbers and the list of digest algorithms, a hint for one-pass readers (5.1), are not asked.
const HARMLESS: [(&str, &[Change]); 7] = [
    ("certificate", &[Duplicate]),
    ("revocation list", &[Duplicate]),
    ("token certificates", &[Duplicate]),
    (
        "token digest algorithms",
        &[FlipLastBit, Delete, Duplicate, AppendByte],
    ),
    ("token signed attributes", &[Rotate]),
    ("token signer version", &[FlipLastBit]),
    ("token version", &[FlipLastBit]),
];

/// Elements in here are bound by one digest or signature, so each gets a third of the changes.
const BOUND_AS_A_WHOLE: [&str; 3] = [
    "inside a certificate",
    "inside a revocation list",
    "token certificates",
];

/// The good package with another signature member, logged and sealed anew.
pub fn honestly_around(known: &Known, signature: &[u8]) -> Members {
    let mut members = known.members.clone();
    change(&mut members, EVENT_SIGNATURE, |bytes| {
        *bytes = signature.to_vec()
    });
    honestly_deposited(known, members)
}

/// These members, logged and sealed by those who have the keys to it, whatever they hold. The seal
/// brings no revocation lists of its own.
pub fn honestly_deposited(known: &Known, mut members: Members) -> Members {
    let get = |name: &str| {
        members
            .iter()
            .find(|(member, _)| member == name)
            .unwrap()
            .1
            .clone()
    };
    let record = Record {
        evidence: known.scenario.statement.evidence_number,
        statement: get(STATEMENT),
        manifest: get(EVENT_MANIFEST),
        signature: get(EVENT_SIGNATURE),
    };
    let (checkpoint, inclusion) = alone_in_the_log(&known.world, &record.encode().unwrap());
    change(&mut members, CHECKPOINT, |bytes| *bytes = checkpoint);
    change(&mut members, INCLUSION, |bytes| *bytes = inclusion);
    let note = attestation(&known.scenario.statement, 0, 1);
    let note = note.sign(&known.world.log).unwrap();
    change(&mut members, STORAGE_ATTESTATION, |bytes| *bytes = note);
    seal(known, &known.world, &mut members);
    members
}

/// Checkpoint and proof of a log with this one entry.
pub fn alone_in_the_log(world: &World, entry: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let checkpoint = Checkpoint {
        origin: world.log.name().to_owned(),
        size: 1,
        root: leaf_hash(entry),
    };
    let inclusion = Inclusion {
        leaf_index: 0,
        tree_size: 1,
        hashes: Vec::new(),
    };
    (
        checkpoint.sign(&world.log).unwrap(),
        inclusion.to_bytes().unwrap(),
    )
}

/// Takes the seal off and puts on one by the delivery service of `world`.
pub fn seal(known: &Known, world: &World, members: &mut Members) {
    members.retain(|(name, _)| ![SEAL_MANIFEST, SEAL_SIGNATURE].contains(&name.as_str()));
    let of = |(name, bytes): &(String, Vec<u8>)| SealedMember::of(name, "text/plain", bytes);
    let listed: Vec<_> = members.iter().map(of).collect();
    let manifest = package::seal_manifest(&listed).unwrap();
    let request = SignRequest {
        content: &manifest,
        signer: &world.seal.certificate,
        extra_certificates: std::slice::from_ref(&world.issuing.certificate),
        crls: &[],
        signing_time: known.scenario.sealed_at,
        commitment: CommitmentType::ProofOfDelivery,
        instruction_digest: None,
    };
    let signature = sign_manifest(&request, &[], &world.seal.key).unwrap();
    let signature = world.stamped(&signature, known.scenario.sealed_at);
    members.push((SEAL_MANIFEST.to_owned(), manifest));
    members.push((SEAL_SIGNATURE.to_owned(), signature));
}

/// The first check that did not pass.
pub fn first_not_passed(verdict: &Verdict) -> Option<CheckName> {
    let not_passed = |result| matches!(result, CheckResult::Failed | CheckResult::Indeterminate);
    verdict
        .checks
        .iter()
        .find(|check| not_passed(check.result))
        .map(|check| check.name)
}

/// Each change of each element.
fn changes(der: &[u8]) -> Vec<(&'static str, Change, Vec<u8>)> {
    let tree = Element::parse(der, true).unwrap();
    assert_eq!(tree.encode(), der);
    let mut all = Vec::new();
    for (at, path) in tree.paths().iter().enumerate() {
        let region = region(&tree, path);
        let is_thinned = BOUND_AS_A_WHOLE.contains(&region) && path.len() > 5;
        for (kind, change) in Change::ALL.into_iter().enumerate() {
            if is_thinned && (at + kind) % 3 != 0 {
                continue;
            }
            if let Some(changed) = tree.changed(path, change).filter(|changed| changed != der) {
                all.push((region, change, changed));
            }
        }
    }
    all
}

/// What was found about changes that left a package valid, or blamed the wrong check.
#[derive(Default)]
struct Findings {
    harmless: BTreeSet<String>,
    blamed: BTreeMap<&'static str, BTreeSet<CheckName>>,
}

impl Findings {
    fn of(
        cases: &[(&'static str, Change, Vec<u8>)],
        honest: &Verdict,
        verify: impl Fn(&[u8]) -> Verdict + Sync,
    ) -> Self {
        let judge = |(region, change, bytes): &(&'static str, Change, Vec<u8>)| {
            let verdict = verify(bytes);
            if verdict.overall == Overall::Valid {
                assert_eq!(facts(&verdict), facts(honest), "{region} {change:?}");
            }
            (*region, *change, first_not_passed(&verdict))
        };
        let (first, second) = cases.split_at(cases.len() / 2);
        let judged = std::thread::scope(|scope| {
            let first = scope.spawn(|| first.iter().map(judge).collect::<Vec<_>>());
            let second: Vec<_> = second.iter().map(judge).collect();
            [first.join().unwrap(), second].concat()
        });
        let mut findings = Self::default();
        for (region, change, blamed) in judged {
            match blamed {
                Some(name) => drop(findings.blamed.entry(region).or_default().insert(name)),
                None => drop(findings.harmless.insert(format!("{region}: {change:?}"))),
            }
        }
        findings
    }
}

#[test]
fn every_element_of_the_event_signature_counts() {
    let known = Known::fresh();
    let signature = known.member(EVENT_SIGNATURE);
    let honest = known.world.verify(&honestly_around(&known, &signature));
    assert_eq!(
        honest.overall,
        Overall::Valid,
        "{}",
        probity_verify::render(&honest)
    );
    let cases = changes(&signature);
    let findings = Findings::of(&cases, &honest, |bytes| {
        known.world.verify(&honestly_around(&known, bytes))
    });
    for (region, expected) in REGIONS {
        let blamed = findings
            .blamed
            .get(region)
            .unwrap_or_else(|| panic!("{region} is not there"));
        let unexpected: Vec<_> = blamed
            .iter()
            .filter(|name| !expected.contains(name))
            .collect();
        assert!(
            unexpected.is_empty(),
            "{region} is blamed on {unexpected:?}"
        );
    }
    assert_eq!(findings.harmless, listed(&HARMLESS));
}

/// Without the keys of the platform even what is harmless in itself is found.
#[test]
fn nothing_passes_without_the_seal_and_the_log() {
    let (known, other) = (Known::fresh(), World::new());
    let signature = known.member(EVENT_SIGNATURE);
    let cases = changes(&signature);
    for (region, kind, bytes) in cases.iter().step_by(23) {
        let mut tampered = known.members.clone();
        change(&mut tampered, EVENT_SIGNATURE, |old| old.clone_from(bytes));
        let plain = failed(&known.world.verify(&tampered));
        assert!(
            plain.contains(&CheckName::MembersMatchManifest),
            "{region} {kind:?}"
        );
        assert!(
            plain.contains(&CheckName::LogInclusion),
            "{region} {kind:?}"
        );

        let mut bare = tampered.clone();
        let gone = [SEAL_MANIFEST, SEAL_SIGNATURE, CHECKPOINT, INCLUSION];
        bare.retain(|(name, _)| !gone.contains(&name.as_str()));
        assert_ne!(
            known.world.verify(&bare).overall,
            Overall::Valid,
            "{region} {kind:?}"
        );

        seal(&known, &other, &mut tampered);
        let verdict = known.world.verify(&tampered);
        assert_eq!(
            result(&verdict, CheckName::DeliverySeal),
            CheckResult::Failed
        );
        assert_eq!(
            result(&verdict, CheckName::LogInclusion),
            CheckResult::Failed
        );
    }
}

/// Nothing covers the seal, so its own checks have to find everything: revocation lists too, which it binds.
#[test]
fn every_element_of_the_seal_counts() {
    let known = Known::fresh();
    let mut cases = changes(&known.member(SEAL_SIGNATURE));
    // Certificates and lists are read as those of the event.
    cases.retain(|(region, ..)| !BOUND_AS_A_WHOLE.contains(region));
    let findings = Findings::of(&cases, &known.valid, |bytes| {
        let mut members = known.members.clone();
        change(&mut members, SEAL_SIGNATURE, |old| *old = bytes.to_vec());
        known.world.verify(&members)
    });
    for (region, blamed) in &findings.blamed {
        let responsible = [CheckName::DeliverySeal, CheckName::SealTimeStamp];
        assert!(
            blamed.iter().all(|name| responsible.contains(name)),
            "{region}: {blamed:?}"
        );
    }
    let mut harmless = HARMLESS.to_vec();
    harmless.retain(|(region, _)| *region != "token certificates");
    assert_eq!(findings.harmless, listed(&harmless));
}

fn listed(harmless: &[(&str, &[Change])]) -> BTreeSet<String> {
    let one = |(region, changes): &(&str, &[Change])| {
        changes
            .iter()
            .map(|change| format!("{region}: {change:?}"))
            .collect::<Vec<_>>()
    };
    harmless.iter().flat_map(one).collect()
}
