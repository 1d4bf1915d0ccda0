//! A file that arrives in several answers: what came before a break stays, and is gone on from (RFC 9110 section 14).

use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use probity_domain::Sha256;
use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};
use sha2::Digest as _;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::connection::transport;
use crate::{Error, Result};

const PIECE_BYTES: usize = 256 * 1024;

/// The first bytes of a file whose digest is known, as `<name>.<sha256>.part` beside where it will stand.
pub(crate) struct Partial {
    path: PathBuf,
    sha256: Sha256,
    file: File,
    digest: sha2::Sha256,
    size_bytes: u64,
}

impl Partial {
    /// What an earlier run left of the file, read again for its digest.
    pub(crate) async fn left_of(to: &Path) -> Result<Option<Self>> {
        let folder = match to.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut entries = tokio::fs::read_dir(folder)
            .await
            .map_err(Error::file(folder))?;
        while let Some(entry) = entries.next_entry().await.map_err(Error::file(folder))? {
            let path = entry.path();
            if let Some(sha256) = sha256_of(to, &path) {
                return Self::read_again(path, sha256).await.map(Some);
            }
        }
        Ok(None)
    }

    async fn read_again(path: PathBuf, sha256: Sha256) -> Result<Self> {
        let mut file = tokio::fs::OpenOptions::new()
            .read(true)
            .append(true)
            .open(&path)
            .await
            .map_err(Error::file(&path))?;
        let (mut digest, mut size_bytes) = (sha2::Sha256::new(), 0);
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = file.read(&mut piece).await.map_err(Error::file(&path))?;
            let bytes = piece.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            digest.update(bytes);
            size_bytes += bytes.len() as u64;
        }
        Ok(Self {
            path,
            sha256,
            file,
            digest,
            size_bytes,
        })
    }

    /// Nothing yet of the file with this digest.
    pub(crate) async fn begin(to: &Path, sha256: Sha256) -> Result<Self> {
        let mut name = to.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{sha256}.part"));
        let path = to.with_file_name(name);
        let file = File::create(&path).await.map_err(Error::file(&path))?;
        Ok(Self {
            path,
            sha256,
            file,
            digest: sha2::Sha256::new(),
            size_bytes: 0,
        })
    }

    pub(crate) const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub(crate) const fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// The answer has the bytes that come next, of the same file.
    pub(crate) fn goes_on_in(&self, answer: &Response, sha256: Sha256) -> bool {
        let range = answer.headers().get(CONTENT_RANGE);
        let from = format!("bytes {}-", self.size_bytes);
        answer.status() == StatusCode::PARTIAL_CONTENT
            && sha256 == self.sha256
            && range.is_some_and(|range| range.as_bytes().starts_with(from.as_bytes()))
    }

    /// Takes an answer's body. What came before an error stays.
    pub(crate) async fn take(&mut self, answer: Response) -> Result<()> {
        let mut pieces = answer.bytes_stream();
        let mut taken = Ok(());
        while let Some(piece) = pieces.next().await {
            let piece = match piece {
                Ok(piece) => piece,
                Err(e) => {
                    taken = Err(transport(&e));
                    break;
                }
            };
            self.file
                .write_all(&piece)
                .await
                .map_err(Error::file(&self.path))?;
            self.digest.update(&piece);
            self.size_bytes += piece.len() as u64;
        }
        self.file.flush().await.map_err(Error::file(&self.path))?;
        taken
    }

    /// All of it came: it stands at `to`, or nowhere if it is not what was announced.
    pub(crate) async fn finish(self, to: &Path) -> Result<(u64, Sha256)> {
        let (size_bytes, sha256) = (self.size_bytes, self.sha256);
        self.file
            .sync_all()
            .await
            .map_err(Error::file(&self.path))?;
        if Sha256(self.digest.clone().finalize().into()) != sha256 {
            let what = to.display().to_string();
            self.discard().await;
            return Err(Error::Digest { what });
        }
        tokio::fs::rename(&self.path, to)
            .await
            .map_err(Error::file(to))?;
        Ok((size_bytes, sha256))
    }

    pub(crate) async fn discard(self) {
        let _ = tokio::fs::remove_file(&self.path).await;
    }
}

/// The digest in the name of a partial file of `to`.
fn sha256_of(to: &Path, path: &Path) -> Option<Sha256> {
    let name = path.file_name()?.to_str()?;
    let rest = name.strip_prefix(to.file_name()?.to_str()?)?;
    let hex = rest.strip_prefix('.')?.strip_suffix(".part")?;
    Sha256::parse_hex(hex).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_partial_files() {
        let of = |name: &str| sha256_of(Path::new("in/p.p7m"), &Path::new("in").join(name));
        let sha256 = Sha256([7; 32]);
        assert_eq!(of(&format!("p.p7m.{sha256}.part")), Some(sha256));
        for other in ["p.p7m", "p.p7m.part", "p.p7m.77.part", "q.p7m.part"] {
            assert_eq!(of(other), None, "{other}");
        }
        assert_eq!(of(&format!("q.p7m.{sha256}.part")), None);
        assert_eq!(of(&format!("p.p7m.{sha256}")), None);
    }
}
