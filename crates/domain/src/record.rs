//! The record: what the log keeps of one piece of evidence.
//!
//! Its bytes are the log entry. The framing is ours and deliberately plain, so that whoever holds a package can put
//! the entry together again from the package's members and check its inclusion with any RFC 6962 tool:
//!
//! ```text
//! "probity.record/1\n"
//! u32 length, evidence number (written form)
//! u32 length, statement.json
//! u32 length, META-INF/ASiCManifest001.xml
//! u32 length, META-INF/signature001.p7s
//! ```
//!
//! Lengths are big-endian. Nothing follows the last field.

use crate::{EvidenceId, Malformed};

/// The most bytes one record may have: tile-log entry bundles carry a 16-bit length.
pub const RECORD_BYTES_MAX: usize = 65_535;

const MAGIC: &[u8] = b"probity.record/1\n";

/// Statement, manifest and time-stamped signature of one piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub evidence: EvidenceId,
    pub statement: Vec<u8>,
    pub manifest: Vec<u8>,
    pub signature: Vec<u8>,
}

impl Record {
    /// The entry's bytes.
    ///
    /// # Errors
    /// [`Malformed`] when the whole would exceed [`RECORD_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let number = self.evidence.to_string();
        let fields = [
            number.as_bytes(),
            &self.statement,
            &self.manifest,
            &self.signature,
        ];
        let size = MAGIC.len() + fields.iter().map(|f| f.len() + 4).sum::<usize>();
        if size > RECORD_BYTES_MAX {
            return Err(Malformed::new(
                "record",
                format!("{size} bytes, at most {RECORD_BYTES_MAX} fit the log"),
            ));
        }
        let mut out = Vec::with_capacity(size);
        out.extend_from_slice(MAGIC);
        for field in fields {
            // Cannot truncate: the sum was checked above.
            out.extend_from_slice(&(field.len() as u32).to_be_bytes());
            out.extend_from_slice(field);
        }
        Ok(out)
    }

    /// Reads an entry's bytes.
    ///
    /// # Errors
    /// [`Malformed`] on any deviation from the framing, trailing bytes included.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let bad = |reason: &str| Malformed::new("record", reason);
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(bad("longer than a log entry may be"));
        }
        let mut rest = bytes
            .strip_prefix(MAGIC)
            .ok_or_else(|| bad("does not start with its format name"))?;
        let mut field = || -> Result<&[u8], Malformed> {
            let (length, after) = rest
                .split_first_chunk::<4>()
                .ok_or_else(|| bad("cut short"))?;
            let (value, after) = after
                .split_at_checked(u32::from_be_bytes(*length) as usize)
                .ok_or_else(|| bad("cut short"))?;
            rest = after;
            Ok(value)
        };
        let number =
            core::str::from_utf8(field()?).map_err(|_| bad("evidence number is not text"))?;
        let evidence = EvidenceId::parse(number)?;
        if evidence.to_string() != number {
            return Err(bad("evidence number is not in its canonical form"));
        }
        let record = Self {
            evidence,
            statement: field()?.to_vec(),
            manifest: field()?.to_vec(),
            signature: field()?.to_vec(),
        };
        if rest.is_empty() {
            Ok(record)
        } else {
            Err(bad("bytes after the last field"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{SubmissionId, Timestamp};

    fn record(statement: Vec<u8>) -> Record {
        let submission = SubmissionId::new(Timestamp::from_unix_ms(1_795_000_000_000), [1; 10]);
        Record {
            evidence: EvidenceId {
                submission,
                item: 3,
            },
            statement,
            manifest: b"m".to_vec(),
            signature: vec![],
        }
    }

    proptest! {
        #[test]
        fn round_trip(statement in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let r = record(statement);
            prop_assert_eq!(Record::decode(&r.encode().unwrap()).unwrap(), r);
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Record::decode(&bytes);
            let mut framed = MAGIC.to_vec();
            framed.extend(bytes);
            let _ = Record::decode(&framed);
        }
    }

    #[test]
    fn every_cut_and_every_tail_is_refused() {
        let bytes = record(b"statement".to_vec()).encode().unwrap();
        for cut in 0..bytes.len() {
            assert!(Record::decode(&bytes[..cut]).is_err(), "{cut}");
        }
        assert!(Record::decode(&[bytes, vec![0]].concat()).is_err());
    }

    #[test]
    fn bounded() {
        assert!(record(vec![0; RECORD_BYTES_MAX]).encode().is_err());
    }
}
