//! Detached CAdES signatures.

use der::asn1::{OctetString, OctetStringRef, SetOfVec};
use der::{Any, Decode, Encode};
use probity_domain::Timestamp;
use x509_cert::attr::Attribute;

use super::build::{Parts, attribute, build, encode_content_info};
use super::parsed::{Encoding, Outline, Parsed};
use super::structures::CommitmentTypeIndication;
use super::{CommitmentType, SignRequest, VerifiedSigner};
use crate::asn1_time::{from_time, to_time};
use crate::crl::Crl;
use crate::digest::HashAlgorithm;
use crate::keys::Signer;
use crate::ocsp::OcspResponse;
use crate::tsp::TimeStampToken;
use crate::x509::Certificate;
use crate::{Error, Result, oid};

const WHAT: &str = "CMS signature";
/// Holds a token, a chain and its lists; a signature in a log entry is far smaller.
const BYTES_MAX: usize = 1024 * 1024;

/// Signs `request.content`; returns ContentInfo DER (`.p7s`).
///
/// # Errors
/// [`Error::Key`] if the key is not the certificate's or signing fails.
pub fn sign_detached(request: &SignRequest<'_>, key: &dyn Signer) -> Result<Vec<u8>> {
    sign_detached_with_status(request, &[], key)
}

/// [`sign_detached`] that keeps OCSP responses beside the lists (RFC 5940): a list grows with what its
/// issuer revokes, a response about one certificate does not.
///
/// # Errors
/// As [`sign_detached`].
pub fn sign_detached_with_status(
    request: &SignRequest<'_>,
    ocsp: &[OcspResponse],
    key: &dyn Signer,
) -> Result<Vec<u8>> {
    sign(request, ocsp, false, key)
}

fn sign(
    request: &SignRequest<'_>,
    ocsp: &[OcspResponse],
    binds_status: bool,
    key: &dyn Signer,
) -> Result<Vec<u8>> {
    let mut certificates = vec![request.signer];
    certificates.extend(request.extra_certificates);
    let parts = Parts {
        content_type: oid::DATA,
        content: request.content,
        is_detached: true,
        signer: request.signer,
        certificates,
        crls: request.crls,
        ocsp,
        binds_status,
        attributes: cades_attributes(request)?,
    };
    let der = build(parts, key)?;
    // What leaves has been read back and verified.
    verify_detached_content(&SignedData::from_der(&der)?, request.content)?;
    Ok(der)
}

/// [`sign_detached_with_status`] for an `ASiCManifest`, which is linted first. The signature binds the lists and
/// responses kept with it ([`SignedData::binds_status`]), so that nobody can put earlier ones in their place.
///
/// # Errors
/// [`Error::Lint`] naming the rules, else as [`sign_detached`].
pub fn sign_manifest(
    request: &SignRequest<'_>,
    ocsp: &[OcspResponse],
    key: &dyn Signer,
) -> Result<Vec<u8>> {
    crate::lint::require(request.content, &crate::lint::Artifact::Manifest)?;
    sign(request, ocsp, true, key)
}

fn cades_attributes(request: &SignRequest<'_>) -> Result<Vec<Attribute>> {
    let signing_time = to_time(request.signing_time)?;
    let encode = || {
        let time = Any::from_der(&signing_time.to_der()?)?;
        let commitment = CommitmentTypeIndication {
            commitment_type: request.commitment.oid(),
            qualifiers: None,
        };
        let mut attributes = vec![
            Attribute {
                oid: oid::SIGNING_TIME,
                values: SetOfVec::try_from(vec![time])?,
            },
            attribute(oid::AA_COMMITMENT_TYPE, &commitment)?,
        ];
        if let Some(digest) = request.instruction_digest {
            attributes.push(attribute(
                oid::INSTRUCTION_DIGEST,
                &OctetString::new(digest)?,
            )?);
        }
        Ok(attributes)
    };
    encode().map_err(|e: der::Error| Error::malformed(WHAT, e))
}

/// A parsed SignedData with exactly one signer and detached content, in DER.
#[derive(Debug, Clone)]
pub struct SignedData {
    der: Vec<u8>,
    parsed: Parsed,
    signing_time: Option<Timestamp>,
    commitment: Option<CommitmentType>,
    instruction_digest: Option<[u8; 32]>,
    status_digests: Option<Vec<Vec<u8>>>,
}

impl SignedData {
    /// Parses ContentInfo DER strictly: one signature has one encoding.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Unsupported`], [`Error::TooLarge`] over 1 MiB.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let parsed = Parsed::from_der(WHAT, der, BYTES_MAX, Encoding::Strict)?;
        if parsed.content_type() != oid::DATA || parsed.content().is_some() {
            return Err(Error::unsupported(WHAT, "other than detached data"));
        }
        let commitment = parsed
            .decoded_attribute::<CommitmentTypeIndication>(oid::AA_COMMITMENT_TYPE)?
            .map(|indication| CommitmentType::from_oid(&indication.commitment_type))
            .transpose()?;
        let instruction_digest = parsed
            .decoded_attribute::<&OctetStringRef>(oid::INSTRUCTION_DIGEST)?
            .map(|digest| <[u8; 32]>::try_from(digest.as_bytes()))
            .transpose()
            .map_err(|_| Error::malformed(WHAT, "instruction digest is not 32 bytes"))?;
        let status_digests = parsed
            .decoded_attribute::<Vec<OctetString>>(oid::STATUS_DIGESTS)?
            .map(|all| all.iter().map(|one| one.as_bytes().to_vec()).collect());
        let signing_time = parsed.signing_time()?.map(from_time);
        let der = der.to_vec();
        Ok(Self {
            der,
            parsed,
            signing_time,
            commitment,
            instruction_digest,
            status_digests,
        })
    }

    /// The bytes that were parsed.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// All certificates inside, in their order there. Untrusted until validated.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.parsed.certificates
    }

    /// All revocation lists inside. Untrusted until verified.
    #[must_use]
    pub fn crls(&self) -> &[Crl] {
        &self.parsed.crls
    }

    /// All OCSP responses inside. Untrusted until verified.
    #[must_use]
    pub fn ocsp_responses(&self) -> &[OcspResponse] {
        &self.parsed.ocsp
    }

    /// The signer's certificate: the one that signing-certificate-v2 and the signer identifier name.
    ///
    /// # Errors
    /// [`Error::NotVerified`] if it is not inside.
    pub fn signer_certificate(&self) -> Result<&Certificate> {
        self.parsed.signer_certificate(&[])
    }

    /// The digest algorithm of the content, to compute the digest for [`verify_detached`].
    #[must_use]
    pub fn digest_algorithm(&self) -> HashAlgorithm {
        self.parsed.hash
    }

    /// SignerInfo.signature: what a signature time-stamp covers.
    #[must_use]
    pub fn signature_value(&self) -> &[u8] {
        self.parsed.signature_value()
    }

    /// Claimed signing time.
    #[must_use]
    pub fn signing_time(&self) -> Option<Timestamp> {
        self.signing_time
    }

    /// What the signer commits to.
    #[must_use]
    pub fn commitment(&self) -> Option<CommitmentType> {
        self.commitment
    }

    /// Digest of the signer's instruction.
    #[must_use]
    pub fn instruction_digest(&self) -> Option<[u8; 32]> {
        self.instruction_digest
    }

    /// Whether the signer said by a signed attribute which revocation data it kept, were it none. What was added
    /// later is not among them; that none was taken away is part of verifying.
    #[must_use]
    pub fn binds_status(&self) -> bool {
        self.status_digests.is_some()
    }

    /// The revocation lists that the signer bound.
    #[must_use]
    pub fn bound_crls(&self) -> Vec<&Crl> {
        let crls = self.crls().iter();
        crls.filter(|crl| self.is_bound(crl.der())).collect()
    }

    /// The OCSP responses that the signer bound.
    #[must_use]
    pub fn bound_ocsp_responses(&self) -> Vec<&OcspResponse> {
        let responses = self.ocsp_responses().iter();
        responses.filter(|r| self.is_bound(r.der())).collect()
    }

    fn is_bound(&self, der: &[u8]) -> bool {
        let digest = self.digest_algorithm().digest(der);
        let mut bound = self.status_digests.iter().flatten();
        bound.any(|known| *known == digest)
    }

    /// Nothing is missing that the signer bound.
    fn check_status(&self) -> Result<()> {
        let Some(bound) = &self.status_digests else {
            return Ok(());
        };
        let crls = self.crls().iter().map(Crl::der);
        let there = crls.chain(self.ocsp_responses().iter().map(OcspResponse::der));
        let there: Vec<_> = there
            .map(|der| self.digest_algorithm().digest(der))
            .collect();
        if bound.iter().all(|digest| there.contains(digest)) {
            return Ok(());
        }
        let reason = "a revocation list or OCSP response that it binds is missing";
        Err(Error::not_verified(WHAT, reason))
    }

    /// The signature time-stamp, if any (CAdES-T); not verified.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is no token.
    pub fn time_stamp_token(&self) -> Result<Option<TimeStampToken>> {
        let Some(value) = self.parsed.unsigned_attribute(oid::AA_TIME_STAMP_TOKEN)? else {
            return Ok(None);
        };
        let der = value.to_der().map_err(|e| Error::malformed(WHAT, e))?;
        TimeStampToken::from_der(&der).map(Some)
    }
}

/// Verifies signature, message digest and ESS binding against the digest of the detached content, made
/// with [`SignedData::digest_algorithm`], and that the revocation data which the signer bound are there. The certificate's path is not validated.
///
/// # Errors
/// [`Error::NotVerified`].
pub fn verify_detached(signed: &SignedData, content_digest: &[u8]) -> Result<VerifiedSigner> {
    let certificate = signed.parsed.verify(content_digest, &[])?.clone();
    signed.check_status()?;
    Ok(VerifiedSigner {
        certificate,
        signing_time: signed.signing_time,
        commitment: signed.commitment,
        instruction_digest: signed.instruction_digest,
    })
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
    let signature = Unstamped::from_der(cms_der)?;
    let token = TimeStampToken::from_der(token_der)?;
    let hash = token.tst_info().imprint.algorithm;
    token.verify(hash, &hash.digest(signature.value()))?;
    signature.attach(token_der)
}

/// A detached signature as time-stamping sees it: only its value matters, so that certificates and status inside are
/// not decoded.
pub(crate) struct Unstamped(Outline);

impl Unstamped {
    /// # Errors
    /// As [`SignedData::from_der`]; [`Error::Unsupported`] if there is a signature time-stamp already.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self> {
        let outline = Outline::from_der(WHAT, der, BYTES_MAX, Encoding::Strict)?;
        if outline.content_type() != oid::DATA || outline.value.encapsulated.content.is_some() {
            return Err(Error::unsupported(WHAT, "other than detached data"));
        }
        let mut unsigned = outline
            .signer
            .unsigned_attributes
            .iter()
            .flat_map(SetOfVec::iter);
        if unsigned.any(|attribute| attribute.oid == oid::AA_TIME_STAMP_TOKEN) {
            return Err(Error::unsupported(WHAT, "a second signature time-stamp"));
        }
        Ok(Self(outline))
    }

    /// SignerInfo.signature.
    pub(crate) fn value(&self) -> &[u8] {
        self.0.signer.signature.as_bytes()
    }

    /// The signature with a token that is known to cover it; ContentInfo DER.
    pub(crate) fn attach(self, token_der: &[u8]) -> Result<Vec<u8>> {
        let Outline {
            mut value,
            mut signer,
            ..
        } = self.0;
        let mut encode = || {
            let token = Any::from_der(token_der)?;
            let values = SetOfVec::try_from(vec![token])?;
            let unsigned = signer.unsigned_attributes.take();
            let mut attributes = unsigned.map(SetOfVec::into_vec).unwrap_or_default();
            attributes.push(Attribute {
                oid: oid::AA_TIME_STAMP_TOKEN,
                values,
            });
            signer.unsigned_attributes = Some(SetOfVec::try_from(attributes)?);
            value.signer_infos = SetOfVec::try_from(vec![signer.clone()])?;
            encode_content_info(&value)
        };
        let der = encode().map_err(|e: der::Error| Error::malformed(WHAT, e))?;
        Outline::from_der(WHAT, &der, BYTES_MAX, Encoding::Strict)?;
        Ok(der)
    }
}
