//! What a package carries where the submitter signed its instruction: the instruction, the manifest over it, and that
//! signature.

use bytes::Bytes;
use probity_domain::Sha3_256;
use probity_pki::digest::HashAlgorithm;
use probity_pki::package::{SUBMITTER_SIGNATURE_BYTES_MAX, submitter_manifest};
use probity_pki::statement::Statement;
use probity_platform::objects::Objects;
use probity_platform::{Error, Result};
use probity_proto::stored::blob_key;

use crate::error::kept;

/// The small members, and where the large one is.
pub struct SubmitterMembers {
    pub manifest: Bytes,
    pub signature: Bytes,
    pub instruction_sha3_256: Sha3_256,
}

impl SubmitterMembers {
    /// Reads what the statement speaks of; `None` where the submitter did not sign.
    ///
    /// # Errors
    /// `Internal` when the signature's bytes are gone or are others; those of the store.
    pub async fn read(statement: &Statement, truth: &dyn Objects) -> Result<Option<Self>> {
        let Some(stated) = &statement.submitter_signature else {
            return Ok(None);
        };
        let key = blob_key(&statement.tenant, &stated.sha3_256);
        let object = truth
            .get(&key, SUBMITTER_SIGNATURE_BYTES_MAX as u64)
            .await?
            .ok_or_else(|| Error::internal(format!("{key}: the submitter's signature is gone")))?;
        if HashAlgorithm::Sha3_256.digest(&object.bytes) != stated.sha3_256.0 {
            let reason = format!("{key}: the bytes are not those of this digest");
            return Err(Error::internal(reason));
        }
        let manifest = submitter_manifest(&stated.instruction_sha3_256).map_err(kept)?;
        Ok(Some(Self {
            manifest: manifest.into(),
            signature: object.bytes,
            instruction_sha3_256: stated.instruction_sha3_256,
        }))
    }
}
