//! The floor: only the unavoidable work for the same captures against the same store. Hash the bytes, PUT them, make one
//! signature each and one token per batch; no HTTP edge, no bus, no log. Everything else is quoted as a ratio to it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use probity_domain::Timestamp;
use probity_pki::keys::{MemoryKey, Signer};
use probity_platform::objects::Objects;
use sha2::{Digest as _, Sha256};

use crate::Failure;
use crate::captures::{capture_bytes, digested};

/// What the floor did and how long it took.
pub struct Floor {
    pub captures: u64,
    pub elapsed: Duration,
}

impl Floor {
    /// Captures per second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.captures as f64 / self.elapsed.as_secs_f64()
    }
}

/// Runs `batches` batches of `batch_size` captures, at most `in_flight` at once.
pub async fn run(
    store: Arc<dyn Objects>,
    seed: u64,
    batches: u64,
    batch_size: u64,
    size_bytes: usize,
    in_flight: usize,
) -> Result<Floor, Failure> {
    let key = Arc::new(MemoryKey::generate().map_err(Failure::new)?);
    // Made beforehand, like the generator's: making test data is nobody's unavoidable work.
    let captures: Vec<_> = (0..batches * batch_size)
        .map(|n| capture_bytes(seed, n, size_bytes))
        .collect();
    let prefix = format!("blobs/floor-{seed}");
    let started = Instant::now();
    for batch in captures.chunks(usize::try_from(batch_size).unwrap_or(1)) {
        let signatures: Vec<Vec<u8>> = futures::stream::iter(batch.iter().cloned())
            .map(|bytes| {
                let (store, key, prefix) = (store.clone(), key.clone(), prefix.clone());
                async move {
                    let (capture, signature) = tokio::task::spawn_blocking(move || {
                        let capture = digested(bytes);
                        let both =
                            [capture.sha3_256.as_bytes(), capture.sha256.as_bytes()].concat();
                        let signature = key.sign(&both);
                        (capture, signature)
                    })
                    .await
                    .map_err(Failure::new)?;
                    store
                        .create(&format!("{prefix}/{}", capture.sha3_256), capture.bytes)
                        .await
                        .map_err(Failure::new)?;
                    signature.map_err(Failure::new)
                }
            })
            .buffer_unordered(in_flight)
            .try_collect()
            .await?;
        token_over(&signatures, key.as_ref())?;
    }
    Ok(Floor {
        captures: batches * batch_size,
        elapsed: started.elapsed(),
    })
}

/// One signature over the batch stands for the batch's one token: a token *is* one signature and an encoding.
fn token_over(signatures: &[Vec<u8>], key: &dyn Signer) -> Result<(), Failure> {
    let digest = signatures
        .iter()
        .fold(Sha256::new(), |hash, s| hash.chain_update(s))
        .finalize();
    let at = Timestamp::from_unix_ms(0).to_rfc3339();
    key.sign(&[digest.as_slice(), at.as_bytes()].concat())
        .map(drop)
        .map_err(Failure::new)
}
