//! Project Wycheproof's vectors against what decides about signatures here. Those for the envelope's
//! parts stand beside them, in `envelope/gcm.rs` and `envelope/recipient.rs`.

use probity_pki::keys::{SignatureAlgorithm, verify_signature};
use wycheproof::TestResult;
use wycheproof::ecdsa::{TestName, TestSet};

/// Every good signature is accepted and every bad one refused.
fn signatures(name: TestName, algorithm: SignatureAlgorithm) {
    let set = TestSet::load(name).unwrap();
    let (mut accepted, mut refused) = (0, 0);
    for group in set.test_groups {
        for test in group.tests {
            let verified = verify_signature(&group.der, algorithm, &test.msg, &test.sig);
            let id = test.tc_id;
            match test.result {
                TestResult::Valid => {
                    assert!(verified.is_ok(), "{name:?} {id}: {}", test.comment);
                    accepted += 1;
                }
                // None is merely acceptable: DER is strict.
                TestResult::Invalid | TestResult::Acceptable => {
                    assert!(verified.is_err(), "{name:?} {id}: {}", test.comment);
                    refused += 1;
                }
            }
        }
    }
    assert!(accepted > 50 && refused > 50, "{accepted}, {refused}");
}

#[test]
fn ecdsa_p384_sha384() {
    signatures(
        TestName::EcdsaSecp384r1Sha384,
        SignatureAlgorithm::EcdsaP384Sha384,
    );
}

#[test]
fn ecdsa_p256_sha256() {
    signatures(
        TestName::EcdsaSecp256r1Sha256,
        SignatureAlgorithm::EcdsaP256Sha256,
    );
}

/// A key on another curve than the algorithm's is never used.
#[test]
fn curves_are_not_mixed() {
    let set = TestSet::load(TestName::EcdsaSecp256r1Sha256).unwrap();
    let group = set.test_groups.first().unwrap();
    let test = group.tests.first().unwrap();
    let verified = verify_signature(
        &group.der,
        SignatureAlgorithm::EcdsaP384Sha384,
        &test.msg,
        &test.sig,
    );
    assert!(verified.unwrap_err().to_string().contains("curve"));
}
