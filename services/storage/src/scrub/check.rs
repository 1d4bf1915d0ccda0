//! What bytes are expected to be.

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use probity_pki::tlog::{Hash, TILE_WIDTH, decode_bundle, leaf_hash};
use probity_platform::objects::{ByteStream, Objects};
use sha2::Digest as _;

use super::finding::Body;
use super::{Error, Result};

/// 256 entries of 65,535 bytes and their lengths.
const BUNDLE_BYTES_MAX: usize = 256 * (65_535 + 2);

/// How the right bytes of one object are known.
#[derive(Debug, Clone)]
pub(super) enum Expect {
    Sha3([u8; 32]),
    Sha256([u8; 32]),
    /// A full bundle with these leaves.
    Leaves(Vec<Hash>),
    /// The bytes themselves: they follow from others.
    Bytes(Bytes),
}

/// A digest being computed, or a bundle being collected.
enum Hashing {
    Sha3(sha3::Sha3_256),
    Sha256(sha2::Sha256),
    Whole(Vec<u8>),
}

impl Hashing {
    fn for_what(expect: &Expect) -> Self {
        match expect {
            Expect::Sha3(_) => Self::Sha3(sha3::Sha3_256::new()),
            Expect::Sha256(_) => Self::Sha256(sha2::Sha256::new()),
            Expect::Leaves(_) | Expect::Bytes(_) => Self::Whole(Vec::new()),
        }
    }

    fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Sha3(hash) => hash.update(piece),
            Self::Sha256(hash) => hash.update(piece),
            // One byte more than the longest is wrong whatever follows.
            Self::Whole(bytes) if bytes.len() <= BUNDLE_BYTES_MAX => bytes.extend_from_slice(piece),
            Self::Whole(_) => {}
        }
    }

    fn is(self, expect: &Expect) -> bool {
        match (self, expect) {
            (Self::Sha3(hash), Expect::Sha3(digest)) => {
                *digest == <[u8; 32]>::from(hash.finalize())
            }
            (Self::Sha256(hash), Expect::Sha256(digest)) => {
                *digest == <[u8; 32]>::from(hash.finalize())
            }
            (Self::Whole(bytes), Expect::Leaves(leaves)) => {
                leaves_of(&bytes).as_ref() == Some(leaves)
            }
            (Self::Whole(bytes), Expect::Bytes(right)) => *right == bytes,
            _ => false,
        }
    }
}

impl Expect {
    /// Reads a stream to its end.
    ///
    /// # Errors
    /// The stream's.
    pub async fn matches(&self, mut bytes: ByteStream) -> Result<bool> {
        let mut hashing = Hashing::for_what(self);
        while let Some(piece) = bytes.next().await {
            hashing.update(&piece?);
        }
        Ok(hashing.is(self))
    }

    /// Whether a bucket has these bytes under a key; `None` when it has nothing there.
    ///
    /// # Errors
    /// Those of the store; those that are not transient are about the object.
    pub async fn is_read_from(&self, objects: &dyn Objects, key: &str) -> Result<Option<bool>> {
        // What came over the wire wrongly once is not wrong in the store.
        match self.once(objects, key).await {
            Ok(Some(false)) => self.once(objects, key).await,
            Err(e) if !e.kind.is_transient() => self.once(objects, key).await,
            read => read,
        }
    }

    async fn once(&self, objects: &dyn Objects, key: &str) -> Result<Option<bool>> {
        let Some((_, bytes)) = objects.get_streamed(key).await? else {
            return Ok(None);
        };
        self.matches(bytes).await.map(Some)
    }
}

/// The leaves of a full bundle; `None` when the bytes are none.
pub(super) fn leaves_of(bundle: &[u8]) -> Option<Vec<Hash>> {
    let entries = decode_bundle(bundle, TILE_WIDTH).ok()?;
    Some(entries.into_iter().map(leaf_hash).collect())
}

/// The same bytes, but the stream ends with an error unless they are the expected ones.
pub(super) fn verified(bytes: ByteStream, expect: Expect) -> Body {
    let state = (bytes, Some((Hashing::for_what(&expect), expect)));
    let checked = stream::unfold(state, |(mut bytes, hashing)| async move {
        let (mut hash, expect) = hashing?;
        match bytes.next().await {
            Some(Ok(piece)) => {
                hash.update(&piece);
                Some((Ok(piece), (bytes, Some((hash, expect)))))
            }
            Some(Err(e)) => Some((Err(e), (bytes, None))),
            None if hash.is(&expect) => None,
            None => {
                let e = Error::unavailable("the replica's bytes changed while they were read");
                Some((Err(e), (bytes, None)))
            }
        }
    });
    Body::Stream(checked.boxed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream_of(bytes: &'static [u8]) -> ByteStream {
        stream::iter(bytes.chunks(2).map(|p| Ok(Bytes::from_static(p)))).boxed()
    }

    #[tokio::test]
    async fn only_the_right_bytes_match() {
        let right = b"12345";
        let bundle: &'static [u8] = b"\0\x01a";
        for expect in [
            Expect::Sha3(sha3::Sha3_256::digest(right).into()),
            Expect::Sha256(sha2::Sha256::digest(right).into()),
            Expect::Bytes(Bytes::from_static(right)),
        ] {
            assert!(expect.matches(stream_of(right)).await.unwrap());
            assert!(!expect.matches(stream_of(b"12346")).await.unwrap());
            assert!(!expect.matches(stream_of(b"1234")).await.unwrap());
        }
        let leaves = Expect::Leaves(vec![leaf_hash(b"a")]);
        // Not full, so no bundle at all.
        assert!(!leaves.matches(stream_of(bundle)).await.unwrap());
    }

    #[tokio::test]
    async fn wrong_bytes_do_not_end_well() {
        let expect = Expect::Sha256(sha2::Sha256::digest(b"12345").into());
        for (bytes, good) in [(&b"12345"[..], true), (b"1234", false), (b"123456", false)] {
            let Body::Stream(stream) = verified(stream_of(bytes), expect.clone()) else {
                panic!("not a stream")
            };
            let pieces: Vec<_> = stream.collect().await;
            assert_eq!(pieces.iter().all(Result::is_ok), good);
        }
    }
}
