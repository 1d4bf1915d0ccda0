//! Bytes that are withheld at the end until they are known to be the right ones.

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use probity_domain::{Digests, Sha3_256, Sha256};
use probity_platform::objects::ByteStream;
use probity_platform::{Error, ErrorKind, Result};
use sha2::Digest as _;

/// What the bytes have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    pub size_bytes: u64,
    pub digests: Digests,
}

/// Computes both digests and the length.
#[derive(Default)]
pub struct Hashing {
    sha3_256: sha3::Sha3_256,
    sha256: sha2::Sha256,
    size_bytes: u64,
}

impl Hashing {
    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.sha3_256.update(piece);
        self.sha256.update(piece);
        self.size_bytes += piece.len() as u64;
    }

    /// What the bytes were.
    #[must_use]
    pub fn finish(self) -> Expected {
        let digests = Digests {
            sha3_256: Sha3_256(self.sha3_256.finalize().into()),
            sha256: Sha256(self.sha256.finalize().into()),
        };
        Expected {
            size_bytes: self.size_bytes,
            digests,
        }
    }
}

/// Whose fault it is when the bytes are wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// What a caller sends: `Malformed`.
    Caller,
    /// What the store gives back: `Internal`, and nobody gets to see the end of it (R2).
    Store,
}

impl Source {
    fn error(self, detail: String) -> Error {
        match self {
            Self::Caller => Error::malformed(detail),
            Self::Store => Error {
                kind: ErrorKind::Internal,
                detail: format!("stored bytes: {detail}"),
            },
        }
    }
}

/// Passes `body` on piece by piece, the last piece only when length and digests are as expected; otherwise the stream
/// ends in an error, so that neither a store nor a caller ever holds all of the wrong bytes.
#[must_use]
pub fn verified(body: ByteStream, expected: Expected, source: Source) -> ByteStream {
    let state = Verifying {
        body,
        expected,
        source,
        hashing: Some(Hashing::default()),
        withheld: None,
    };
    Box::pin(stream::try_unfold(state, |mut state| async move {
        Ok(state.next().await?.map(|piece| (piece, state)))
    }))
}

struct Verifying {
    body: ByteStream,
    expected: Expected,
    source: Source,
    /// `None` once the end was reached.
    hashing: Option<Hashing>,
    withheld: Option<Bytes>,
}

impl Verifying {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while let Some(mut hashing) = self.hashing.take() {
            let Some(piece) = self.body.next().await else {
                check(hashing.finish(), self.expected, self.source)?;
                return Ok(self.withheld.take());
            };
            let piece = piece?;
            hashing.update(&piece);
            if hashing.size_bytes > self.expected.size_bytes {
                let detail = format!(
                    "longer than the {} bytes announced",
                    self.expected.size_bytes
                );
                return Err(self.source.error(detail));
            }
            self.hashing = Some(hashing);
            if !piece.is_empty()
                && let Some(before) = self.withheld.replace(piece)
            {
                return Ok(Some(before));
            }
        }
        Ok(None)
    }
}

/// Compares what came with what was expected.
///
/// # Errors
/// Of the source's kind, naming what differs.
pub fn check(came: Expected, expected: Expected, source: Source) -> Result<()> {
    if came.size_bytes != expected.size_bytes {
        let detail = format!(
            "{} bytes came, {} were announced",
            came.size_bytes, expected.size_bytes
        );
        return Err(source.error(detail));
    }
    if came.digests.sha3_256 != expected.digests.sha3_256 {
        return Err(source.error(format!("their SHA3-256 is {}", came.digests.sha3_256)));
    }
    if came.digests.sha256 != expected.digests.sha256 {
        return Err(source.error(format!("their SHA-256 is {}", came.digests.sha256)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Expected {
        let mut hashing = Hashing::default();
        hashing.update(bytes);
        hashing.finish()
    }

    async fn run(pieces: &[&'static [u8]], expected: Expected) -> (Vec<u8>, Option<ErrorKind>) {
        let pieces: Vec<_> = pieces.iter().map(|p| Ok(Bytes::from_static(p))).collect();
        let mut out = verified(Box::pin(stream::iter(pieces)), expected, Source::Caller);
        let mut passed = Vec::new();
        while let Some(piece) = out.next().await {
            match piece {
                Ok(piece) => passed.extend_from_slice(&piece),
                Err(e) => return (passed, Some(e.kind)),
            }
        }
        (passed, None)
    }

    #[tokio::test]
    async fn right_bytes_pass_whole() {
        assert_eq!(
            run(&[b"ab", b"", b"c"], of(b"abc")).await,
            (b"abc".to_vec(), None)
        );
        assert_eq!(run(&[], of(b"")).await, (vec![], None));
    }

    #[tokio::test]
    async fn wrong_bytes_never_pass_whole() {
        let malformed = Some(ErrorKind::Malformed);
        assert_eq!(
            run(&[b"ab", b"c"], of(b"abd")).await,
            (b"ab".to_vec(), malformed)
        );
        assert_eq!(run(&[b"abc"], of(b"abd")).await, (vec![], malformed));
        assert_eq!(run(&[b"ab"], of(b"abc")).await, (vec![], malformed));
        assert_eq!(
            run(&[b"ab", b"c", b"d"], of(b"abc")).await,
            (b"ab".to_vec(), malformed)
        );
        let mut other_sha256 = of(b"abc");
        other_sha256.digests.sha256 = Sha256([0; 32]);
        assert_eq!(run(&[b"abc"], other_sha256).await, (vec![], malformed));
    }

    #[tokio::test]
    async fn a_broken_body_stays_broken() {
        let pieces = vec![
            Ok(Bytes::from_static(b"a")),
            Err(Error::unavailable("reset")),
        ];
        let mut out = verified(Box::pin(stream::iter(pieces)), of(b"a"), Source::Store);
        assert_eq!(
            out.next().await.unwrap().unwrap_err().kind,
            ErrorKind::Unavailable
        );
    }
}
