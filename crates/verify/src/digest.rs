//! Several digests of one stream.

use probity_pki::digest::HashAlgorithm;
use sha2::digest::DynDigest;

/// Hashes the same bytes with several functions.
pub struct Hashes {
    states: Vec<(HashAlgorithm, Box<dyn DynDigest>)>,
}

impl Hashes {
    pub fn new(algorithms: impl IntoIterator<Item = HashAlgorithm>) -> Self {
        let mut states: Vec<(HashAlgorithm, Box<dyn DynDigest>)> = Vec::new();
        for algorithm in algorithms {
            if states.iter().all(|(known, _)| *known != algorithm) {
                states.push((algorithm, state(algorithm)));
            }
        }
        Self { states }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        for (_, state) in &mut self.states {
            state.update(bytes);
        }
    }

    pub fn finish(self) -> Vec<(HashAlgorithm, Vec<u8>)> {
        self.states
            .into_iter()
            .map(|(algorithm, state)| (algorithm, state.finalize().into()))
            .collect()
    }
}

fn state(algorithm: HashAlgorithm) -> Box<dyn DynDigest> {
    match algorithm {
        HashAlgorithm::Sha256 => Box::<sha2::Sha256>::default(),
        HashAlgorithm::Sha384 => Box::<sha2::Sha384>::default(),
        HashAlgorithm::Sha512 => Box::<sha2::Sha512>::default(),
        HashAlgorithm::Sha3_256 => Box::<sha3::Sha3_256>::default(),
        HashAlgorithm::Sha3_384 => Box::<sha3::Sha3_384>::default(),
        HashAlgorithm::Sha3_512 => Box::<sha3::Sha3_512>::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_to_the_digest_of_the_whole() {
        let mut hashes = Hashes::new(
            HashAlgorithm::ALL
                .into_iter()
                .chain([HashAlgorithm::Sha256]),
        );
        hashes.update(b"evi");
        hashes.update(b"dence");
        let digests = hashes.finish();
        assert_eq!(digests.len(), 6);
        for (algorithm, digest) in digests {
            assert_eq!(digest, algorithm.digest(b"evidence"));
        }
    }
}
