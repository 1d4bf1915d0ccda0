//! The log's formats: C2SP tlog-tiles, tlog-checkpoint and signed-note over RFC 6962 hashes.
//!
//! The trees are those of the crate `tlog_tiles`; here are only paths, encodings, bounds and the
//! checks that keep hostile input away from it. Nothing is fetched: callers ask which tiles a proof
//! needs ([`inclusion_tiles`], [`consistency_tiles`], [`edge_tiles`]), fetch them and hand them in.

mod bundle;
mod checkpoint;
mod key_file;
mod tree;

pub use bundle::{
    bundle_path, decode_bundle, decode_index, encode_bundle, encode_index, index_path,
};
pub use checkpoint::{Checkpoint, LogKey, LogVerifier};
pub(crate) use checkpoint::{check_note, read_note};
pub use tlog_tiles::Hash;
pub use tree::{
    Growth, TileId, Tiles, append, check_consistency, check_inclusion, consistency_tiles,
    edge_tiles, inclusion_tiles, prove_consistency, prove_inclusion,
};

/// Hashes in a full tile and entries in a full bundle (tlog-tiles: tile height 8).
pub const TILE_WIDTH: u16 = 256;
/// Largest tree that is handled; far beyond what fits any store, and safe for the tree arithmetic.
pub const TREE_SIZE_MAX: u64 = 1 << 48;
/// Root of the tree without entries (RFC 6962 section 2.1).
pub const EMPTY_ROOT: Hash = tlog_tiles::EMPTY_HASH;

/// Leaf hash of an entry (RFC 6962 section 2.1).
#[must_use]
pub fn leaf_hash(record: &[u8]) -> Hash {
    tlog_tiles::record_hash(record)
}

/// `N` in groups of three digits, all but the last marked `x`, and `.p/W` when not full
/// (tlog-tiles, "Merkle tree").
fn tile_number(index: u64, width: u16) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    if width < TILE_WIDTH {
        format!("{path}.p/{width}")
    } else {
        path
    }
}
