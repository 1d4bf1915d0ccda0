//! What Probity issues, and the bytes to be signed.

use const_oid::ObjectIdentifier;
use der::asn1::{PrintableStringRef, SetOfVec, Utf8StringRef};
use der::{Any, Decode, Encode, Sequence};
use probity_domain::Timestamp;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::ext::Extension;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::Time;

use super::{Certificate, extensions};
use crate::asn1_time::to_time;
use crate::digest::HashAlgorithm;
use crate::keys::{SignatureAlgorithm, Signer};
use crate::lint::{Artifact, CertificateContext, ToBeSigned};
use crate::signed::Signed;
use crate::{Error, Result, oid};

const WHAT: &str = "certificate template";
/// Upper bounds of RFC 5280 appendix A.1.
const NAME_CHARS_MAX: usize = 64;

/// What a certificate is for. Decides basicConstraints, keyUsage, extendedKeyUsage and policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Self-signed; signs issuing CAs, time-stamping units and its CRL.
    RootCa,
    /// Signs end entities, no further CA.
    IssuingCa,
    /// Time-stamping unit: timeStamping alone and critical (RFC 3161 2.3).
    Tsa,
    /// Delegated OCSP responder (RFC 6960 4.2.2.2), with id-pkix-ocsp-nocheck.
    OcspResponder,
    /// A party's signature for one instruction; valid for hours.
    Event,
    /// The delivery service's seal on packages.
    Seal,
    /// Recipient of encrypted packages: keyAgreement.
    CourtEncryption,
    /// Signer of receipts.
    CourtSigning,
    /// Signs the record of a key ceremony; its key is destroyed there.
    Ceremony,
}

/// Distinguished name of a subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// 1 to 64 characters.
    pub common_name: String,
    /// 1 to 64 characters.
    pub organization: Option<String>,
    /// ISO 3166 code of two letters.
    pub country: Option<String>,
    /// serialNumber attribute: distinguishes persons of one name; printable ASCII.
    pub serial_number: Option<String>,
    /// organizationIdentifier (ETSI EN 319 412-1 5.1.4), e.g. a company register number.
    pub organization_identifier: Option<String>,
}

/// What a certificate says of where to look: http URLs, ASCII, at most 1,024 bytes each.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    /// The issuer's CRL (RFC 5280 4.2.1.13).
    pub crl: Option<String>,
    /// The issuer's OCSP responder (RFC 5280 4.2.2.1).
    pub ocsp: Option<String>,
    /// The issuer's certificate, DER (RFC 5280 4.2.2.1, EN 319 412-2 4.4.1).
    pub ca_issuers: Option<String>,
    /// The practice statement (RFC 5280 4.2.1.4).
    pub cps: Option<String>,
}

/// Everything that goes into one certificate. The same template gives the same bytes.
#[derive(Debug, Clone)]
pub struct CertificateTemplate<'a> {
    pub profile: Profile,
    /// Positive, big-endian, 8 to 20 bytes of which at least 64 bits random; the top bit of a 20-byte
    /// serial must be clear (RFC 5280 4.1.2.2).
    pub serial: &'a [u8],
    pub subject: Subject,
    /// The subject's SubjectPublicKeyInfo, DER.
    pub spki_der: &'a [u8],
    /// Whole seconds, rounded down.
    pub not_before: Timestamp,
    /// Whole seconds, rounded down; inclusive.
    pub not_after: Timestamp,
    /// `None` makes a self-signed certificate, allowed for [`Profile::RootCa`] alone.
    pub issuer: Option<&'a Certificate>,
    pub addresses: Addresses,
    /// Limit of reliance or liability, shown as user notice; at most 200 characters.
    pub reliance_limit: Option<String>,
    /// The instruction (submission id) the certificate is bound to; a UUID also appears as
    /// subjectAltName `urn:uuid:`.
    pub instruction: Option<String>,
}

/// RFC 5280 4.1, without the fields nobody uses.
#[derive(Sequence)]
struct TbsCertificate {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: u8,
    serial_number: SerialNumber,
    signature: AlgorithmIdentifierOwned,
    issuer: Name,
    validity: Validity,
    subject: Name,
    subject_public_key_info: SubjectPublicKeyInfoOwned,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

#[derive(Sequence)]
struct Validity {
    not_before: Time,
    not_after: Time,
}

const VERSION_3: u8 = 2;

impl CertificateTemplate<'_> {
    /// TBSCertificate in DER, linted, to be recorded before it is signed.
    ///
    /// # Errors
    /// [`Error::Malformed`] naming the field that breaks the profile, [`Error::Lint`] naming the rules.
    pub fn to_be_signed(&self) -> Result<ToBeSigned> {
        ToBeSigned::new(self.encode()?, &Artifact::Certificate(self.context()))
    }

    /// What the lint holds the certificate against.
    pub(crate) fn context(&self) -> CertificateContext<'_> {
        CertificateContext {
            profile: self.profile,
            issuer: self.issuer,
            addresses: &self.addresses,
            instruction: self.instruction.as_deref(),
        }
    }

    fn encode(&self) -> Result<Vec<u8>> {
        let bad = |e: der::Error| Error::malformed(WHAT, e);
        self.check()?;
        let spki = SubjectPublicKeyInfoOwned::from_der(self.spki_der).map_err(bad)?;
        let subject = self.subject.to_name()?;
        let (issuer, algorithm) = match self.issuer {
            Some(issuer) => (
                issuer.subject_name().clone(),
                algorithm_of(issuer.spki_der())?,
            ),
            None => (subject.clone(), algorithm_of(self.spki_der)?),
        };
        TbsCertificate {
            version: VERSION_3,
            serial_number: SerialNumber::new(self.serial).map_err(bad)?,
            signature: algorithm.identifier(),
            issuer,
            validity: Validity {
                not_before: to_time(self.not_before)?,
                not_after: to_time(self.not_after)?,
            },
            subject,
            extensions: extensions::for_template(self, &spki).map_err(bad)?,
            subject_public_key_info: spki,
        }
        .to_der()
        .map_err(bad)
    }

    fn check(&self) -> Result<()> {
        let bad = |reason| Err(Error::malformed(WHAT, reason));
        match (self.profile, self.issuer) {
            (Profile::RootCa, Some(_)) => return bad("a root has no issuer"),
            (Profile::RootCa, None) => {}
            (_, None) => return bad("only a root is self-signed"),
            (_, Some(issuer)) if !issuer.is_ca() => return bad("the issuer is not a CA"),
            (_, Some(_)) => {}
        }
        if !(8..=20).contains(&self.serial.len()) || self.serial.iter().all(|byte| *byte == 0) {
            return bad("serial must be positive and of 8 to 20 bytes");
        }
        if self.not_after <= self.not_before {
            return bad("validity ends before it begins");
        }
        let to = &self.addresses;
        let limits = [&to.crl, &to.ocsp, &to.ca_issuers, &to.cps];
        if limits
            .into_iter()
            .flatten()
            .any(|url| !url.is_ascii() || url.len() > 1_024)
        {
            return bad("URLs are at most 1,024 ASCII characters");
        }
        if self
            .reliance_limit
            .as_ref()
            .is_some_and(|text| text.chars().count() > 200)
        {
            return bad("a user notice has at most 200 characters");
        }
        if self
            .instruction
            .as_ref()
            .is_some_and(|text| text.is_empty() || text.len() > 128)
        {
            return bad("an instruction has 1 to 128 bytes");
        }
        Ok(())
    }
}

/// Signs a linted TBSCertificate and returns the certificate, re-parsed and verified.
///
/// # Errors
/// [`Error::Malformed`] if `to_be_signed` is not a TBSCertificate, [`Error::Key`] if it names another
/// algorithm than the key's or signing fails.
pub fn sign_certificate(to_be_signed: &ToBeSigned, issuer_key: &dyn Signer) -> Result<Certificate> {
    Certificate::from_der(&Signed::sign(WHAT, to_be_signed, issuer_key)?)
}

/// The algorithm a key signs with here.
pub(crate) fn algorithm_of(spki_der: &[u8]) -> Result<SignatureAlgorithm> {
    let spki = spki::SubjectPublicKeyInfoRef::try_from(spki_der)
        .map_err(|e| Error::malformed("public key", e))?;
    if spki.algorithm.oid != oid::EC_PUBLIC_KEY {
        return Err(Error::unsupported("public key", spki.algorithm.oid));
    }
    let curve = spki
        .algorithm
        .parameters_oid()
        .map_err(|e| Error::malformed("public key", e))?;
    SignatureAlgorithm::for_curve(&curve)
}

/// A party's name as a certificate carries it: whole if it fits (RFC 5280 appendix A.1); of a longer one the
/// beginning and 128 bits of the SHA-256 of it all, so that no two look the same.
#[must_use]
pub fn certified_name(name: &str) -> String {
    const DIGEST_BYTES: usize = 16;
    if name.chars().count() <= NAME_CHARS_MAX {
        return name.to_owned();
    }
    let beginning = name.chars().take(NAME_CHARS_MAX - 1 - 2 * DIGEST_BYTES);
    let mut digest = HashAlgorithm::Sha256.digest(name.as_bytes());
    digest.truncate(DIGEST_BYTES);
    format!("{}…{}", beginning.collect::<String>(), hex::encode(digest))
}

impl Subject {
    /// A name of a common name alone.
    #[must_use]
    pub fn new(common_name: impl Into<String>) -> Self {
        Self {
            common_name: common_name.into(),
            ..Self::default()
        }
    }

    pub(crate) fn to_name(&self) -> Result<Name> {
        let parts = [
            (oid::COUNTRY_NAME, self.country.as_deref()),
            (oid::ORGANIZATION_NAME, self.organization.as_deref()),
            (
                oid::ORGANIZATION_IDENTIFIER,
                self.organization_identifier.as_deref(),
            ),
            (oid::SERIAL_NUMBER, self.serial_number.as_deref()),
            (oid::COMMON_NAME, Some(self.common_name.as_str())),
        ];
        let mut rdns = Vec::new();
        for (kind, value) in parts {
            if let Some(value) = value {
                rdns.push(attribute(kind, value)?);
            }
        }
        let encode = || Name::from_der(&rdns.to_der()?);
        encode().map_err(|e: der::Error| Error::malformed("subject", e))
    }
}

type Rdn = SetOfVec<AttributeTypeAndValue>;

fn attribute(kind: ObjectIdentifier, value: &str) -> Result<Rdn> {
    let bad = |reason: String| Error::malformed("subject", reason);
    let chars = value.chars().count();
    if chars == 0 || chars > NAME_CHARS_MAX || value.chars().any(char::is_control) {
        return Err(bad(format!(
            "{value:?} is not 1 to {NAME_CHARS_MAX} plain characters"
        )));
    }
    if kind == oid::COUNTRY_NAME
        && !(value.len() == 2 && value.bytes().all(|b| b.is_ascii_uppercase()))
    {
        return Err(bad(format!(
            "{value:?} is not a country code of two capitals"
        )));
    }
    let encode = || -> der::Result<Rdn> {
        let value = match kind {
            oid::COUNTRY_NAME | oid::SERIAL_NUMBER => {
                Any::encode_from(&PrintableStringRef::new(value)?)?
            }
            _ => Any::encode_from(&Utf8StringRef::new(value)?)?,
        };
        SetOfVec::try_from(vec![AttributeTypeAndValue { oid: kind, value }])
    };
    encode().map_err(|e| bad(format!("{value:?}: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_differ_however_late() {
        let long = "名".repeat(80);
        assert_eq!(certified_name("Acme 有限公司"), "Acme 有限公司");
        let whole = "名".repeat(NAME_CHARS_MAX);
        assert_eq!(certified_name(&whole), whole);
        let cut = certified_name(&long);
        assert_eq!(cut.chars().count(), NAME_CHARS_MAX);
        assert!(cut.starts_with("名名") && cut.contains('…'));
        assert_ne!(
            certified_name(&format!("{long}甲")),
            certified_name(&format!("{long}乙"))
        );
        Subject::new(cut).to_name().unwrap();
    }
}
