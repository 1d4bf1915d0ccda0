//! Path validation: every refusal has its reason.

use probity_domain::Timestamp;
use probity_pki::Error;
use probity_pki::crl::{Crl, RevocationReason, RevokedEntry};
use probity_pki::path::{PathError, Purpose, Revocation, validate_path};
use probity_pki::x509::{Certificate, Profile};

use crate::fixture::{HOUR_MS, Pki, crl, issue};

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
        reason: RevocationReason::CertificateHold,
    };
    let list = crl(pki.now, &pki.issuing, &[entry]);
    let lists = [pki.root_crl.clone(), list];
    let at = |at| check(&pki, leaf, &lists, at, Purpose::EventSigning);
    assert!(matches!(
        at(pki.now),
        Err(PathError::Revoked {
            reason: RevocationReason::CertificateHold,
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
        (RevocationReason::KeyCompromise, true),
        (RevocationReason::CaCompromise, true),
        // As written: no reason at all.
        (RevocationReason::Unspecified, true),
        (RevocationReason::Superseded, false),
        (RevocationReason::CessationOfOperation, false),
        (RevocationReason::AffiliationChanged, false),
    ] {
        let entry = RevokedEntry {
            serial: pki.tsa.certificate.serial().to_vec(),
            at: revoked_at,
            reason,
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
