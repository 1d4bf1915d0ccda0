//! Requests that are refused, each with its PKIFailureInfo (RFC 3161 2.4.2), and those at the edge that are not.

use probity_pki::digest::HashAlgorithm;
use probity_pki::tsp::{
    ClockEvidence, GenTime, Imprint, PkiFailureInfo, TimeStampReq, TimeStampToken,
};
use probity_pki::{Error, oid};

use crate::fixture::Pki;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const BOOLEAN: u8 = 0x01;
const EXTENSIONS: u8 = 0xa0;
const NULL: [u8; 2] = [5, 0];

const SHA1: &[u8] = &[0x2b, 14, 3, 2, 26];
const MD5: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 5];

/// Contents of NIST's 2.16.840.1.101.3.4.2.`last`.
fn nist(last: u8) -> Vec<u8> {
    vec![0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, last]
}

fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    match contents.len() {
        short @ 0..=127 => der.push(short as u8),
        long => der.extend([0x82, (long >> 8) as u8, long as u8]),
    }
    der.extend(contents);
    der
}

fn imprint_with(algorithm: &[u8], parameters: &[u8], digest_bytes: usize) -> Vec<u8> {
    let oid = tlv(OBJECT_IDENTIFIER, algorithm);
    let identifier = tlv(SEQUENCE, &[oid.as_slice(), parameters].concat());
    let digest = tlv(OCTET_STRING, &vec![7; digest_bytes]);
    tlv(SEQUENCE, &[identifier, digest].concat())
}

fn imprint(last: u8, digest_bytes: usize) -> Vec<u8> {
    imprint_with(&nist(last), &[], digest_bytes)
}

fn request(members: &[&[u8]]) -> Vec<u8> {
    tlv(SEQUENCE, &members.concat())
}

fn integer(contents: &[u8]) -> Vec<u8> {
    tlv(INTEGER, contents)
}

fn extensions(critical: bool) -> Vec<u8> {
    let mut extension = tlv(OBJECT_IDENTIFIER, &[0x2a, 3, 4]);
    if critical {
        extension.extend(tlv(BOOLEAN, &[0xff]));
    }
    extension.extend(tlv(OCTET_STRING, &NULL));
    tlv(EXTENSIONS, &tlv(SEQUENCE, &extension))
}

fn answer(der: &[u8]) -> Result<TimeStampToken, PkiFailureInfo> {
    thread_local!(static PKI: Pki = Pki::new());
    PKI.with(|pki| {
        let made = TimeStampReq::from_der(der)
            .and_then(|r| pki.authority().token(&r, &pki.tsa.key, pki.now, &[1]));
        let token = made.map_err(|e| PkiFailureInfo::of(&e))?;
        Ok(TimeStampToken::from_der(&token).unwrap())
    })
}

#[test]
fn each_refusal_has_its_failure() {
    use PkiFailureInfo::{
        BadAlg, BadDataFormat, BadRequest, UnacceptedExtension, UnacceptedPolicy,
    };
    let (v1, sha256) = (&*integer(&[1]), &*imprint(1, 32));
    let good = request(&[v1, sha256]);
    let rows: Vec<(&str, Vec<u8>, PkiFailureInfo)> = vec![
        (
            "SHA-1",
            request(&[v1, &imprint_with(SHA1, &NULL, 20)]),
            BadAlg,
        ),
        ("MD5", request(&[v1, &imprint_with(MD5, &NULL, 16)]), BadAlg),
        ("SHA-224", request(&[v1, &imprint(4, 28)]), BadAlg),
        ("SHA-512/256", request(&[v1, &imprint(6, 32)]), BadAlg),
        ("SHA3-224", request(&[v1, &imprint(7, 28)]), BadAlg),
        ("SHAKE128", request(&[v1, &imprint(11, 32)]), BadAlg),
        ("HMAC for a hash", request(&[v1, &imprint(14, 32)]), BadAlg),
        (
            "31 bytes of SHA-256",
            request(&[v1, &imprint(1, 31)]),
            BadDataFormat,
        ),
        (
            "33 bytes of SHA-256",
            request(&[v1, &imprint(1, 33)]),
            BadDataFormat,
        ),
        (
            "no bytes of SHA-256",
            request(&[v1, &imprint(1, 0)]),
            BadDataFormat,
        ),
        (
            "32 bytes of SHA-384",
            request(&[v1, &imprint(2, 32)]),
            BadDataFormat,
        ),
        (
            "48 bytes of SHA-512",
            request(&[v1, &imprint(3, 48)]),
            BadDataFormat,
        ),
        (
            "64 bytes of SHA3-256",
            request(&[v1, &imprint(8, 64)]),
            BadDataFormat,
        ),
        (
            "32 bytes of SHA3-384",
            request(&[v1, &imprint(9, 32)]),
            BadDataFormat,
        ),
        (
            "32 bytes of SHA3-512",
            request(&[v1, &imprint(10, 32)]),
            BadDataFormat,
        ),
        (
            "parameters of a hash",
            request(&[v1, &imprint_with(&nist(1), &integer(&[1]), 32)]),
            BadDataFormat,
        ),
        ("version 0", request(&[&integer(&[0]), sha256]), BadRequest),
        ("version 2", request(&[&integer(&[2]), sha256]), BadRequest),
        (
            "version -1",
            request(&[&integer(&[0xff]), sha256]),
            BadRequest,
        ),
        (
            "version 65536",
            request(&[&integer(&[1, 0, 0]), sha256]),
            BadRequest,
        ),
        ("no version", request(&[sha256]), BadDataFormat),
        ("no imprint", request(&[v1]), BadDataFormat),
        (
            "another policy",
            request(&[v1, sha256, &tlv(OBJECT_IDENTIFIER, &[0x2a, 3, 4])]),
            UnacceptedPolicy,
        ),
        (
            "an extension",
            request(&[v1, sha256, &extensions(false)]),
            UnacceptedExtension,
        ),
        (
            "a critical extension",
            request(&[v1, sha256, &extensions(true)]),
            UnacceptedExtension,
        ),
        (
            "extensions, none inside",
            request(&[v1, sha256, &tlv(EXTENSIONS, &[])]),
            BadDataFormat,
        ),
        (
            "nonce of 34 bytes",
            request(&[v1, sha256, &integer(&[1; 34])]),
            BadRequest,
        ),
        (
            "nonce with a needless zero",
            request(&[v1, sha256, &integer(&[0, 1])]),
            BadDataFormat,
        ),
        (
            "certReq FALSE encoded",
            request(&[v1, sha256, &tlv(BOOLEAN, &[0])]),
            BadDataFormat,
        ),
        (
            "certReq neither TRUE nor FALSE",
            request(&[v1, sha256, &tlv(BOOLEAN, &[1])]),
            BadDataFormat,
        ),
        (
            "members out of order",
            request(&[v1, sha256, &tlv(BOOLEAN, &[0xff]), &integer(&[1])]),
            BadDataFormat,
        ),
        (
            "a trailing byte",
            [good.as_slice(), &[0]].concat(),
            BadDataFormat,
        ),
        (
            "a byte short",
            good[..good.len() - 1].to_vec(),
            BadDataFormat,
        ),
        (
            "indefinite length",
            [&[SEQUENCE, 0x80], &good[2..], &[0, 0]].concat(),
            BadDataFormat,
        ),
        (
            "length of two bytes where one does",
            [&[SEQUENCE, 0x81, good.len() as u8 - 2], &good[2..]].concat(),
            BadDataFormat,
        ),
        ("nothing", vec![], BadDataFormat),
        ("text", b"GET / HTTP/1.1".to_vec(), BadDataFormat),
        ("4,097 bytes", vec![SEQUENCE; 4_097], BadRequest),
    ];
    for (name, der, failure) in rows {
        assert_eq!(answer(&der).err(), Some(failure), "{name}");
    }
}

#[test]
fn what_is_asked_for_is_echoed() {
    let (v1, sha256) = (&*integer(&[1]), &*imprint(1, 32));
    let certificates = &*tlv(BOOLEAN, &[0xff]);
    for nonce in [&[0][..], &[0x7f], &[0x80], &[0, 0x80], &[0xfe; 8], &[1; 33]] {
        let token = answer(&request(&[v1, sha256, &integer(nonce), certificates])).unwrap();
        assert_eq!(token.tst_info().nonce.as_deref(), Some(nonce));
        assert!(!token.tst_info().ordering);
        assert_eq!(token.certificates().len(), 1);
    }
    let bare = answer(&request(&[v1, sha256])).unwrap();
    assert_eq!(bare.tst_info().nonce, None);
    assert!(bare.certificates().is_empty());
    for (last, bytes) in [(1, 32), (2, 48), (3, 64), (8, 32), (9, 48), (10, 64)] {
        for parameters in [&[][..], &NULL] {
            let imprint = imprint_with(&nist(last), parameters, bytes);
            let token = answer(&request(&[v1, &imprint])).unwrap();
            // The imprint's bytes as they came, parameters and all.
            let content = token.der();
            assert!(
                content.windows(imprint.len()).any(|w| w == imprint),
                "{last}"
            );
        }
    }
    let policy = tlv(OBJECT_IDENTIFIER, oid::POLICY_TIME_STAMP.as_bytes());
    let token = answer(&request(&[v1, sha256, &policy])).unwrap();
    assert_eq!(token.tst_info().policy, oid::POLICY_TIME_STAMP);
}

#[test]
fn accuracy_is_the_measured_one_and_never_beyond_the_claim() {
    let pki = Pki::new();
    let imprint = Imprint::of(HashAlgorithm::Sha256, b"x");
    let request = TimeStampReq::make(imprint, None, true, None).unwrap();
    let evidence = ClockEvidence {
        record: "clock/0123456789abcdef/2026112611/000000000007-89abcdef".to_owned(),
        digest: [9; 32],
    };
    let make = |accuracy_ms, evidence| {
        let at = GenTime {
            at: pki.now,
            accuracy_ms,
            evidence,
        };
        pki.authority().token(&request, &pki.tsa.key, at, &[1])
    };
    for (accuracy_ms, stated_us) in [
        (None, 1_500_000),
        (Some(1_500), 1_500_000),
        (Some(17), 17_000),
        (Some(1_000), 1_000_000),
    ] {
        let token = TimeStampToken::from_der(&make(accuracy_ms, None).unwrap()).unwrap();
        assert_eq!(token.tst_info().accuracy_us, Some(stated_us));
        assert_eq!(token.tst_info().clock_evidence, None);
    }
    assert!(matches!(
        make(Some(1_501), None),
        Err(Error::NotVerified { .. })
    ));
    let token = TimeStampToken::from_der(&make(Some(17), Some(evidence.clone())).unwrap());
    assert_eq!(
        token.unwrap().tst_info().clock_evidence,
        Some(evidence.clone())
    );
    // What cannot be read back is not issued.
    let long = ClockEvidence {
        record: "x".repeat(257),
        ..evidence
    };
    assert!(make(None, Some(long)).is_err());
}
