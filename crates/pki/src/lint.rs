//! Lint: what is about to be signed, judged rule by rule before any key touches it.
//!
//! [`lint`] lists findings; [`ToBeSigned`] exists only for bytes without an error among them, and every
//! signature of this crate is made over a [`ToBeSigned`]: the bytes that were linted are the bytes that
//! are signed. The rules are in [`rules`], each with the clause it comes from. They state what a profile
//! demands a second time, apart from the code that builds, so that a slip in one is found by the other.

mod attributes;
mod certificate;
mod crl;
mod extensions;
mod manifest;
mod name;
mod ocsp;
mod profile;
mod request;
pub mod rules;
#[cfg(test)]
mod tests;
mod time;
mod token;

use core::fmt;

use const_oid::ObjectIdentifier;

pub use attributes::{AttributesContext, SignedAs};
pub use certificate::CertificateContext;
pub use ocsp::OcspContext;
pub use token::TokenContext;

use crate::keys::Signer;
use crate::x509::Certificate;
use crate::{Error, Result, canonical};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// A recommendation is not followed; signed all the same.
    Warning,
    /// Never signed.
    Error,
}

/// One rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable name, in snake case.
    pub id: &'static str,
    pub severity: Severity,
    /// Where it is written.
    pub clause: &'static str,
}

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub rule: &'static Rule,
    /// What was found, for a person.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rule { id, clause, .. } = self.rule;
        write!(f, "{id}: {} ({clause})", self.detail)
    }
}

/// What bytes claim to be, and what they must agree with.
#[derive(Debug, Clone, Copy)]
pub enum Artifact<'a> {
    /// TBSCertificate.
    Certificate(CertificateContext<'a>),
    /// TBSCertList of this issuer.
    Crl(&'a Certificate),
    /// CertificationRequestInfo for this SubjectPublicKeyInfo.
    CertificationRequest(&'a [u8]),
    /// ResponseData.
    OcspResponse(OcspContext<'a>),
    /// TSTInfo: not signed itself, but by way of the attributes.
    TstInfo(TokenContext<'a>),
    /// SignedAttributes, as the SET OF that is signed.
    SignedAttributes(AttributesContext<'a>),
    /// `ASiCManifest`: not signed itself, but by way of the attributes.
    Manifest,
}

impl Artifact<'_> {
    const fn what(&self) -> &'static str {
        match self {
            Self::Certificate(_) => "certificate",
            Self::Crl(_) => "certificate revocation list",
            Self::CertificationRequest(_) => "certification request",
            Self::OcspResponse(_) => "OCSP response",
            Self::TstInfo(_) => "time-stamp token",
            Self::SignedAttributes(_) => "signed attributes",
            Self::Manifest => "manifest",
        }
    }
}

/// Every rule that does not hold for these bytes, in no order that matters.
#[must_use]
pub fn lint(bytes: &[u8], artifact: &Artifact<'_>) -> Vec<Finding> {
    judge(bytes, artifact).0
}

/// The findings, and the signature algorithm that the bytes name, if they name one.
fn judge(bytes: &[u8], artifact: &Artifact<'_>) -> (Vec<Finding>, Option<ObjectIdentifier>) {
    let mut findings = Findings::default();
    let algorithm = match artifact {
        Artifact::Certificate(context) => certificate::lint(bytes, context, &mut findings),
        Artifact::Crl(issuer) => crl::lint(bytes, issuer, &mut findings),
        Artifact::CertificationRequest(spki_der) => {
            request::lint(bytes, spki_der, &mut findings);
            None
        }
        Artifact::OcspResponse(context) => {
            ocsp::lint(bytes, context, &mut findings);
            None
        }
        Artifact::TstInfo(context) => {
            token::lint(bytes, context, &mut findings);
            None
        }
        Artifact::SignedAttributes(context) => {
            attributes::lint(bytes, context, &mut findings);
            None
        }
        Artifact::Manifest => {
            manifest::lint(bytes, &mut findings);
            None
        }
    };
    (findings.0, algorithm)
}

/// Refuses on any error; warnings pass.
///
/// # Errors
/// [`Error::Lint`], naming every rule that is broken.
pub fn deny(what: &'static str, findings: &[Finding]) -> Result<()> {
    let errors: Vec<_> = findings
        .iter()
        .filter(|finding| finding.rule.severity == Severity::Error)
        .map(Finding::to_string)
        .collect();
    if errors.is_empty() {
        return Ok(());
    }
    Err(Error::Lint {
        what,
        findings: errors.join("; "),
    })
}

/// Lints and denies what is not signed itself, but through a digest of it.
pub(crate) fn require(bytes: &[u8], artifact: &Artifact<'_>) -> Result<()> {
    deny(artifact.what(), &lint(bytes, artifact))
}

/// Bytes that the lint passed, for a key to sign. There is no other way to make one, and the builders of each format
/// alone make them: nobody outside can have one kind signed as another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToBeSigned {
    what: &'static str,
    bytes: Vec<u8>,
    /// The algorithm named inside (RFC 5280 4.1.2.3, 5.1.2.2).
    algorithm: Option<ObjectIdentifier>,
}

impl ToBeSigned {
    /// Lints.
    ///
    /// # Errors
    /// [`Error::Lint`], naming every rule that is broken.
    pub(crate) fn new(bytes: Vec<u8>, artifact: &Artifact<'_>) -> Result<Self> {
        let what = artifact.what();
        let (findings, algorithm) = judge(&bytes, artifact);
        deny(what, &findings)?;
        Ok(Self {
            what,
            bytes,
            algorithm,
        })
    }

    /// The bytes, to be recorded before they are signed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Signs. The one place where a key is used: clippy refuses `Signer::sign` everywhere else.
    ///
    /// # Errors
    /// [`Error::Key`] if the bytes name another algorithm than the key's, or signing fails.
    #[expect(clippy::disallowed_methods, reason = "what is signed here was linted")]
    pub(crate) fn sign(&self, key: &dyn Signer) -> Result<Vec<u8>> {
        let names = self.algorithm.unwrap_or_else(|| key.algorithm().oid());
        if names != key.algorithm().oid() {
            return Err(Error::Key(format!(
                "signs with another algorithm than the {} names",
                self.what
            )));
        }
        key.sign(&self.bytes)
    }
}

/// Collects.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, rule: &'static Rule, detail: impl Into<String>) {
        self.0.push(Finding {
            rule,
            detail: detail.into(),
        });
    }

    /// Notes `detail` unless the rule holds.
    fn require(&mut self, rule: &'static Rule, holds: bool, detail: &str) {
        if !holds {
            self.add(rule, detail);
        }
    }

    /// DER, decoded, and the same bytes when encoded again; `None` is noted.
    fn decode<T>(&mut self, bytes: &[u8]) -> Option<T>
    where
        T: for<'a> der::Decode<'a, Error = der::Error> + der::Encode,
    {
        if let Err(reason) = canonical::check_own(bytes) {
            self.add(&rules::DER, reason);
            return None;
        }
        match T::from_der(bytes) {
            Ok(value) => {
                let again = value.to_der().is_ok_and(|der| der == bytes);
                self.require(
                    &rules::DER,
                    again,
                    "encodes differently: a default is spelled out",
                );
                Some(value)
            }
            Err(reason) => {
                self.add(&rules::STRUCTURE, reason.to_string());
                None
            }
        }
    }
}
