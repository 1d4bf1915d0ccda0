//! One broken artifact for each rule, and none for the good ones.

mod certificates;
mod others;

use std::collections::BTreeSet;
use std::path::Path;

use der::asn1::{BitString, OctetString};
use der::{Any, Decode as _, Encode as _};
use probity_domain::Timestamp;

use super::{Artifact, Finding, Rule, Severity, lint, rules};
use crate::keys::{MemoryKey, SignatureAlgorithm, Signer};
use crate::ocsp::structures::{OcspResponseValue, ResponseBytes, ResponseStatus};
use crate::oid;
use crate::signed::Signed;
use crate::x509::{
    Addresses, Certificate, CertificateTemplate, Profile, Subject, sign_certificate,
};

const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);
const HOUR_MS: i64 = 3_600_000;
const INSTRUCTION: &str = "0192d7a4-5b1e-7c3a-8f00-0123456789ab";

struct Holder {
    key: MemoryKey,
    certificate: Certificate,
}

struct World {
    root: Holder,
    issuing: Holder,
    event: Holder,
    tsa: Holder,
    ocsp: Holder,
}

fn template<'a>(
    profile: Profile,
    spki_der: &'a [u8],
    issuer: Option<&'a Certificate>,
) -> CertificateTemplate<'a> {
    CertificateTemplate {
        profile,
        serial: &[0x41; 20],
        subject: Subject {
            common_name: format!("{profile:?}"),
            organization: Some("某某科技有限公司".to_owned()),
            country: Some("CN".to_owned()),
            serial_number: None,
            organization_identifier: Some("NTRCN-91310000".to_owned()),
        },
        spki_der,
        not_before: NOW.plus_ms(-HOUR_MS),
        not_after: NOW.plus_ms(24 * HOUR_MS),
        issuer,
        addresses: Addresses {
            crl: issuer.map(|_| "http://repository.example/ca.crl".to_owned()),
            ocsp: issuer.map(|_| "http://ocsp.example/".to_owned()),
            ca_issuers: issuer.map(|_| "http://repository.example/ca.cer".to_owned()),
            cps: Some("http://repository.example/cps".to_owned()),
        },
        reliance_limit: Some("责任限额".to_owned()),
        instruction: (profile == Profile::Event).then(|| INSTRUCTION.to_owned()),
    }
}

fn issue(profile: Profile, issuer: Option<&Holder>) -> Holder {
    let key = MemoryKey::generate().unwrap();
    let by = issuer.map(|issuer| &issuer.certificate);
    let to_be_signed = template(profile, key.public_key_der(), by).to_be_signed();
    let signer = issuer.map_or(&key, |issuer| &issuer.key);
    let certificate = sign_certificate(&to_be_signed.unwrap(), signer).unwrap();
    Holder { key, certificate }
}

impl World {
    fn new() -> Self {
        let root = issue(Profile::RootCa, None);
        let issuing = issue(Profile::IssuingCa, Some(&root));
        Self {
            tsa: issue(Profile::Tsa, Some(&root)),
            event: issue(Profile::Event, Some(&issuing)),
            ocsp: issue(Profile::OcspResponder, Some(&issuing)),
            root,
            issuing,
        }
    }
}

/// Which rules have been seen to fire.
#[derive(Default)]
struct Table {
    fired: BTreeSet<&'static str>,
    kept: usize,
}

impl Table {
    /// Exactly these rules do not hold.
    fn row(&mut self, bytes: &[u8], artifact: &Artifact<'_>, expected: &[&'static Rule]) {
        let findings = lint(bytes, artifact);
        let found: BTreeSet<_> = findings.iter().map(|finding| finding.rule.id).collect();
        let expected: BTreeSet<_> = expected.iter().map(|rule| rule.id).collect();
        assert_eq!(found, expected, "{findings:#?}");
        self.keep(bytes, artifact, &findings);
        self.fired.extend(found);
    }

    /// Writes the artifact, under a signature that nobody made, and the errors found in it, for other linters to judge
    /// (`judges/pkilint`).
    fn keep(&mut self, bytes: &[u8], artifact: &Artifact<'_>, findings: &[Finding]) {
        let Some(dir) = std::env::var_os("PROBITY_LINT_SAMPLES_DIR") else {
            return;
        };
        let Some((kind, der)) = wrapped(bytes, artifact) else {
            return;
        };
        self.kept += 1;
        let file = format!("{:03}-{kind}.der", self.kept);
        let errors = findings
            .iter()
            .filter(|f| f.rule.severity == Severity::Error);
        let errors: Vec<_> = errors.map(|finding| finding.rule.id).collect();
        let dir = Path::new(&dir);
        std::fs::write(dir.join(&file), der).unwrap();
        std::fs::write(dir.join(format!("{file}.errors")), errors.join(" ")).unwrap();
    }
}

/// What others lint, as a file of its own.
fn wrapped(bytes: &[u8], artifact: &Artifact<'_>) -> Option<(&'static str, Vec<u8>)> {
    let signed = Signed {
        to_be_signed: Any::from_der(bytes).ok()?,
        algorithm: SignatureAlgorithm::EcdsaP384Sha384.identifier(),
        signature: BitString::from_bytes(&[0x30, 6, 2, 1, 1, 2, 1, 1]).unwrap(),
    };
    let der = signed.to_der().unwrap();
    match artifact {
        Artifact::Certificate(_) => Some(("certificate", der)),
        Artifact::Crl(_) => Some(("crl", der)),
        // BasicOCSPResponse without certificates has the same shape (RFC 6960 4.2.1).
        Artifact::OcspResponse(_) => {
            let response = OcspResponseValue {
                response_status: ResponseStatus::Successful,
                response_bytes: Some(ResponseBytes {
                    response_type: oid::OCSP_BASIC,
                    response: OctetString::new(der).unwrap(),
                }),
            };
            Some(("ocsp", response.to_der().unwrap()))
        }
        _ => None,
    }
}

#[test]
fn each_rule_fires_on_its_own_broken_artifact() {
    let world = World::new();
    let mut table = Table::default();
    certificates::rows(&world, &mut table);
    others::crls(&world, &mut table);
    others::requests(&world, &mut table);
    others::responses(&world, &mut table);
    others::tokens(&world, &mut table);
    others::attributes(&world, &mut table);
    others::manifests(&mut table);
    let all: BTreeSet<_> = rules::ALL.iter().map(|rule| rule.id).collect();
    assert_eq!(all.len(), rules::ALL.len(), "two rules of one name");
    let never: Vec<_> = all.difference(&table.fired).collect();
    assert!(never.is_empty(), "no broken artifact for {never:?}");
}

/// What the lint refuses, no key signs.
#[test]
fn nothing_wrong_is_signed() {
    let world = World::new();
    let spki = world.event.certificate.spki_der();
    let mut late = template(Profile::Event, spki, Some(&world.issuing.certificate));
    late.not_after = NOW.plus_ms(25 * HOUR_MS);
    let refused = late.to_be_signed().unwrap_err().to_string();
    assert!(refused.contains("validity_within_issuer: "), "{refused}");
    assert!(refused.contains("RFC 5280 6.1.3"), "{refused}");
}
