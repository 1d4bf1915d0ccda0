//! The submitter's own signature on its instruction: verified before the submission is written, and kept with it.

use bytes::Bytes;
use probity_domain::{Sha3_256, SubmitterSignature, TenantId, Timestamp};
use probity_pki::cms::{CommitmentType, SignedData, verify_detached_content};
use probity_pki::package::{SUBMITTER_SIGNATURE_BYTES_MAX, submitter_manifest};
use probity_pki::path::{Purpose, Revocation, validate_path};
use probity_pki::x509::Certificate;
use probity_platform::{Error, Result};
use probity_proto::stored::blob_key;
use sha3::Digest as _;

use crate::Intake;

/// Reads the signature that was uploaded under `signature`, verifies that it is on this instruction, and keeps the
/// instruction beside it: both go into every package.
///
/// # Errors
/// `Malformed` when the bytes are not there, are no such signature or are not on this instruction; `Forbidden` when the
/// certificate is not trusted, not valid now or not for signing; those of the store.
pub async fn take(
    intake: &Intake,
    tenant: &TenantId,
    instruction: &Bytes,
    signature: Sha3_256,
) -> Result<SubmitterSignature> {
    let key = blob_key(tenant, &signature);
    let absent = || {
        bad(format!(
            "no bytes {signature} are stored; upload them first"
        ))
    };
    let instruction_sha3_256 = Sha3_256(sha3::Sha3_256::digest(instruction).into());
    // What is kept beside the submission may be an artifact of deleted evidence as well.
    let kept = [signature, instruction_sha3_256];
    intake.may_rely_on(tenant, kept).await?;
    let size_bytes = intake.truth.head(&key).await?.ok_or_else(absent)?;
    if size_bytes > SUBMITTER_SIGNATURE_BYTES_MAX as u64 {
        return Err(bad(format!(
            "has at most {SUBMITTER_SIGNATURE_BYTES_MAX} bytes"
        )));
    }
    let object = intake
        .truth
        .get(&key, size_bytes)
        .await?
        .ok_or_else(absent)?;
    let (roots, now) = (intake.submitter_roots.clone(), intake.clock.now());
    let checked = tokio::task::spawn_blocking(move || {
        verify(&object.bytes, &instruction_sha3_256, &roots, now)
    });
    let certificate = checked.await.map_err(Error::internal)??;
    // Named by their content: whether they stood there before does not matter.
    let key = blob_key(tenant, &instruction_sha3_256);
    intake.truth.create(&key, instruction.clone()).await?;
    Ok(SubmitterSignature {
        sha3_256: signature,
        instruction_sha3_256,
        signer: certificate.subject(),
    })
}

/// Verifies a detached CAdES signature by a submitter's own certificate; answers the certificate. Its revocation is not
/// asked: only its own CA can say, and whoever judges the package later.
///
/// # Errors
/// As [`take`].
pub fn verify(
    cms: &[u8],
    instruction_sha3_256: &Sha3_256,
    roots: &[Certificate],
    now: Timestamp,
) -> Result<Certificate> {
    if roots.is_empty() {
        return Err(Error::forbidden(
            "submitter signature: none is taken here, for no roots of submitters are configured",
        ));
    }
    let signed = SignedData::from_der(cms).map_err(bad)?;
    let manifest = submitter_manifest(instruction_sha3_256).map_err(Error::internal)?;
    let signer = verify_detached_content(&signed, &manifest).map_err(bad)?;
    // ETSI EN 319 122-1 6.3: mandatory from B-B on.
    if signer.signing_time.is_none() {
        return Err(bad("no signing-time"));
    }
    let purpose = signer.commitment;
    if purpose.is_some_and(|c| !is_an_instructors(c)) {
        return Err(bad(format_args!("is for another purpose: {purpose:?}")));
    }
    let chain = signed.certificates();
    validate_path(
        &signer.certificate,
        chain,
        roots,
        Revocation::NotChecked,
        now,
        Purpose::SubmitterSigning,
    )
    .map_err(|e| Error::forbidden(format!("submitter signature: {e}")))?;
    Ok(signer.certificate)
}

/// What one commits to who instructs; not what a recipient or a carrier does.
const fn is_an_instructors(commitment: CommitmentType) -> bool {
    matches!(
        commitment,
        CommitmentType::ProofOfOrigin
            | CommitmentType::ProofOfSender
            | CommitmentType::ProofOfApproval
            | CommitmentType::ProofOfCreation
    )
}

fn bad(reason: impl std::fmt::Display) -> Error {
    Error::malformed(format!("submitter signature: {reason}"))
}
