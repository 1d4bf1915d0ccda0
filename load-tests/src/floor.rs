//! The floor: only the unavoidable work for the same captures against the same store. Hash the bytes, PUT them, make one
//! CAdES-B signature over each capture's manifest and one RFC 3161 token per batch; no HTTP edge, no bus, no log, no
//! verification by a stranger. Everything else is quoted as a ratio to it.
//!
//! Signatures and tokens are made by the platform's own format crate, which reads each back once before it leaves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use probity_domain::Timestamp;
use probity_pki::asic::{DataObjectReference, Manifest};
use probity_pki::digest::HashAlgorithm;
use probity_pki::package::{EVENT_SIGNATURE, STATEMENT};
use probity_platform::objects::Objects;
use probity_platform::{Clock as _, SystemClock};

use crate::captures::{Capture, capture_bytes, digested};
use crate::holder::Holders;
use crate::{CaptureArgs, Failure};

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

/// Does the work, at most `in_flight` captures at once.
pub async fn run(
    store: Arc<dyn Objects>,
    plan: &CaptureArgs,
    in_flight: usize,
) -> Result<Floor, Failure> {
    let holders = Arc::new(Holders::make(SystemClock.now())?);
    // Made beforehand, like the generator's: making test data is nobody's unavoidable work.
    let captures: Vec<_> = (0..plan.batches * plan.batch_size)
        .map(|n| capture_bytes(plan.seed, n, plan.size_bytes))
        .collect();
    let prefix = format!("blobs/floor-{}", plan.seed);
    let started = Instant::now();
    for batch in captures.chunks(usize::try_from(plan.batch_size).unwrap_or(1)) {
        let signatures: Vec<Vec<u8>> = futures::stream::iter(batch.iter().cloned())
            .map(|bytes| {
                let (store, holders, prefix) = (store.clone(), holders.clone(), prefix.clone());
                async move {
                    let work = move || {
                        let capture = digested(bytes);
                        let signature = sign(&holders, &capture, SystemClock.now());
                        (capture, signature)
                    };
                    let (capture, signature) = tokio::task::spawn_blocking(work)
                        .await
                        .map_err(Failure::new)?;
                    store
                        .create(&format!("{prefix}/{}", capture.sha3_256), capture.bytes)
                        .await
                        .map_err(Failure::new)?;
                    signature
                }
            })
            .buffer_unordered(in_flight)
            .try_collect()
            .await?;
        holders.token_over(&signatures.concat(), SystemClock.now())?;
    }
    Ok(Floor {
        captures: plan.batches * plan.batch_size,
        elapsed: started.elapsed(),
    })
}

/// The signature over the manifest that a capture of one artifact gets.
fn sign(holders: &Holders, capture: &Capture, at: Timestamp) -> Result<Vec<u8>, Failure> {
    let reference = |member: &str, mime_type: &str, digest: &str| {
        Ok(DataObjectReference {
            member: member.to_owned(),
            mime_type: Some(mime_type.to_owned()),
            algorithm: HashAlgorithm::Sha3_256,
            digest: hex::decode(digest).map_err(Failure::new)?,
        })
    };
    let manifest = Manifest {
        signature: EVENT_SIGNATURE.to_owned(),
        signature_mime_type: Some("application/x-pkcs7-signature".to_owned()),
        references: vec![
            reference(STATEMENT, "application/json", &capture.sha256)?,
            reference(
                "artifacts/capture.bin",
                "application/octet-stream",
                &capture.sha3_256,
            )?,
        ],
    };
    holders.sign(&manifest.to_xml().map_err(Failure::new)?, at)
}

#[cfg(test)]
mod tests {
    use probity_pki::cms::{SignedData, verify_detached_content};
    use probity_pki::tsp::{Imprint, TimeStampToken};

    use super::*;

    /// The platform's own reading of what the floor makes: the same formats, nothing left out.
    #[test]
    fn signatures_and_tokens_are_real() {
        let now = SystemClock.now();
        let holders = Holders::make(now).unwrap();
        let capture = digested(capture_bytes(1, 2, 100));
        let signature = sign(&holders, &capture, now).unwrap();
        let signed = SignedData::from_der(&signature).unwrap();
        assert!(verify_detached_content(&signed, b"another manifest").is_err());
        assert!(signed.commitment().is_some() && signed.signing_time().is_some());

        let token = holders.token_over(&signature, now).unwrap();
        let token = TimeStampToken::from_der(&token).unwrap();
        let unit = std::slice::from_ref(&holders.authority.certificate);
        let verify = |bytes: &[u8]| {
            let imprint = Imprint::of(HashAlgorithm::Sha384, bytes);
            token.verify_with(imprint.algorithm, &imprint.digest, unit)
        };
        verify(&signature).unwrap();
        assert!(verify(b"something else").is_err());
    }
}
