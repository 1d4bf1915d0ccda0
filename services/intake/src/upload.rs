//! `upload`: one artifact's bytes into the store, under their own digest.

use bytes::BytesMut;
use futures::StreamExt as _;
use probity_domain::{Digests, Sha3_256, TenantId};
use probity_platform::objects::{ByteStream, Created};
use probity_platform::{Error, Result};
use probity_proto::http::BlobStoredDocument;
use probity_proto::stored::blob_key;

use crate::Intake;
use crate::blobs::Blob;
use crate::turns::Place;
use crate::verified::{Expected, Hashing, Source, check, verified};

/// Bodies up to this size are held in memory and written in one go; longer ones are streamed in parts.
pub const BUFFERED_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Memory that a streamed upload takes: the part being filled and those on their way.
const STREAMED_BYTES: u64 = 3 * BUFFERED_BYTES_MAX;

/// Stores the bytes, or knows them to be stored already: then the body is left unread.
///
/// Who brings too much is told so before the body is read. One refusal comes after it: small ones wait for their turn to
/// be written with the bytes at hand, ten seconds at most, and who gets none then has spent nothing of its quota.
///
/// # Errors
/// `Malformed` for an empty or oversized artifact, and when length or digests are not those announced: then nothing
/// is left in the store. `TooMany` or `Unavailable` when too much is being taken in or written already; `Unavailable`
/// also while a recorded order removes these very bytes.
pub async fn upload(
    intake: &Intake,
    tenant: &TenantId,
    announced: Expected,
    body: ByteStream,
) -> Result<BlobStoredDocument> {
    check_size(announced.size_bytes, intake.blob_bytes_max)?;
    let digest = announced.digests.sha3_256;
    let seen = intake.may_rely_on(tenant, [digest]).await?;
    let remembered = intake.blobs.remembered(tenant, digest);
    let size_bytes = match remembered {
        Some(blob) => Some(blob.size_bytes),
        // Writing a small one says whether it is there: asking first would cost every new one a request.
        None if announced.size_bytes <= BUFFERED_BYTES_MAX => None,
        None => intake.blobs.size(tenant, digest).await?,
    };
    if let Some(size_bytes) = size_bytes {
        check_known(announced, size_bytes, remembered)?;
        return Ok(stored(digest, size_bytes, true));
    }
    // The quota last: what is refused costs none of it.
    let existed = if announced.size_bytes <= BUFFERED_BYTES_MAX {
        let place = intake.write_place(tenant)?;
        let _held = intake.admit(tenant, announced.size_bytes).await?;
        intake.count_upload(tenant, announced.size_bytes)?;
        buffered(intake, tenant, announced, body, place).await?
    } else {
        let _held = intake.admit(tenant, STREAMED_BYTES).await?;
        intake.count_upload(tenant, announced.size_bytes)?;
        streamed(intake, tenant, announced, body).await?
    };
    let Expected {
        size_bytes,
        digests: Digests { sha256, .. },
    } = announced;
    // Of bytes that somebody else wrote meanwhile, only the length is known.
    if !existed {
        intake
            .blobs
            .remember(tenant, digest, Blob { size_bytes, sha256 }, seen);
    }
    Ok(stored(digest, size_bytes, existed))
}

/// # Errors
/// `Malformed` for what can never be stored.
pub fn check_size(size_bytes: u64, bytes_max: u64) -> Result<()> {
    match size_bytes {
        0 => Err(Error::malformed("empty artifact: there is nothing to keep")),
        n if n > bytes_max => Err(Error::malformed(format!(
            "{n} bytes; an artifact has at most {bytes_max}"
        ))),
        _ => Ok(()),
    }
}

/// The digest names the bytes, so anything else announced of them must be true as well.
fn check_known(announced: Expected, size_bytes: u64, known: Option<Blob>) -> Result<()> {
    let sha256 = known.map_or(announced.digests.sha256, |b| b.sha256);
    let there = Expected {
        size_bytes,
        digests: Digests {
            sha256,
            ..announced.digests
        },
    };
    check(there, announced, Source::Caller)
}

async fn buffered(
    intake: &Intake,
    tenant: &TenantId,
    announced: Expected,
    mut body: ByteStream,
    place: Place,
) -> Result<bool> {
    let capacity = usize::try_from(announced.size_bytes).map_err(Error::internal)?;
    let mut bytes = BytesMut::with_capacity(capacity);
    let mut hashing = Hashing::default();
    while let Some(piece) = body.next().await {
        let piece = piece?;
        if bytes.len() + piece.len() > capacity {
            return Err(Error::malformed(format!(
                "longer than the {capacity} bytes announced"
            )));
        }
        hashing.update(&piece);
        bytes.extend_from_slice(&piece);
    }
    check(hashing.finish(), announced, Source::Caller)?;
    let key = blob_key(tenant, &announced.digests.sha3_256);
    // Not before: whoever sends slowly keeps nobody from the store.
    let _turn = place
        .turn()
        .await
        .inspect_err(|_| intake.uncount_upload(tenant, announced.size_bytes))?;
    match intake.blobs.truth().create(&key, bytes.freeze()).await? {
        Created::Created => Ok(false),
        Created::Exists(_) => Err(Error::internal(format!("{key} holds other bytes"))),
    }
}

async fn streamed(
    intake: &Intake,
    tenant: &TenantId,
    announced: Expected,
    body: ByteStream,
) -> Result<bool> {
    let key = blob_key(tenant, &announced.digests.sha3_256);
    let body = verified(body, announced, Source::Caller);
    let created = intake
        .blobs
        .truth()
        .create_streamed(&key, announced.size_bytes, body)
        .await?;
    Ok(!created)
}

fn stored(digest: Sha3_256, size_bytes: u64, existed: bool) -> BlobStoredDocument {
    BlobStoredDocument {
        sha3_256: digest.to_hex(),
        size_bytes,
        existed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert!(check_size(1, 10).is_ok() && check_size(10, 10).is_ok());
        assert!(
            check_size(0, 10)
                .unwrap_err()
                .detail
                .contains("empty artifact")
        );
        assert!(check_size(11, 10).is_err());
    }
}
