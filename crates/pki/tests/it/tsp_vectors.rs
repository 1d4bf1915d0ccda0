//! RFC 3161 requests and responses made by others (the fixtures of trailofbits/rfc3161-client).
//!
//! They are not part of this repository: `PROBITY_VECTORS_DIR` names the folder that holds
//! `tsp/sigstage` and `tsp/test_tsa`.

use std::path::PathBuf;

use probity_pki::digest::HashAlgorithm;
use probity_pki::path::{Purpose, Revocation, validate_path};
use probity_pki::tsp::{TimeStampReq, TimeStampResp, TimeStampToken};
use probity_pki::x509::Certificate;

fn vectors() -> Option<PathBuf> {
    let dir = std::env::var_os("PROBITY_VECTORS_DIR").map(|dir| PathBuf::from(dir).join("tsp"));
    if dir.is_none() {
        println!("SKIPPED: PROBITY_VECTORS_DIR is not set, so no foreign token was read");
    }
    dir
}

fn token(der: &[u8]) -> TimeStampToken {
    match TimeStampResp::from_der(der).unwrap() {
        TimeStampResp::Granted(token) => *token,
        refused => panic!("{refused:?}"),
    }
}

/// Nothing in the folders is left out of the tests below: a new file wants a line of its own here.
#[test]
fn every_vector_is_used() {
    let Some(dir) = vectors() else { return };
    for (folder, used) in [
        (
            "test_tsa",
            &[
                "README.md",
                "other_request.der",
                "other_response.tsr",
                "request.der",
                "response-injected-certs.tsr",
                "response.tsr",
                "ts_chain.pem",
            ][..],
        ),
        (
            "sigstage",
            &[
                "README.md",
                "request.der",
                "response-invalid-signature.tsr",
                "response-no-embedded-cert.tsr",
                "response-sha256.tsr",
                "response-sha384.tsr",
                "response-sha512.tsr",
                "ts_chain.pem",
            ],
        ),
    ] {
        let entries = std::fs::read_dir(dir.join(folder)).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, used, "{folder}");
    }
}

#[test]
fn responses_answer_their_requests() {
    let Some(dir) = vectors() else { return };
    let read = |name: &str| std::fs::read(dir.join("test_tsa").join(name)).unwrap();
    let request = TimeStampReq::from_der(&read("request.der")).unwrap();
    assert_eq!(request.to_der().unwrap(), read("request.der"));
    let response = TimeStampResp::from_der(&read("response.tsr")).unwrap();
    let token = response.token_for(&request).unwrap();
    assert_eq!(
        token.tst_info().imprint.digest,
        HashAlgorithm::Sha512.digest(b"hello")
    );

    let other_request = TimeStampReq::from_der(&read("other_request.der")).unwrap();
    let other = TimeStampResp::from_der(&read("other_response.tsr")).unwrap();
    // The names promise a pair, but request and response carry different nonces.
    assert!(other.token_for(&other_request).is_err());
    assert!(other.token_for(&request).is_err());
    assert!(response.token_for(&other_request).is_err());

    let chain = String::from_utf8(read("ts_chain.pem")).unwrap();
    let chain = Certificate::chain_from_pem(&chain).unwrap();
    let (root, intermediates) = chain.split_last().unwrap();
    let validate = |token: &TimeStampToken| {
        let imprint = &token.tst_info().imprint;
        let unit = token.verify(imprint.algorithm, &imprint.digest)?;
        let roots = core::slice::from_ref(root);
        let (at, purpose) = (token.tst_info().gen_time, Purpose::TimeStamping);
        validate_path(
            &unit,
            intermediates,
            roots,
            Revocation::NotChecked,
            at,
            purpose,
        )
    };
    assert_eq!(validate(token).unwrap().certificates.len(), 3);
    // Another authority of the same name.
    let other = self::token(&read("other_response.tsr"));
    other
        .verify(
            HashAlgorithm::Sha512,
            &HashAlgorithm::Sha512.digest(b"hello"),
        )
        .unwrap();
    assert!(validate(&other).is_err());
    // Certificates put in beside the unit's change nothing.
    let injected = self::token(&read("response-injected-certs.tsr"));
    assert!(injected.certificates().len() > token.certificates().len());
    assert_eq!(validate(&injected).unwrap().certificates.len(), 3);
}

#[test]
fn tokens_verify_or_say_why_not() {
    let Some(dir) = vectors() else { return };
    let read = |name: &str| std::fs::read(dir.join("sigstage").join(name)).unwrap();
    let request = TimeStampReq::from_der(&read("request.der")).unwrap();
    assert_eq!(request.to_der().unwrap(), read("request.der"));
    let chain = String::from_utf8(read("ts_chain.pem")).unwrap();
    let chain = Certificate::chain_from_pem(&chain).unwrap();
    let (root, intermediates) = chain.split_last().unwrap();
    let validate = |unit: &Certificate, at| {
        let (roots, purpose) = (core::slice::from_ref(root), Purpose::TimeStamping);
        validate_path(
            unit,
            intermediates,
            roots,
            Revocation::NotChecked,
            at,
            purpose,
        )
    };
    for (name, algorithm) in [
        ("response-sha256.tsr", HashAlgorithm::Sha256),
        ("response-sha384.tsr", HashAlgorithm::Sha384),
        ("response-sha512.tsr", HashAlgorithm::Sha512),
    ] {
        let token = token(&read(name));
        let unit = token
            .verify(algorithm, &algorithm.digest(b"hello"))
            .unwrap();
        assert_eq!(unit.common_name().as_deref(), Some("sigstore-tsa"));
        let gen_time = token.tst_info().gen_time;
        assert!(validate(&unit, gen_time).is_ok(), "{name}");
        // Another exchange's request, so its nonce too.
        let response = TimeStampResp::from_der(&read(name)).unwrap();
        assert!(response.token_for(&request).is_err(), "{name}");
        assert!(
            token
                .verify(algorithm, &algorithm.digest(b"Hello"))
                .is_err()
        );
    }
    let invalid = token(&read("response-invalid-signature.tsr"));
    let imprint = &invalid.tst_info().imprint;
    assert!(invalid.verify(imprint.algorithm, &imprint.digest).is_err());

    let bare = token(&read("response-no-embedded-cert.tsr"));
    let imprint = &bare.tst_info().imprint;
    assert!(bare.verify(imprint.algorithm, &imprint.digest).is_err());
    assert!(
        bare.verify_with(imprint.algorithm, &imprint.digest, &chain)
            .is_ok()
    );
}
