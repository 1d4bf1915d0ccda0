//! Certification requests: a subscriber shows that it holds the key (RFC 2986).

use der::asn1::SetOfVec;
use der::{Decode, Encode, Sequence};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::attr::Attributes;
use x509_cert::name::Name;

use super::Subject;
use crate::keys::Signer;
use crate::lint::{Artifact, ToBeSigned};
use crate::signed::Signed;
use crate::{Error, Result};

const WHAT: &str = "certification request";
const BYTES_MAX: usize = 16 * 1024;

/// RFC 2986 4.1.
#[derive(Sequence)]
pub(crate) struct CertificationRequestInfo {
    pub(crate) version: u8,
    subject: Name,
    pub(crate) subject_public_key_info: SubjectPublicKeyInfoOwned,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    attributes: Attributes,
}

/// A request whose proof of possession has been verified.
#[derive(Debug, Clone)]
pub struct Csr {
    spki_der: Vec<u8>,
    subject: Name,
}

impl Csr {
    /// Parses DER and verifies the signature with the key inside. The subject is a wish: what goes into
    /// a certificate is what identity verification found.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Unsupported`] keys, [`Error::NotVerified`] without possession.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let bad = |e: der::Error| Error::malformed(WHAT, e);
        let signed = Signed::from_der(WHAT, der, BYTES_MAX)?;
        let info =
            CertificationRequestInfo::from_der(&signed.to_be_signed_der(WHAT)?).map_err(bad)?;
        if info.version != 0 {
            return Err(Error::unsupported(WHAT, "version other than 1"));
        }
        let spki_der = info.subject_public_key_info.to_der().map_err(bad)?;
        signed.verify(WHAT, &spki_der, None)?;
        Ok(Self {
            spki_der,
            subject: info.subject,
        })
    }

    /// Parses one PEM block `CERTIFICATE REQUEST`; otherwise as [`Csr::from_der`].
    ///
    /// # Errors
    /// As [`Csr::from_der`].
    pub fn from_pem(pem: &str) -> Result<Self> {
        let (label, document) =
            der::Document::from_pem(pem).map_err(|e| Error::malformed(WHAT, e))?;
        if label != "CERTIFICATE REQUEST" {
            return Err(Error::malformed(WHAT, format!("PEM label {label:?}")));
        }
        Self::from_der(document.as_bytes())
    }

    /// The key, as SubjectPublicKeyInfo DER.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// The name asked for, RFC 4514 text.
    #[must_use]
    pub fn subject(&self) -> String {
        self.subject.to_string()
    }
}

/// A signed request, DER.
///
/// # Errors
/// [`Error::Malformed`] for a bad subject, [`Error::Key`] if signing fails.
pub fn make_csr(key: &dyn Signer, subject: &Subject) -> Result<Vec<u8>> {
    let subject = subject.to_name()?;
    let encode = || {
        CertificationRequestInfo {
            version: 0,
            subject,
            subject_public_key_info: SubjectPublicKeyInfoOwned::from_der(key.public_key_der())?,
            attributes: SetOfVec::default(),
        }
        .to_der()
    };
    let info = encode().map_err(|e: der::Error| Error::malformed(WHAT, e))?;
    let artifact = Artifact::CertificationRequest(key.public_key_der());
    Signed::sign(WHAT, &ToBeSigned::new(info, &artifact)?, key)
}
