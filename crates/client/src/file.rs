//! Local files: digests on the way up, digests on the way down.

use std::path::{Path, PathBuf};

use futures::{StreamExt as _, TryStreamExt as _};
use probity_domain::{Digests, Sha3_256, Sha256};
use sha2::Digest as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::io::ReaderStream;

use crate::connection::transport;
use crate::{Error, Result};

const PIECE_BYTES: usize = 256 * 1024;

/// A local file with its size and both digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestedFile {
    pub path: PathBuf,
    pub size_bytes: u64,
    pub digests: Digests,
}

/// Reads a file once and computes both digests.
///
/// # Errors
/// [`Error::File`].
pub async fn digest_file(path: &Path) -> Result<DigestedFile> {
    let mut file = tokio::fs::File::open(path)
        .await
        .map_err(Error::file(path))?;
    let (mut sha3, mut sha2, mut size_bytes) = (sha3::Sha3_256::new(), sha2::Sha256::new(), 0);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = file.read(&mut piece).await.map_err(Error::file(path))?;
        let bytes = piece.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        sha3.update(bytes);
        sha2.update(bytes);
        size_bytes += bytes.len() as u64;
    }
    let digests = Digests {
        sha3_256: Sha3_256(sha3.finalize().into()),
        sha256: Sha256(sha2.finalize().into()),
    };
    Ok(DigestedFile {
        path: path.to_owned(),
        size_bytes,
        digests,
    })
}

/// Both digests of bytes at hand.
pub(crate) fn digests_of(bytes: &[u8]) -> Digests {
    Digests {
        sha3_256: Sha3_256(sha3::Sha3_256::digest(bytes).into()),
        sha256: Sha256(sha2::Sha256::digest(bytes).into()),
    }
}

/// A file as a request body; `sent` is told of every piece.
pub(crate) async fn body_of(
    path: &Path,
    sent: impl Fn(u64) + Send + Sync + 'static,
) -> Result<reqwest::Body> {
    let file = tokio::fs::File::open(path)
        .await
        .map_err(Error::file(path))?;
    let pieces = ReaderStream::with_capacity(file, PIECE_BYTES);
    Ok(reqwest::Body::wrap_stream(
        pieces.inspect_ok(move |piece| sent(piece.len() as u64)),
    ))
}

/// Writes an answer's body to `path`, which comes to stand there whole, checked against the digest if one is given, or
/// not at all.
pub(crate) async fn save(
    response: reqwest::Response,
    path: &Path,
    expected: Option<Sha3_256>,
) -> Result<u64> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let saved = save_checked(response, &part, expected).await;
    match saved {
        Ok(size_bytes) => {
            tokio::fs::rename(&part, path)
                .await
                .map_err(Error::file(path))?;
            Ok(size_bytes)
        }
        Err(error) => {
            let _ = tokio::fs::remove_file(&part).await;
            Err(error)
        }
    }
}

async fn save_checked(
    response: reqwest::Response,
    part: &Path,
    expected: Option<Sha3_256>,
) -> Result<u64> {
    let mut file = tokio::fs::File::create(part)
        .await
        .map_err(Error::file(part))?;
    let (mut sha3, mut size_bytes) = (sha3::Sha3_256::new(), 0);
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|e| transport(&e))?;
        sha3.update(&piece);
        size_bytes += piece.len() as u64;
        file.write_all(&piece).await.map_err(Error::file(part))?;
    }
    file.flush().await.map_err(Error::file(part))?;
    file.sync_all().await.map_err(Error::file(part))?;
    let sha3_256 = Sha3_256(sha3.finalize().into());
    if expected.is_some_and(|expected| expected != sha3_256) {
        return Err(Error::Digest {
            what: part.display().to_string(),
        });
    }
    Ok(size_bytes)
}
