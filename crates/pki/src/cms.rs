//! CMS SignedData with CAdES attributes: detached signatures on manifests (RFC 5652, ETSI EN 319 122-1).
//!
//! [`sign_detached`] makes CAdES-B; [`add_signature_time_stamp`] makes it CAdES-T. [`verify_detached`]
//! checks signature, digest and binding of the certificate; whether the certificate is trusted is
//! [`crate::path::validate_path`]'s to say.

use probity_domain::Timestamp;

use crate::crl::Crl;
use crate::digest::HashAlgorithm;
use crate::keys::Signer;
use crate::tsp::TimeStampToken;
use crate::x509::Certificate;
use crate::{Error, Result};

/// What the signer commits to (ETSI EN 319 122-1 5.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CommitmentType {
    ProofOfOrigin,
    ProofOfReceipt,
    ProofOfDelivery,
    ProofOfSender,
    ProofOfApproval,
    ProofOfCreation,
}

/// One signature to be made.
#[derive(Debug, Clone)]
pub struct SignRequest<'a> {
    /// What is signed; not included in the result.
    pub content: &'a [u8],
    /// The signer's certificate; its key must be the one that signs.
    pub signer: &'a Certificate,
    /// Further certificates a verifier will need (issuing CA), without the root.
    pub extra_certificates: &'a [Certificate],
    /// Revocation lists to keep with the signature.
    pub crls: &'a [Crl],
    /// Claimed signing time; whole seconds.
    pub signing_time: Timestamp,
    pub commitment: CommitmentType,
    /// SHA3-256 of the signer's instruction, as a signed attribute of our own.
    pub instruction_digest: Option<[u8; 32]>,
}

/// Signs `request.content`; returns ContentInfo DER (`.p7s`).
///
/// # Errors
/// [`Error::Key`] if the key is not the certificate's or signing fails.
pub fn sign_detached(request: &SignRequest<'_>, key: &dyn Signer) -> Result<Vec<u8>> {
    let _ = (request, key);
    Err(Error::unsupported("CMS", "being written"))
}

/// A parsed SignedData with exactly one signer, in DER.
#[derive(Debug, Clone)]
pub struct SignedData {
    der: Vec<u8>,
    certificates: Vec<Certificate>,
    crls: Vec<Crl>,
    signature: Vec<u8>,
}

impl SignedData {
    /// Parses ContentInfo DER strictly.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Unsupported`], [`Error::TooLarge`] over 1 MiB.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let _ = der;
        Err(Error::unsupported("CMS", "being written"))
    }

    /// The bytes that were parsed.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// All certificates inside, in their order there. Untrusted until validated.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// All revocation lists inside. Untrusted until verified.
    #[must_use]
    pub fn crls(&self) -> &[Crl] {
        &self.crls
    }

    /// The signer's certificate: the one that signing-certificate-v2 and the signer identifier name.
    ///
    /// # Errors
    /// [`Error::NotVerified`] if it is not inside.
    pub fn signer_certificate(&self) -> Result<&Certificate> {
        Err(Error::unsupported("CMS", "being written"))
    }

    /// The digest algorithm of the content, to compute `content_digest` for [`verify_detached`].
    #[must_use]
    pub fn digest_algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::Sha384
    }

    /// SignerInfo.signature: what a signature time-stamp covers.
    #[must_use]
    pub fn signature_value(&self) -> &[u8] {
        &self.signature
    }

    /// Claimed signing time.
    #[must_use]
    pub fn signing_time(&self) -> Option<Timestamp> {
        None
    }

    /// What the signer commits to.
    #[must_use]
    pub fn commitment(&self) -> Option<CommitmentType> {
        None
    }

    /// Digest of the signer's instruction.
    #[must_use]
    pub fn instruction_digest(&self) -> Option<[u8; 32]> {
        None
    }

    /// The signature time-stamp, if any (CAdES-T); not verified.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is no token.
    pub fn time_stamp_token(&self) -> Result<Option<TimeStampToken>> {
        Err(Error::unsupported("CMS", "being written"))
    }
}

/// What holds about a signature whose arithmetic is right.
#[derive(Debug, Clone)]
pub struct VerifiedSigner {
    pub certificate: Certificate,
    /// Claimed by the signer; only a time-stamp proves anything.
    pub signing_time: Option<Timestamp>,
    pub commitment: Option<CommitmentType>,
    pub instruction_digest: Option<[u8; 32]>,
}

/// Verifies signature, message digest and ESS binding against the digest of the detached content, made
/// with [`SignedData::digest_algorithm`]. The certificate's path is not validated.
///
/// # Errors
/// [`Error::NotVerified`].
pub fn verify_detached(signed: &SignedData, content_digest: &[u8]) -> Result<VerifiedSigner> {
    let _ = (signed, content_digest);
    Err(Error::unsupported("CMS", "being written"))
}

/// [`verify_detached`] for content in memory.
///
/// # Errors
/// [`Error::NotVerified`].
pub fn verify_detached_content(signed: &SignedData, content: &[u8]) -> Result<VerifiedSigner> {
    verify_detached(signed, &signed.digest_algorithm().digest(content))
}

/// Adds an RFC 3161 token over the signature value as the unsigned attribute
/// id-aa-timeStampToken: CAdES-B becomes CAdES-T.
///
/// # Errors
/// [`Error::NotVerified`] if the token does not cover this signature, [`Error::Unsupported`] if there is
/// one already.
pub fn add_signature_time_stamp(cms_der: &[u8], token_der: &[u8]) -> Result<Vec<u8>> {
    let _ = (cms_der, token_der);
    Err(Error::unsupported("CMS", "being written"))
}
