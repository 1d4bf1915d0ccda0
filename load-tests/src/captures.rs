//! Synthetic captures: distinct, incompressible, the same for the same seed.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use sha3::Sha3_256;

/// One capture's bytes and both digests in hexadecimal.
#[derive(Clone)]
pub struct Capture {
    pub bytes: Bytes,
    pub sha3_256: String,
    pub sha256: String,
}

/// Capture number `n` of run `seed`, `size_bytes` long: SHA-256 in counter mode, so that nothing can be compressed or
/// deduplicated away.
#[must_use]
pub fn capture_bytes(seed: u64, n: u64, size_bytes: usize) -> Bytes {
    let mut out = Vec::with_capacity(size_bytes + 32);
    let mut counter = 0u64;
    while out.len() < size_bytes {
        let block = Sha256::new()
            .chain_update(seed.to_be_bytes())
            .chain_update(n.to_be_bytes())
            .chain_update(counter.to_be_bytes())
            .finalize();
        out.extend_from_slice(&block);
        counter += 1;
    }
    out.truncate(size_bytes);
    Bytes::from(out)
}

/// Hashes bytes as every submitter must.
#[must_use]
pub fn digested(bytes: Bytes) -> Capture {
    let sha3_256 = hex::encode(Sha3_256::digest(&bytes));
    let sha256 = hex::encode(Sha256::digest(&bytes));
    Capture {
        bytes,
        sha3_256,
        sha256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_bytes_other_number_other_bytes() {
        assert_eq!(capture_bytes(1, 2, 100), capture_bytes(1, 2, 100));
        assert_ne!(capture_bytes(1, 2, 100), capture_bytes(1, 3, 100));
        assert_eq!(capture_bytes(1, 2, 65_536).len(), 65_536);
    }
}
