//! AES-256-GCM piece by piece (NIST SP 800-38D section 7): the libraries at hand take a message as a
//! whole, and a package does not fit memory. Counter mode and GHASH are theirs.

use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt, KeyInit, KeyIvInit, StreamCipher};
use ctr::Ctr32BE;
use ghash::universal_hash::UniversalHash;
use ghash::{Block, GHash};
use subtle::ConstantTimeEq;

use super::WHAT;
use crate::{Error, Result};

pub const KEY_BYTES: usize = 32;
pub const NONCE_BYTES: usize = 12;
pub const TAG_BYTES: usize = 16;

/// One message under one key and nonce, without additional data.
pub struct Gcm {
    stream: Ctr32BE<Aes256>,
    hash: GHash,
    /// Ciphertext bytes that do not fill a block yet.
    partial: [u8; 16],
    partial_bytes: usize,
    bytes: u64,
    /// E(K, J0), which masks the tag.
    mask: [u8; TAG_BYTES],
}

impl Gcm {
    pub fn new(key: &[u8; KEY_BYTES], nonce: &[u8; NONCE_BYTES]) -> Self {
        let cipher = Aes256::new(key.into());
        let mut hash_key = aes::Block::default();
        cipher.encrypt_block(&mut hash_key);
        let mut mask = aes::Block::default();
        let mut counter = aes::Block::default();
        for block in [&mut mask, &mut counter] {
            for (to, from) in block.iter_mut().zip(nonce) {
                *to = *from;
            }
        }
        // J0 ends in 1 for a nonce of 96 bits; the first block of data takes the counter after it.
        if let (Some(first), Some(second)) = (mask.last_mut(), counter.last_mut()) {
            (*first, *second) = (1, 2);
        }
        cipher.encrypt_block(&mut mask);
        Self {
            stream: Ctr32BE::new(key.into(), &counter),
            hash: GHash::new(&hash_key),
            partial: [0; 16],
            partial_bytes: 0,
            bytes: 0,
            mask: mask.into(),
        }
    }

    pub fn encrypt(&mut self, data: &mut [u8]) -> Result<()> {
        self.crypt(data)?;
        self.absorb(data);
        Ok(())
    }

    pub fn decrypt(&mut self, data: &mut [u8]) -> Result<()> {
        self.absorb(data);
        self.crypt(data)
    }

    pub fn tag(mut self) -> [u8; TAG_BYTES] {
        if self.partial_bytes > 0 {
            let (block, rest) = self.partial.split_at_mut(self.partial_bytes);
            let _ = block;
            rest.fill(0);
            self.hash.update(&[Block::from(self.partial)]);
        }
        let mut lengths = [0; 16];
        if let Some(bits) = lengths.last_chunk_mut() {
            *bits = (self.bytes * 8).to_be_bytes();
        }
        self.hash.update(&[Block::from(lengths)]);
        let mut tag = self.mask;
        for (byte, hashed) in tag.iter_mut().zip(self.hash.finalize()) {
            *byte ^= hashed;
        }
        tag
    }

    pub fn verify(self, tag: &[u8; TAG_BYTES]) -> Result<()> {
        if bool::from(self.tag().ct_eq(tag)) {
            return Ok(());
        }
        Err(Error::not_verified(
            WHAT,
            "the authentication tag differs: changed, or another key",
        ))
    }

    fn crypt(&mut self, data: &mut [u8]) -> Result<()> {
        self.stream
            .try_apply_keystream(data)
            .map_err(|e| Error::malformed(WHAT, e))
    }

    fn absorb(&mut self, mut data: &[u8]) {
        self.bytes += data.len() as u64;
        if self.partial_bytes > 0 {
            let free = self
                .partial
                .get_mut(self.partial_bytes..)
                .unwrap_or_default();
            let taken = free.len().min(data.len());
            let (head, rest) = data.split_at(taken);
            for (to, from) in free.iter_mut().zip(head) {
                *to = *from;
            }
            self.partial_bytes += taken;
            data = rest;
            if self.partial_bytes < self.partial.len() {
                return;
            }
            self.hash.update(&[Block::from(self.partial)]);
            self.partial_bytes = 0;
        }
        let (blocks, rest) = Block::slice_as_chunks(data);
        self.hash.update(blocks);
        for (to, from) in self.partial.iter_mut().zip(rest) {
            *to = *from;
        }
        self.partial_bytes = rest.len();
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    use proptest::prelude::*;

    use super::*;

    /// Project Wycheproof's vectors of our parameters: 256-bit key, 96-bit nonce, 128-bit tag, nothing
    /// beside the content.
    #[test]
    fn wycheproof() {
        use wycheproof::aead::{TestName, TestSet};
        let set = TestSet::load(TestName::AesGcm).unwrap();
        let sizes = |group: &wycheproof::aead::TestGroup| {
            (group.key_size, group.nonce_size, group.tag_size) == (256, 96, 128)
        };
        let (mut accepted, mut refused) = (0, 0);
        for test in set
            .test_groups
            .into_iter()
            .filter(sizes)
            .flat_map(|group| group.tests)
        {
            if !test.aad.is_empty() {
                continue;
            }
            let key = test.key[..].try_into().unwrap();
            let nonce = test.nonce[..].try_into().unwrap();
            let mut gcm = Gcm::new(key, nonce);
            let mut opened = test.ct.to_vec();
            gcm.decrypt(&mut opened).unwrap();
            let verified = gcm.verify(test.tag[..].try_into().unwrap());
            if test.result.must_fail() {
                assert!(verified.is_err(), "{}: {}", test.tc_id, test.comment);
                refused += 1;
            } else {
                assert!(verified.is_ok(), "{}: {}", test.tc_id, test.comment);
                assert_eq!(opened, test.pt[..], "{}", test.tc_id);
                accepted += 1;
            }
        }
        assert!(accepted > 20 && refused > 20, "{accepted}, {refused}");
    }

    proptest! {
        /// Whatever the pieces, the result is what another library makes of the whole.
        #[test]
        fn equals_the_whole(
            key: [u8; 32],
            nonce: [u8; 12],
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..70), 0..12),
        ) {
            let mut gcm = Gcm::new(&key, &nonce);
            let mut ours = Vec::new();
            for piece in &pieces {
                let mut piece = piece.clone();
                gcm.encrypt(&mut piece).unwrap();
                ours.extend(piece);
            }
            ours.extend(gcm.tag());

            let theirs = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
            let mut whole = pieces.concat();
            let nonce = Nonce::assume_unique_for_key(nonce);
            theirs.seal_in_place_append_tag(nonce, Aad::empty(), &mut whole).unwrap();
            prop_assert_eq!(ours, whole);
        }
    }
}
