//! Proofs against vectors of the `merkle` library and a log written by Tessera.
//! `PROBITY_VECTORS_DIR` names the folder that holds `tlog/merkle-vectors` and `tlog/sample-log`.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use probity_pki::tlog::{
    Checkpoint, EMPTY_ROOT, Hash, LogVerifier, TileId, Tiles, append, bundle_path,
    check_consistency, check_inclusion, decode_bundle, edge_tiles, leaf_hash,
};
use serde_json::Value;

/// The key the sample log's script publishes.
const SAMPLE_LOG_KEY: &str =
    "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";

fn vectors(under: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("PROBITY_VECTORS_DIR") else {
        eprintln!("NOT RUN against {under}: PROBITY_VECTORS_DIR is not set");
        return None;
    };
    Some(Path::new(&folder).join(under))
}

fn cases(folder: &Path, found: &mut Vec<(PathBuf, Value)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            cases(&path, found);
        } else if path.extension().is_some_and(|e| e == "json") {
            let case = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            found.push((path, case));
        }
    }
}

/// A hash, or `None` where there is nothing. Some vectors hold words instead, where only equality
/// matters: those are hashed.
fn hash(value: &Value) -> Option<Hash> {
    let bytes = STANDARD.decode(value.as_str()?).unwrap();
    match <[u8; 32]>::try_from(&*bytes) {
        Ok(hash) => Some(Hash(hash)),
        Err(_) if bytes.is_empty() => None,
        Err(_) => Some(leaf_hash(&bytes)),
    }
}

fn hashes(value: &Value) -> Option<Vec<Hash>> {
    value
        .as_array()
        .map_or(Some(Vec::new()), |list| list.iter().map(hash).collect())
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

#[test]
fn inclusion_vectors() {
    let Some(folder) = vectors("tlog/merkle-vectors/inclusion") else {
        return;
    };
    let mut found = Vec::new();
    cases(&folder, &mut found);
    assert!(found.len() > 50, "{}", found.len());
    for (path, case) in found {
        let verdict = hashes(&case["proof"])
            .zip(hash(&case["root"]))
            .zip(hash(&case["leafHash"]));
        let (size, index) = (number(&case["treeSize"]), number(&case["leafIdx"]));
        let holds = verdict.is_some_and(|((proof, root), leaf)| {
            check_inclusion(&proof, size, root, index, leaf).is_ok()
        });
        assert_eq!(
            holds,
            !case["wantErr"].as_bool().unwrap(),
            "{}",
            path.display()
        );
    }
}

#[test]
fn consistency_vectors() {
    let Some(folder) = vectors("tlog/merkle-vectors/consistency") else {
        return;
    };
    let mut found = Vec::new();
    cases(&folder, &mut found);
    assert!(found.len() > 50, "{}", found.len());
    for (path, case) in found {
        let verdict = hashes(&case["proof"])
            .zip(hash(&case["root1"]))
            .zip(hash(&case["root2"]));
        let (old, size) = (number(&case["size1"]), number(&case["size2"]));
        let holds = verdict.is_some_and(|((proof, old_root), root)| {
            check_consistency(&proof, old, old_root, size, root).is_ok()
        });
        assert_eq!(
            holds,
            !case["wantErr"].as_bool().unwrap(),
            "{}",
            path.display()
        );
    }
}

/// A subtree that begins with the first entry is the tree of its size: to those our functions apply. An
/// empty one counts there as consistent with any tree, whatever its root, which for trees it is not.
#[test]
fn subtree_vectors_from_the_start() {
    let Some(folder) = vectors("tlog/merkle-vectors") else {
        return;
    };
    let mut found = Vec::new();
    cases(&folder.join("subtreeinclusion"), &mut found);
    cases(&folder.join("subtreeconsistency"), &mut found);
    found.retain(|(_, case)| number(&case["start"]) == 0 && number(&case["end"]) > 0);
    assert!(found.len() > 100, "{}", found.len());
    for (path, case) in found {
        let proof = hashes(&case["proof"]);
        let end = number(&case["end"]);
        let holds = if case["leafHash"].is_string() {
            let parts = proof.zip(hash(&case["root"])).zip(hash(&case["leafHash"]));
            parts.is_some_and(|((proof, root), leaf)| {
                check_inclusion(&proof, end, root, number(&case["leafIdx"]), leaf).is_ok()
            })
        } else {
            let parts = proof.zip(hash(&case["root1"])).zip(hash(&case["root2"]));
            parts.is_some_and(|((proof, old), new)| {
                check_consistency(&proof, end, old, number(&case["size"]), new).is_ok()
            })
        };
        let expected = !case["wantErr"].as_bool().unwrap();
        assert_eq!(holds, expected, "{}", path.display());
    }
}

/// Every size of the sample log grows from the one before, out of its entries, to its checkpoint.
#[test]
fn sample_log() {
    let Some(folder) = vectors("tlog/sample-log/log") else {
        return;
    };
    let key = [LogVerifier::parse(SAMPLE_LOG_KEY).unwrap()];
    let note = std::fs::read(folder.join("checkpoint.0")).unwrap();
    assert_eq!(Checkpoint::verify(&note, &key).unwrap().root, EMPTY_ROOT);
    let (mut root, mut tiles) = (EMPTY_ROOT, Tiles::default());
    for size in 1..=15u16 {
        let bundle = std::fs::read(folder.join(bundle_path(0, size))).unwrap();
        let entries = decode_bundle(&bundle, size).unwrap();
        let leaf = leaf_hash(entries.last().unwrap());
        let old = u64::from(size - 1);
        let growth = append(old, root, &tiles, &[leaf]).unwrap();
        let note = std::fs::read(folder.join(format!("checkpoint.{size}"))).unwrap();
        let checkpoint = Checkpoint::verify(&note, &key).unwrap();
        for at in 0..note.len() {
            let mut changed = note.clone();
            changed[at] ^= 1;
            assert!(Checkpoint::verify(&changed, &key).is_err(), "byte {at}");
        }
        assert_eq!(
            (checkpoint.size, checkpoint.root),
            (size.into(), growth.root)
        );
        for (tile, bytes) in growth.tiles {
            assert_eq!(
                std::fs::read(folder.join(tile.path())).unwrap(),
                bytes,
                "{tile:?}"
            );
            tiles.insert(tile, bytes).unwrap();
        }
        let edge = [TileId {
            level: 0,
            index: 0,
            width: size,
        }];
        assert_eq!(edge_tiles(size.into()).unwrap(), edge);
        root = growth.root;
    }
}
