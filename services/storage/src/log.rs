//! The log: one Merkle tree in static tiles (C2SP tlog-tiles), written by one process at a time.
//!
//! A commit, in this order ([`writer`]):
//! 1. the new entries are staged in `work`;
//! 2. the head is swapped: *this is the commit*; whoever loses the swap has changed nothing;
//! 3. entries, then index tiles and hash tiles, are written create-only into `truth`;
//! 4. the checkpoint is published, create-only: from here on anybody may see it.
//!
//! A writer that finds a head without its checkpoint does 3 and 4 again from the staged entries: the same bytes. A
//! writer that finds no head, or something else in its place, goes on from the newest checkpoint in `truth`, and takes up
//! entries that a lost commit left behind it, if they hold: nothing signed says that they are the log's ([`left`]).
//!
//! What else stands where a commit must write was put there by somebody. Behind all that is published whoever holds the
//! head writes over it, where the store keeps versions; elsewhere a person has to look first.
//!
//! | key in `truth` | content |
//! |---|---|
//! | `log/tile/<level>/<n>[.p/<w>]` | hashes |
//! | `log/tile/entries/<n>` | full entry bundles |
//! | `log/segments/<first>` | entries of the last, incomplete bundle, as they came: rewriting the whole bundle at every commit would cost a hundred times its entries |
//! | `log/index/<n>` | evidence numbers of full bundles |
//! | `log/checkpoints/<size>` | signed notes |

mod append;
mod entries;
mod head;
mod index;
mod layout;
mod lease;
mod left;
mod published;
mod tree;
mod writer;

pub use append::{AppendLimits, Appender, Appends, appender};
pub(crate) use entries::{TILE_BYTES_MAX, full_bundle, segment};
pub use entries::{read_bundle, read_entry};
pub(crate) use head::read_head;
pub use index::Index;
pub(crate) use index::{INDEX_BYTES_MAX, numbers};
pub(crate) use layout::{
    CHECKPOINTS, HEAD, LOW_WATER, RETRIES, SEGMENTS, WIDTH as BUNDLE_ENTRIES, checkpoint_key, key,
    number, segment_key,
};
pub use lease::Lease;
pub use left::Verify;
pub(crate) use published::SIZES_END;
pub use published::{Log, Published};
pub use tree::{Entry, Tree};
pub use writer::{Committed, Writer};
