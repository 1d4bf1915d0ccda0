//! CMS SignedData with CAdES attributes: detached signatures on manifests (RFC 5652, ETSI EN 319 122-1).
//!
//! [`sign_detached`] makes CAdES-B; [`add_signature_time_stamp`] makes it CAdES-T. With every certificate
//! of the path, root included, and a status of each (lists, or OCSP responses by
//! [`sign_detached_with_status`]) it is CAdES-LT: it verifies decades later from its own bytes.
//! [`verify_detached`] checks signature, digest and binding of the certificate; whether the certificate
//! is trusted is [`crate::path::validate_path`]'s to say.

mod build;
mod parsed;
mod signed_data;
pub(crate) mod structures;

use const_oid::ObjectIdentifier;
use probity_domain::Timestamp;

pub(crate) use build::{Parts, build};
pub(crate) use parsed::{Encoding, Parsed};
pub(crate) use signed_data::Unstamped;
pub use signed_data::{
    SignedData, add_signature_time_stamp, sign_detached, sign_detached_with_status, sign_manifest,
    verify_detached, verify_detached_content,
};

use crate::crl::Crl;
use crate::x509::Certificate;
use crate::{Error, Result, oid};

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

impl CommitmentType {
    pub(crate) const ALL: [Self; 6] = [
        Self::ProofOfOrigin,
        Self::ProofOfReceipt,
        Self::ProofOfDelivery,
        Self::ProofOfSender,
        Self::ProofOfApproval,
        Self::ProofOfCreation,
    ];

    /// Commitment type identifier.
    #[must_use]
    pub const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::ProofOfOrigin => oid::CTI_PROOF_OF_ORIGIN,
            Self::ProofOfReceipt => oid::CTI_PROOF_OF_RECEIPT,
            Self::ProofOfDelivery => oid::CTI_PROOF_OF_DELIVERY,
            Self::ProofOfSender => oid::CTI_PROOF_OF_SENDER,
            Self::ProofOfApproval => oid::CTI_PROOF_OF_APPROVAL,
            Self::ProofOfCreation => oid::CTI_PROOF_OF_CREATION,
        }
    }

    fn from_oid(oid: &ObjectIdentifier) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.oid() == *oid)
            .ok_or_else(|| Error::unsupported("commitment type", oid))
    }
}

/// One signature to be made.
#[derive(Debug, Clone)]
pub struct SignRequest<'a> {
    /// What is signed; not included in the result.
    pub content: &'a [u8],
    /// The signer's certificate; its key must be the one that signs.
    pub signer: &'a Certificate,
    /// Further certificates a verifier will need: the issuing CA, and for CAdES-LT the root as well
    /// (ETSI EN 319 122-1 6.3: trust anchors too, where they are certificates).
    pub extra_certificates: &'a [Certificate],
    /// Revocation lists to keep with the signature.
    pub crls: &'a [Crl],
    /// Claimed signing time; whole seconds.
    pub signing_time: Timestamp,
    pub commitment: CommitmentType,
    /// SHA3-256 of the signer's instruction, as a signed attribute of our own.
    pub instruction_digest: Option<[u8; 32]>,
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
