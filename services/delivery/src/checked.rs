//! A whole package on its way out: the bytes that the ledger has the digest of, or the last ones are not given.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::{TryStreamExt as _, stream};
use probity_domain::Sha256;
use probity_platform::objects::ByteStream;
use probity_platform::{Error, Result};
use sha2::Digest as _;

use crate::courier::Courier;
use crate::delivery::{Delivery, Package};

/// Whether a package turned out to be another than was made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wrong(Arc<AtomicBool>);

impl Wrong {
    pub(crate) fn is_found(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// All the package's bytes, hashed as they pass. When they are others, an error comes instead of the last piece, so
/// that nobody takes for whole what is wrong.
pub(crate) fn checked(package: &Package, body: ByteStream) -> (ByteStream, Wrong) {
    let wrong = Wrong::default();
    let passing = Passing {
        body,
        object: package.object.clone(),
        left: package.size_bytes,
        sha256: package.sha256,
        digest: sha2::Sha256::new(),
        wrong: wrong.clone(),
    };
    let body = stream::try_unfold(passing, Passing::next);
    (Box::pin(body), wrong)
}

struct Passing {
    body: ByteStream,
    object: String,
    /// Bytes still to come.
    left: u64,
    sha256: Sha256,
    digest: sha2::Sha256,
    wrong: Wrong,
}

impl Passing {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        let Some(piece) = self.body.try_next().await? else {
            return Ok(None);
        };
        self.digest.update(&piece);
        self.left = self.left.saturating_sub(piece.len() as u64);
        if self.left == 0 && Sha256(self.digest.clone().finalize().into()) != self.sha256 {
            self.wrong.0.store(true, Ordering::SeqCst);
            return Err(Error::internal(format!(
                "{}: the bytes are not those of this package",
                self.object
            )));
        }
        Ok(Some((piece, self)))
    }
}

impl Courier {
    /// What lies in the store is not the package that was made: it is removed, so that another is made.
    pub(crate) async fn discard(&self, delivery: &Delivery, package: &Package) {
        tracing::error!(
            delivery = %delivery.id,
            object = %package.object,
            "the package's bytes are not those that were made; it is removed and made again"
        );
        if let Err(e) = self.buckets.work.remove(&package.object).await {
            tracing::error!(object = %package.object, error = %e, "a wrong package was not removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use probity_domain::Sha3_256;

    use super::*;

    #[test]
    fn what_is_wrong_never_comes_to_its_end() {
        let package = Package {
            object: "packages/court-1/1".into(),
            size_bytes: 6,
            sha256: Sha256(sha2::Sha256::digest(b"abcdef").into()),
            content_sha3_256: Sha3_256([0; 32]),
            part_bytes: vec![6],
        };
        let given = |pieces: &[&'static str]| {
            let pieces: Vec<_> = pieces.iter().map(|p| Ok(Bytes::from(*p))).collect();
            let (body, wrong) = checked(&package, Box::pin(stream::iter(pieces)));
            let mut got = Vec::new();
            let each = body.try_for_each(|piece| {
                got.extend_from_slice(&piece);
                futures::future::ready(Ok(()))
            });
            let ended = each.now_or_never().unwrap().is_ok();
            (String::from_utf8(got).unwrap(), ended, wrong.is_found())
        };
        for pieces in [&["abcdef"][..], &["abc", "", "def"]] {
            assert_eq!(given(pieces), ("abcdef".into(), true, false));
        }
        assert_eq!(given(&["abc", "deX"]), ("abc".into(), false, true));
        assert_eq!(given(&["Xbcdef"]), (String::new(), false, true));
        // A connection that breaks off says nothing of the package.
        assert_eq!(given(&["abc"]), ("abc".into(), true, false));
    }
}
