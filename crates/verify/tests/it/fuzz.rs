//! A short run of what the fuzzer does at length (docs/fuzzing.md): good bytes, damaged at random.

use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::decoders::{Decoder, Known, all};
use crate::tlv::{Change, Element};

/// The same on every machine.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
/// Rounds for each decoder and seed, and fewer where a round takes several signatures.
const ROUNDS: usize = 1_500;
const SLOW: [(&str, usize); 5] = [
    ("diagnostic", 60),
    ("package", 60),
    ("member", 60),
    ("time_stamp_request", 300),
    ("envelope", 300),
];

/// xorshift64* (Vigna 2016).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        ((self.next() >> 16) % bound.max(1) as u64) as usize
    }
}

fn damage(bytes: &mut Vec<u8>, other: &[u8], chance: &mut Chance) {
    let at = chance.below(bytes.len());
    let length = 1 + chance.below(8);
    let end = bytes.len().min(at + length);
    match chance.below(9) {
        0 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
        1 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][chance.below(5)],
        2 => bytes.insert(at, chance.next() as u8),
        3 => drop(bytes.drain(at..end)),
        4 => bytes.truncate(at),
        5 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
        6 => {
            let from = chance.below(other.len());
            drop(bytes.splice(
                at..end,
                other[from..other.len().min(from + length)].to_vec(),
            ));
        }
        _ => {
            // A change that a tree of DER elements survives.
            let Some(tree) = Element::parse(bytes, true) else {
                return;
            };
            let paths = tree.paths();
            let path = &paths[chance.below(paths.len())];
            let change = Change::ALL[chance.below(Change::ALL.len())];
            if let Some(changed) = tree.changed(path, change) {
                *bytes = changed;
            }
        }
    }
}

/// What broke a promise, one line for each decoder.
fn broken(known: &Known, seed: u64) -> Vec<String> {
    let mut chance = Chance(seed | 1);
    let attempt = |decoder: &Decoder, bytes: &[u8]| {
        let outcome = catch_unwind(AssertUnwindSafe(|| (decoder.check)(known, bytes)));
        let line = || format!("{} by seed {seed:#x}: {}", decoder.name, hex(bytes));
        outcome.is_err().then(line)
    };
    all()
        .filter_map(|decoder| {
            let seeds = (decoder.seeds)(known);
            let slow = SLOW.iter().find(|(name, _)| *name == decoder.name);
            let rounds = slow.map_or(ROUNDS, |(_, rounds)| *rounds) / seeds.len();
            seeds.iter().find_map(|good| {
                attempt(decoder, good).or_else(|| {
                    (0..rounds).find_map(|_| {
                        let mut bytes = good.clone();
                        for _ in 0..1 + chance.below(3) {
                            let other = chance.below(seeds.len());
                            damage(&mut bytes, &seeds[other], &mut chance);
                        }
                        attempt(decoder, &bytes)
                    })
                })
            })
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn damaged_bytes_break_no_promise() {
    let known = Known::fresh();
    let random = RandomState::new().hash_one(0);
    println!("seeds {SEED:#x} and {random:#x}");
    let broken = [SEED, random].map(|seed| broken(&known, seed)).concat();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
