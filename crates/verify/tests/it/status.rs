//! Revocation data: what is under a signature tells, everything else can only add revocations.

use std::io::Cursor;

use probity_domain::Timestamp;
use probity_pki::cms::{CommitmentType, SignRequest, sign_detached};
use probity_pki::crl::{Crl, RevocationReason, RevokedEntry, build_crl};
use probity_pki::package::{SEAL_MANIFEST, SEAL_SIGNATURE};
use probity_verify::{
    CheckName, CheckResult, Diagnostic, Lang, Limits, Overall, Verdict, examine, judge,
};

use crate::asn1::{self, Node};
use crate::fixture::{
    EVENT_SERIAL, HOUR_MS, Holder, Members, NOW, Scenario, World, change, check, container, failed,
    result,
};

/// Where a SignedData holds its lists.
const LISTS: [usize; 3] = [1, 0, 4];

fn revoked(serial: &[u8], at: Timestamp) -> RevokedEntry {
    RevokedEntry {
        serial: serial.to_vec(),
        at,
        reason: Some(RevocationReason::KeyCompromise),
        invalid_since: None,
    }
}

/// A list of this issuer, newer than those in packages.
fn newer(issuer: &Holder, revoked: &[RevokedEntry]) -> Crl {
    let (this, next) = (NOW.plus_ms(HOUR_MS / 2), NOW.plus_ms(2 * HOUR_MS));
    let der = build_crl(&issuer.certificate, &issuer.key, 9, this, next, revoked).unwrap();
    Crl::from_der(&der).unwrap()
}

/// Evidence whose certificate, when the package was sealed, was known to have been revoked before it signed.
fn found_out_before_sealing(world: &World) -> Members {
    let mut scenario = world.scenario();
    scenario.sealed = false;
    let mut members = world.members(&scenario);
    scenario.revoked = vec![revoked(&EVENT_SERIAL, NOW.plus_ms(-60_000))];
    world.seal(&scenario, &mut members);
    members
}

/// Changes the set of lists that lies in the seal, and keeps it in order.
fn with_lists(members: &Members, edit: impl FnOnce(&mut Vec<Node>)) -> Members {
    let mut members = members.clone();
    change(&mut members, SEAL_SIGNATURE, |bytes| {
        let mut node = Node::parse(bytes);
        let lists = node.at(&LISTS).inside();
        edit(lists);
        lists.sort_by_key(Node::der);
        *bytes = node.der();
    });
    members
}

#[test]
fn a_seals_list_cannot_be_exchanged_for_an_earlier_one() {
    let world = World::new();
    let members = found_out_before_sealing(&world);
    assert_eq!(
        failed(&world.verify(&members)),
        [CheckName::CertificateStatus]
    );
    let earlier: Vec<_> = world.crls(&world.scenario());
    let later = Node::parse(&telling(&world, &members));
    let exchanged = with_lists(&members, |lists| {
        lists.retain(|list| list.der() != later.der());
        lists.push(Node::parse(earlier[0].der()));
    });
    let taken_away = with_lists(&members, |lists| {
        lists.retain(|list| list.der() != later.der());
    });
    for changed in [exchanged, taken_away] {
        let verdict = world.verify(&changed);
        assert_eq!(failed(&verdict), [CheckName::DeliverySeal]);
        let reason = &check(&verdict, CheckName::DeliverySeal).reason.en;
        assert!(reason.contains("it binds is missing"), "{reason}");
    }
}

/// The list that names the event certificate.
fn telling(world: &World, members: &Members) -> Vec<u8> {
    let seal = members.iter().find(|(name, _)| name == SEAL_SIGNATURE);
    let seal = probity_pki::cms::SignedData::from_der(&seal.unwrap().1).unwrap();
    let mut lists = seal.crls().iter();
    let telling = lists.find(|list| list.find(&EVENT_SERIAL).is_some());
    telling.unwrap().verify(&world.issuing.certificate).unwrap();
    telling.unwrap().der().to_vec()
}

/// A seal that does not say what was kept with it may have had more.
#[test]
fn a_seal_that_binds_nothing_decides_nothing() {
    let world = World::new();
    let scenario = world.scenario();
    let mut members = world.members(&scenario);
    let manifest = members.iter().find(|(name, _)| name == SEAL_MANIFEST);
    let request = SignRequest {
        content: &manifest.unwrap().1.clone(),
        signer: &world.seal.certificate,
        extra_certificates: std::slice::from_ref(&world.issuing.certificate),
        crls: &world.crls(&scenario),
        signing_time: scenario.sealed_at,
        commitment: CommitmentType::ProofOfDelivery,
        instruction_digest: None,
    };
    let signature = sign_detached(&request, &world.seal.key).unwrap();
    let signature = world.stamped(&signature, scenario.sealed_at);
    change(&mut members, SEAL_SIGNATURE, |bytes| *bytes = signature);
    let verdict = world.verify(&members);
    assert_eq!(verdict.overall, Overall::Indeterminate);
    let found = check(&verdict, CheckName::DeliverySeal);
    assert_eq!(found.result, CheckResult::Indeterminate);
    assert!(found.reason.en.contains("under no signature"), "{found:?}");
}

#[test]
fn a_list_that_nobody_bound_only_adds_revocations() {
    let world = World::new();
    let good = world.members(&world.scenario());
    let list = newer(
        &world.issuing,
        &[revoked(&EVENT_SERIAL, NOW.plus_ms(-60_000))],
    );
    let added = with_lists(&good, |lists| lists.push(Node::parse(list.der())));
    assert_eq!(
        failed(&world.verify(&added)),
        [CheckName::CertificateStatus]
    );
    // Out of date when it counted; current ones that were added tell nothing.
    let mut lapsed = world.scenario();
    lapsed.crl_next_update = NOW.plus_ms(-1_800_000);
    let current = [newer(&world.issuing, &[]), newer(&world.root, &[])];
    let added = with_lists(&world.members(&lapsed), |lists| {
        lists.extend(current.iter().map(|list| Node::parse(list.der())));
    });
    let verdict = world.verify(&added);
    for name in [CheckName::CertificateStatus, CheckName::DeliverySeal] {
        assert_eq!(result(&verdict, name), CheckResult::Indeterminate);
    }
}

/// The package with these lists handed in beside it, and judged again from diagnostic data.
fn judged(world: &World, scenario: &Scenario, lists: Vec<Crl>) -> Verdict {
    let bytes = container(&world.members(scenario));
    let mut measured = examine(Cursor::new(&bytes), Limits::default());
    measured.handed_in.crls = lists;
    let verdict = judge(&measured, &world.policy());
    let again = Diagnostic::parse(measured.to_json().as_bytes()).unwrap();
    assert_eq!(judge(&again, &world.policy()).checks, verdict.checks);
    verdict
}

#[test]
fn a_list_handed_in_only_adds_revocations_and_the_verdict_says_so() {
    let world = World::new();
    let scenario = world.scenario();
    let before = [revoked(&EVENT_SERIAL, NOW.plus_ms(-60_000))];
    let verdict = judged(&world, &scenario, vec![newer(&world.issuing, &before)]);
    assert_eq!(failed(&verdict), [CheckName::CertificateStatus]);
    assert_eq!(verdict.handed_in.revocation_lists, 1);
    for (lang, said) in [
        (Lang::English, "1 revocation lists and 0 OCSP responses"),
        (Lang::Chinese, "1 份吊销列表"),
    ] {
        assert!(verdict.details_text(lang).contains(said));
        assert!(verdict.summary_text(lang).contains(said));
    }
    // The unit's key: tokens of before are undone, that of the seal too.
    let unit = [revoked(
        world.tsa.certificate.serial(),
        NOW.plus_ms(HOUR_MS / 4),
    )];
    let verdict = judged(&world, &scenario, vec![newer(&world.root, &unit)]);
    let undone = [CheckName::TimeStampStatus, CheckName::SealTimeStamp];
    assert_eq!(failed(&verdict), undone);
    // Revoked after it signed: as good as ever.
    let after = [revoked(&EVENT_SERIAL, NOW.plus_ms(HOUR_MS / 4))];
    let verdict = judged(&world, &scenario, vec![newer(&world.issuing, &after)]);
    assert_eq!(verdict.overall, Overall::Valid, "{:?}", failed(&verdict));
    let silent = world.verify_scenario(&scenario);
    assert!(
        !silent
            .details_text(Lang::English)
            .contains("Considered besides")
    );
    // What is not known without them is not known with them.
    let mut lapsed = world.scenario();
    lapsed.crl_next_update = NOW.plus_ms(-1_800_000);
    let current = vec![newer(&world.issuing, &[]), newer(&world.root, &[])];
    let verdict = judged(&world, &lapsed, current);
    assert_eq!(verdict.overall, Overall::Indeterminate);
    assert_eq!(
        result(&verdict, CheckName::CertificateStatus),
        CheckResult::Indeterminate
    );
    let lists = vec![newer(&world.issuing, &before)];
    let verdict = judged(&world, &lapsed, lists);
    assert_eq!(failed(&verdict), [CheckName::CertificateStatus]);
}

/// RFC 3161 4: "unspecified" says that the key was not stolen, no reason at all does not. We write no "unspecified"
/// (RFC 5280 5.3.1), others do.
#[test]
fn unspecified_is_a_reason() {
    let world = World::new();
    let unit = world.tsa.certificate.serial();
    let list = |reason| {
        let mut entry = revoked(unit, NOW.plus_ms(HOUR_MS / 4));
        entry.reason = reason;
        newer(&world.root, &[entry])
    };
    let mut whole = Node::parse(list(Some(RevocationReason::Superseded)).der());
    let algorithm = whole.at(&[1]).clone();
    let to_be_signed = whole.at(&[0]);
    assert_eq!(to_be_signed.replace(&[0x0a, 1, 4], &[0x0a, 1, 0]), 1);
    let der = asn1::signed(to_be_signed, &algorithm, &world.root.key);
    let unspecified = Crl::from_der(&der).unwrap();
    let found = unspecified.find(unit).unwrap().reason;
    assert_eq!(found, Some(RevocationReason::Unspecified));
    let verdict = judged(&world, &world.scenario(), vec![unspecified]);
    assert_eq!(verdict.overall, Overall::Valid, "{:?}", failed(&verdict));
    let verdict = judged(&world, &world.scenario(), vec![list(None)]);
    let undone = [CheckName::TimeStampStatus, CheckName::SealTimeStamp];
    assert_eq!(failed(&verdict), undone);
    assert!(
        check(&verdict, CheckName::TimeStampStatus)
            .reason
            .en
            .contains("no reason given")
    );
}
