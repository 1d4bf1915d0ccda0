//! Entry bundles, and our index tiles beside them.

use probity_domain::EvidenceId;

use super::{TILE_WIDTH, tile_number};
use crate::{Error, Result};

const INDEX_ENTRY_BYTES: usize = 20;

/// Path of the bundle with entries `256 * index ..` of which `width` exist.
#[must_use]
pub fn bundle_path(index: u64, width: u16) -> String {
    format!("tile/entries/{}", tile_number(index, width))
}

/// Path of the index tile that goes with a bundle.
#[must_use]
pub fn index_path(index: u64, width: u16) -> String {
    format!("index/{}", tile_number(index, width))
}

/// Entries, each behind its length in two big-endian bytes (tlog-tiles, "Log entries").
///
/// # Errors
/// [`Error::TooLarge`] past 256 entries or 65,535 bytes in one.
pub fn encode_bundle<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<u8>> {
    if entries.len() > usize::from(TILE_WIDTH) {
        return Err(Error::TooLarge {
            what: "entry bundle",
            limit: TILE_WIDTH.into(),
        });
    }
    let mut bytes = Vec::new();
    for entry in entries {
        let entry = entry.as_ref();
        let length = u16::try_from(entry.len()).map_err(|_| Error::TooLarge {
            what: "log entry",
            limit: u16::MAX.into(),
        })?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    Ok(bytes)
}

/// Reads a bundle of exactly `width` entries.
///
/// # Errors
/// [`Error::Malformed`] for any other number of entries, a cut or a tail.
pub fn decode_bundle(mut bytes: &[u8], width: u16) -> Result<Vec<&[u8]>> {
    let bad = |reason: &str| Error::malformed("entry bundle", reason);
    let mut entries = Vec::with_capacity(width.into());
    for _ in 0..width {
        let (length, rest) = bytes.split_first_chunk().ok_or_else(|| bad("cut short"))?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, rest) = rest
            .split_at_checked(length)
            .ok_or_else(|| bad("cut short"))?;
        entries.push(entry);
        bytes = rest;
    }
    if bytes.is_empty() {
        Ok(entries)
    } else {
        Err(bad("bytes after the last entry"))
    }
}

/// The evidence numbers of a bundle's entries, twenty bytes each.
#[must_use]
pub fn encode_index(numbers: &[EvidenceId]) -> Vec<u8> {
    numbers.iter().flat_map(EvidenceId::to_bytes).collect()
}

/// Reads an index tile.
///
/// # Errors
/// [`Error::Malformed`] when it is not up to 256 evidence numbers.
pub fn decode_index(bytes: &[u8]) -> Result<Vec<EvidenceId>> {
    let bad = |reason: &dyn ToString| Error::malformed("index tile", reason.to_string());
    let (numbers, rest) = bytes.as_chunks::<INDEX_ENTRY_BYTES>();
    if !rest.is_empty() || numbers.len() > usize::from(TILE_WIDTH) {
        return Err(bad(&"not up to 256 numbers of 20 bytes"));
    }
    numbers
        .iter()
        .map(|number| EvidenceId::from_bytes(*number).map_err(|e| bad(&e)))
        .collect()
}

#[cfg(test)]
mod tests {
    use probity_domain::{SubmissionId, Timestamp};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths() {
        assert_eq!(bundle_path(0, 256), "tile/entries/000");
        assert_eq!(bundle_path(1_234_067, 3), "tile/entries/x001/x234/067.p/3");
        assert_eq!(index_path(999, 255), "index/999.p/255");
    }

    proptest! {
        #[test]
        fn round_trip(entries in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..300), 0..20,
        )) {
            let bytes = encode_bundle(&entries).unwrap();
            let width = u16::try_from(entries.len()).unwrap();
            prop_assert_eq!(decode_bundle(&bytes, width).unwrap(), entries);
            prop_assert!(decode_bundle(&bytes, width + 1).is_err());
            prop_assert!(decode_bundle(&[bytes, vec![0]].concat(), width).is_err());
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), width in 0..300u16) {
            let _ = decode_bundle(&bytes, width);
            let _ = decode_index(&bytes);
        }
    }

    #[test]
    fn bounds() {
        assert!(encode_bundle(&[vec![0; 65_536]]).is_err());
        assert!(encode_bundle(&vec![b""; 257]).is_err());
    }

    #[test]
    fn index_round_trip() {
        let submission = SubmissionId::new(Timestamp::from_unix_ms(1_795_000_000_000), [1; 10]);
        let numbers: Vec<_> = (0..9).map(|item| EvidenceId { submission, item }).collect();
        let bytes = encode_index(&numbers);
        assert_eq!(bytes.len(), 180);
        assert_eq!(decode_index(&bytes).unwrap(), numbers);
        assert!(decode_index(&bytes[1..]).is_err());
        assert!(decode_index(&[0; 20]).is_err());
    }
}
