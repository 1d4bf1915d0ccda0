//! One target for all decoders: `DECODER=<name>` chooses. With `SEEDS=<folder>` it writes good bytes for
//! each decoder, one folder each, and ends.
#![no_main]
#![allow(
    dead_code,
    reason = "the fixtures are those of the verifier's tests, which use more of them"
)]

#[path = "../crates/verify/tests/it/decoders.rs"]
mod decoders;
mod documents;
#[path = "../crates/verify/tests/it/fixture.rs"]
mod fixture;
#[path = "../crates/verify/tests/it/formats.rs"]
mod formats;
/// intake's reader of instructions, without the platform around it.
#[path = "../services/intake/src/instruction.rs"]
mod instruction;
#[path = "../crates/verify/tests/it/tlv.rs"]
mod tlv;

/// What the reader of instructions knows of stored bytes.
mod blobs {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Blob {
        pub size_bytes: u64,
        pub sha256: probity_domain::Sha256,
    }
}

use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use p384::SecretKey;
use p384::pkcs8::EncodePrivateKey as _;
use probity_pki::keys::MemoryKey;

use decoders::{Decoder, Known};

struct Chosen {
    known: Known,
    decoder: &'static Decoder,
}

static CHOSEN: OnceLock<Chosen> = OnceLock::new();

fuzz_target!(
    init: {
        CHOSEN.get_or_init(choose);
    },
    |bytes: &[u8]| {
        let chosen = CHOSEN.get_or_init(choose);
        (chosen.decoder.check)(&chosen.known, bytes);
    }
);

fn all() -> impl Iterator<Item = &'static Decoder> {
    decoders::all().chain(&documents::DECODERS)
}

/// The same keys in every process, so that a corpus keeps its worth.
fn known() -> Known {
    let mut made = 0;
    Known::new(&mut || {
        made += 1;
        let key = SecretKey::from_slice(&[made; 48]).unwrap();
        MemoryKey::from_pkcs8_der(key.to_pkcs8_der().unwrap().as_bytes()).unwrap()
    })
}

fn choose() -> Chosen {
    let known = known();
    if let Some(folder) = std::env::var_os("SEEDS") {
        write_seeds(&known, Path::new(&folder));
        std::process::exit(0);
    }
    let name = std::env::var("DECODER").unwrap_or_default();
    match all().find(|decoder| decoder.name == name) {
        Some(decoder) => Chosen { known, decoder },
        None => {
            let names: Vec<_> = all().map(|decoder| decoder.name).collect();
            eprintln!("DECODER={name:?} is none of: {}", names.join(" "));
            std::process::exit(1);
        }
    }
}

fn write_seeds(known: &Known, folder: &Path) {
    for decoder in all() {
        let folder = folder.join(decoder.name);
        std::fs::create_dir_all(&folder).unwrap();
        for (at, seed) in (decoder.seeds)(known).iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{at}")), seed).unwrap();
        }
        println!("{}", decoder.name);
    }
}
