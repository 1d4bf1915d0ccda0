//! Building the path with rustls-webpki, and its refusals in our words.

use core::time::Duration;

use probity_domain::Timestamp;
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm, UnixTime,
};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, KeyUsage, aws_lc_rs};

use super::{Path, PathError, Purpose};
use crate::keys::{KnownSignatures, unless_known};
use crate::x509::Certificate;

/// As [`crate::keys::verify_with_identifier`].
static ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 7] = [
    aws_lc_rs::ECDSA_P384_SHA384,
    aws_lc_rs::ECDSA_P384_SHA256,
    aws_lc_rs::ECDSA_P256_SHA256,
    aws_lc_rs::ECDSA_P256_SHA384,
    aws_lc_rs::RSA_PKCS1_2048_8192_SHA256,
    aws_lc_rs::RSA_PKCS1_2048_8192_SHA384,
    aws_lc_rs::RSA_PKCS1_2048_8192_SHA512,
];

/// One of them, which does not compute again what is known to verify.
#[derive(Debug)]
struct UnlessKnown<'k> {
    algorithm: &'static dyn SignatureVerificationAlgorithm,
    known: Option<&'k KnownSignatures>,
}

impl SignatureVerificationAlgorithm for UnlessKnown<'_> {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let ids = [self.signature_alg_id(), self.public_key_alg_id()];
        let ids = ids.each_ref().map(|id| id.as_ref()).concat();
        unless_known(self.known, [public_key, &ids, message, signature], || {
            self.algorithm
                .verify_signature(public_key, message, signature)
        })
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }
}

// Contents octets of id-kp-timeStamping, -OCSPSigning (RFC 5280) and -documentSigning (RFC 9336).
const TIME_STAMPING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 8];
const OCSP_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 9];
const DOCUMENT_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 36];

/// Purposes as constraints down the path: a CA that lists some may issue for those only. What the leaf
/// itself must carry is checked apart, because webpki knows nothing of criticality.
struct Usage(Purpose);

impl ExtendedKeyUsageValidator for Usage {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let id = match self.0 {
            Purpose::TimeStamping => TIME_STAMPING,
            Purpose::OcspSigning => OCSP_SIGNING,
            Purpose::EventSigning | Purpose::Seal => DOCUMENT_SIGNING,
            Purpose::ReceiptSigning | Purpose::SubmitterSigning | Purpose::Encryption => {
                return Ok(());
            }
        };
        KeyUsage::required_if_present(id).validate(purposes)
    }
}

pub(super) fn build(
    leaf: &Certificate,
    intermediates: &[Certificate],
    roots: &[Certificate],
    at: Timestamp,
    purpose: Purpose,
    known: Option<&KnownSignatures>,
) -> Result<Path, PathError> {
    let leaf_der = CertificateDer::from(leaf.der());
    let ders = |certificates: &[Certificate]| -> Vec<CertificateDer<'static>> {
        certificates
            .iter()
            .map(|c| CertificateDer::from(c.der().to_vec()))
            .collect()
    };
    let (intermediate_ders, root_ders) = (ders(intermediates), ders(roots));
    let mut anchors = Vec::with_capacity(root_ders.len());
    for (der, root) in root_ders.iter().zip(roots) {
        anchors.push(webpki::anchor_from_trusted_cert(der).map_err(|e| invalid(root, &e))?);
    }
    let algorithms = ALGORITHMS.map(|algorithm| UnlessKnown { algorithm, known });
    let algorithms = algorithms
        .each_ref()
        .map(|algorithm| algorithm as &dyn SignatureVerificationAlgorithm);
    let seconds = u64::try_from(at.unix_s()).unwrap_or_default();
    let end_entity = EndEntityCert::try_from(&leaf_der).map_err(|e| invalid(leaf, &e))?;
    let verified = end_entity
        .verify_for_usage(
            &algorithms,
            &anchors,
            &intermediate_ders,
            UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
            Usage(purpose),
            None,
            None,
        )
        .map_err(|error| explain(&error, leaf, intermediates, at, purpose))?;

    let mut certificates = vec![leaf.clone()];
    for link in verified.intermediate_certificates() {
        let der = link.der();
        certificates.extend(
            intermediates
                .iter()
                .find(|c| c.der() == der.as_ref())
                .cloned(),
        );
    }
    let anchor = anchors
        .iter()
        .position(|anchor| core::ptr::eq(anchor, verified.anchor()));
    certificates.extend(anchor.and_then(|at| roots.get(at)).cloned());
    Ok(Path {
        certificates,
        told_by: Vec::new(),
    })
}

fn explain(
    error: &webpki::Error,
    leaf: &Certificate,
    intermediates: &[Certificate],
    at: Timestamp,
    purpose: Purpose,
) -> PathError {
    // webpki does not say which certificate; the leaf's own validity was checked before.
    let culprit = |is: fn(&Certificate, Timestamp) -> bool| {
        intermediates
            .iter()
            .find(|certificate| is(certificate, at))
            .unwrap_or(leaf)
            .subject()
    };
    match error {
        webpki::Error::CertExpired { .. } => PathError::Expired {
            subject: culprit(|c, at| at > c.not_after()),
        },
        webpki::Error::CertNotValidYet { .. } => PathError::NotYetValid {
            subject: culprit(|c, at| at < c.not_before()),
        },
        webpki::Error::UnknownIssuer => PathError::UnknownIssuer {
            subject: leaf.subject(),
        },
        webpki::Error::InvalidSignatureForPublicKey => PathError::BadSignature {
            subject: leaf.subject(),
        },
        webpki::Error::RequiredEkuNotFoundContext(_) => PathError::WrongPurpose {
            subject: leaf.subject(),
            purpose,
            reason: "extendedKeyUsage on the path excludes it",
        },
        other => invalid(leaf, other),
    }
}

fn invalid(certificate: &Certificate, error: &webpki::Error) -> PathError {
    PathError::Invalid {
        subject: certificate.subject(),
        reason: error.to_string(),
    }
}
