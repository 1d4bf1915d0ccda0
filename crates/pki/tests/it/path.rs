//! Path validation: every refusal has its reason.

use probity_domain::Timestamp;
use probity_pki::Error;
use probity_pki::crl::{Crl, RevocationReason, RevokedEntry, build_crl};
use probity_pki::path::{PathError, Purpose, Revocation, find_revocation, validate_path};
use probity_pki::x509::{Certificate, Profile};

use crate::fixture::{HOUR_MS, Holder, Pki, crl, issue};

fn check(
    pki: &Pki,
    leaf: &Certificate,
    crls: &[Crl],
    at: Timestamp,
    purpose: Purpose,
) -> Result<usize, PathError> {
    let revocation = Revocation::Crls {
        crls,
        tolerance_ms: 60_000,
    };
    match validate_path(
        leaf,
        &pki.intermediates(),
        &pki.roots(),
        revocation,
        at,
        purpose,
    ) {
        Ok(path) => Ok(path.certificates.len()),
        Err(Error::Path(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn every_profile_is_good_for_its_purpose_only() {
    let pki = Pki::new();
    let encryption = issue(
        pki.now,
        Profile::CourtEncryption,
        "Court",
        7,
        Some(&pki.issuing),
    )
    .certificate;
    let receipts = issue(
        pki.now,
        Profile::CourtSigning,
        "Court",
        8,
        Some(&pki.issuing),
    )
    .certificate;
    let purposes = [
        Purpose::TimeStamping,
        Purpose::EventSigning,
        Purpose::Seal,
        Purpose::ReceiptSigning,
        Purpose::Encryption,
        Purpose::OcspSigning,
    ];
    for (leaf, good_for) in [
        (&pki.tsa.certificate, Purpose::TimeStamping),
        (&pki.event.certificate, Purpose::EventSigning),
        (&pki.seal.certificate, Purpose::Seal),
        (&pki.ocsp.certificate, Purpose::OcspSigning),
        (&encryption, Purpose::Encryption),
        (&receipts, Purpose::ReceiptSigning),
    ] {
        for purpose in purposes {
            let result = check(&pki, leaf, &pki.crls(), pki.now, purpose);
            if purpose == good_for {
                let expected = if good_for == Purpose::TimeStamping {
                    2
                } else {
                    3
                };
                assert_eq!(result, Ok(expected), "{leaf:?} {purpose:?}");
            } else if purpose != Purpose::ReceiptSigning {
                assert!(
                    matches!(result, Err(PathError::WrongPurpose { .. })),
                    "{leaf:?} {purpose:?} {result:?}"
                );
            }
        }
    }
}

#[test]
fn time_and_issuer_are_named() {
    let pki = Pki::new();
    let leaf = &pki.event.certificate;
    let at = |at| check(&pki, leaf, &pki.crls(), at, Purpose::EventSigning);
    assert!(matches!(
        at(pki.now.plus_ms(25 * HOUR_MS)),
        Err(PathError::Expired { .. })
    ));
    assert!(matches!(
        at(pki.now.plus_ms(-2 * HOUR_MS)),
        Err(PathError::NotYetValid { .. })
    ));

    let other = Pki::new();
    let result = validate_path(
        leaf,
        &pki.intermediates(),
        &other.roots(),
        Revocation::NotChecked,
        pki.now,
        Purpose::EventSigning,
    );
    // Same names, other keys.
    assert!(
        matches!(result, Err(Error::Path(PathError::BadSignature { .. }))),
        "{result:?}"
    );
    let result = validate_path(
        leaf,
        &[],
        &pki.roots(),
        Revocation::NotChecked,
        pki.now,
        Purpose::EventSigning,
    );
    assert!(
        matches!(result, Err(Error::Path(PathError::UnknownIssuer { .. }))),
        "{result:?}"
    );
}

#[test]
fn a_leaf_issues_nothing() {
    let pki = Pki::new();
    let template = crate::fixture::template(
        pki.now,
        Profile::Event,
        "Grandchild",
        &[9; 16],
        pki.event.certificate.spki_der(),
        Some(&pki.event.certificate),
    );
    assert!(template.to_be_signed().is_err());
}

#[test]
fn revocation_counts_from_its_date() {
    let pki = Pki::new();
    let leaf = &pki.event.certificate;
    let revoked_at = pki.now.plus_ms(-HOUR_MS / 2);
    let entry = RevokedEntry {
        serial: leaf.serial().to_vec(),
        at: revoked_at,
        reason: Some(RevocationReason::CertificateHold),
        invalid_since: None,
    };
    let list = crl(pki.now, &pki.issuing, &[entry]);
    let lists = [pki.root_crl.clone(), list];
    let at = |at| check(&pki, leaf, &lists, at, Purpose::EventSigning);
    assert!(matches!(
        at(pki.now),
        Err(PathError::Revoked {
            reason: Some(RevocationReason::CertificateHold),
            ..
        })
    ));
    assert_eq!(at(revoked_at.plus_ms(-2_000)), Ok(3));
}

/// RFC 3161 4: whoever has a unit's key writes any time with it.
#[test]
fn a_stolen_unit_key_undoes_its_tokens_of_before() {
    let pki = Pki::new();
    let revoked_at = pki.now.plus_ms(-HOUR_MS / 2);
    let before = revoked_at.plus_ms(-2_000);
    for (reason, undone) in [
        (Some(RevocationReason::KeyCompromise), true),
        (Some(RevocationReason::CaCompromise), true),
        (None, true),
        // As written: no reason at all (RFC 5280 5.3.1).
        (Some(RevocationReason::Unspecified), true),
        (Some(RevocationReason::Superseded), false),
        (Some(RevocationReason::CessationOfOperation), false),
        (Some(RevocationReason::AffiliationChanged), false),
    ] {
        let entry = RevokedEntry {
            serial: pki.tsa.certificate.serial().to_vec(),
            at: revoked_at,
            reason,
            invalid_since: None,
        };
        let lists = [crl(pki.now, &pki.root, &[entry])];
        let at = |at| {
            check(
                &pki,
                &pki.tsa.certificate,
                &lists,
                at,
                Purpose::TimeStamping,
            )
        };
        let after = at(pki.now);
        assert!(matches!(after, Err(PathError::Revoked { .. })), "{after:?}");
        assert_eq!(at(before).is_err(), undone, "{reason:?}");
    }
}

#[test]
fn without_a_current_list_nothing_is_known() {
    let pki = Pki::new();
    let leaf = &pki.event.certificate;
    let missing = |crls: &[Crl], at| check(&pki, leaf, crls, at, Purpose::EventSigning);
    for crls in [
        vec![],
        vec![pki.root_crl.clone()],
        vec![pki.issuing_crl.clone()],
    ] {
        let result = missing(&crls, pki.now);
        assert!(
            matches!(result, Err(PathError::RevocationUnknown { .. })),
            "{result:?}"
        );
    }
    // Next update is an hour away, the tolerance a minute.
    assert!(missing(&pki.crls(), pki.now.plus_ms(HOUR_MS + 30_000)).is_ok());
    let late = missing(&pki.crls(), pki.now.plus_ms(HOUR_MS + 90_000));
    assert!(
        matches!(late, Err(PathError::RevocationUnknown { .. })),
        "{late:?}"
    );
    // A list of the same name by another key is none.
    let other = Pki::new();
    let result = missing(&other.crls(), pki.now);
    assert!(
        matches!(result, Err(PathError::RevocationUnknown { .. })),
        "{result:?}"
    );
}

/// A list that was made and is current between these times.
fn list(issuer: &Holder, this: Timestamp, next: Timestamp, revoked: &[RevokedEntry]) -> Crl {
    let der = build_crl(&issuer.certificate, &issuer.key, 9, this, next, revoked).unwrap();
    Crl::from_der(&der).unwrap()
}

/// A list that was made before a certificate was issued does not know of it.
#[test]
fn a_list_older_than_the_certificate_says_nothing() {
    let pki = Pki::new();
    let leaf = &pki.event.certificate;
    let judged = |this| {
        let lists = [
            pki.root_crl.clone(),
            list(&pki.issuing, this, pki.now.plus_ms(HOUR_MS), &[]),
        ];
        check(&pki, leaf, &lists, pki.now, Purpose::EventSigning)
    };
    assert_eq!(judged(leaf.not_before()), Ok(3));
    let older = judged(leaf.not_before().plus_ms(-1_000));
    assert!(
        matches!(older, Err(PathError::RevocationUnknown { .. })),
        "{older:?}"
    );
}

/// A revocation for good does not lapse with the list that told of it; a suspension may have ended.
#[test]
fn a_list_out_of_date_still_revokes() {
    let pki = Pki::new();
    let leaf = &pki.event.certificate;
    let revoked_at = pki.now.plus_ms(-HOUR_MS / 2);
    for (reason, is_final) in [
        (Some(RevocationReason::KeyCompromise), true),
        (None, true),
        (Some(RevocationReason::CertificateHold), false),
    ] {
        let entry = RevokedEntry {
            serial: leaf.serial().to_vec(),
            at: revoked_at,
            reason,
            invalid_since: None,
        };
        let old = list(
            &pki.issuing,
            revoked_at,
            revoked_at.plus_ms(60_000),
            &[entry],
        );
        let lists = [&pki.crls()[..], &[old]].concat();
        let found = check(&pki, leaf, &lists, pki.now, Purpose::EventSigning);
        assert_eq!(found.is_err(), is_final, "{reason:?} {found:?}");
    }
}

/// RFC 5280 5.3.2: a key that was stolen was so before anybody revoked it.
#[test]
fn a_compromise_counts_from_its_invalidity_date() {
    let pki = Pki::new();
    let leaf = &pki.event.certificate;
    let (stolen, revoked_at) = (pki.now.plus_ms(-HOUR_MS / 2), pki.now.plus_ms(-60_000));
    for (reason, counts) in [
        (Some(RevocationReason::KeyCompromise), true),
        (Some(RevocationReason::CaCompromise), true),
        (None, true),
        (Some(RevocationReason::Superseded), false),
    ] {
        let entry = RevokedEntry {
            serial: leaf.serial().to_vec(),
            at: revoked_at,
            reason,
            invalid_since: Some(stolen),
        };
        let revoked = crl(pki.now, &pki.issuing, std::slice::from_ref(&entry));
        let found = revoked.find(leaf.serial()).unwrap();
        assert_eq!(found.reason, reason);
        assert_eq!(found.invalid_since.unwrap().unix_s(), stolen.unix_s());
        let lists = [pki.root_crl.clone(), revoked];
        let at = |at| check(&pki, leaf, &lists, at, Purpose::EventSigning);
        assert_eq!(at(stolen).is_err(), counts, "{reason:?}");
        assert_eq!(at(stolen.plus_ms(-2_000)), Ok(3), "{reason:?}");
        assert!(at(pki.now).is_err(), "{reason:?}");
    }
}

/// What is handed in later takes away and never gives.
#[test]
fn a_newer_list_only_adds_revocations() {
    let pki = Pki::new();
    let (leaf, purpose) = (&pki.event.certificate, Purpose::EventSigning);
    let validated = |crls: &[Crl]| {
        let revocation = Revocation::Crls {
            crls,
            tolerance_ms: 0,
        };
        let (others, roots) = (pki.intermediates(), pki.roots());
        validate_path(leaf, &others, &roots, revocation, pki.now, purpose)
    };
    let path = validated(&pki.crls()).unwrap();
    assert_eq!(path.told_by.len(), 2);
    let newer = |reason, at| {
        let entry = RevokedEntry {
            serial: leaf.serial().to_vec(),
            at,
            reason: Some(reason),
            invalid_since: None,
        };
        let (this, next) = (pki.now.plus_ms(HOUR_MS), pki.now.plus_ms(2 * HOUR_MS));
        [list(&pki.issuing, this, next, &[entry])]
    };
    let superseded = RevocationReason::Superseded;
    let before = newer(superseded, pki.now.plus_ms(-1_000));
    let found = find_revocation(&path, &before, &[], pki.now, purpose);
    assert!(matches!(found, Err(PathError::Revoked { .. })), "{found:?}");
    let after = newer(superseded, pki.now.plus_ms(1_000));
    find_revocation(&path, &after, &[], pki.now, purpose).unwrap();
    // Nobody else's list.
    let other = Pki::new();
    let foreign = [list(&other.issuing, pki.now, pki.now.plus_ms(HOUR_MS), &[])];
    find_revocation(&path, &foreign, &[], pki.now, purpose).unwrap();
}
