//! All randomness of a run: one seed, many streams. What one stream draws never moves another.

use std::sync::{Mutex, PoisonError};

use probity_platform::Random;

/// SplitMix64: small, even, and the same on every machine.
pub struct Chance(Mutex<u64>);

impl Chance {
    /// The stream of this name under a seed.
    pub fn new(seed: u64, name: &str) -> Self {
        // FNV-1a over the name, so that streams are told apart by what they are for.
        let named = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let chance = Self(Mutex::new(seed ^ named));
        chance.next();
        chance
    }

    pub fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Even over `0 .. bound`, as far as it matters here.
    pub fn below(&self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// Between the two, both included.
    pub fn between(&self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True this often in a thousand.
    pub fn per_mille(&self, often: u64) -> bool {
        self.below(1_000) < often
    }

    /// One of these.
    pub fn one_of<'a, T>(&self, things: &'a [T]) -> &'a T {
        &things[self.below(things.len() as u64) as usize]
    }
}

impl Random for Chance {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}
