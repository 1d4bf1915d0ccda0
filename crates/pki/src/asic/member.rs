//! One member's bytes, unpacked, counted and summed while they pass.

use std::io::{self, BufReader, Read, Seek, SeekFrom, Take};

use flate2::bufread::DeflateDecoder;

use super::layout;
use super::reader::Member;
use crate::Result;

const BUFFER_BYTES: usize = 64 * 1024;

/// Reads one member. The read that reaches the end fails with `InvalidData` if the bytes are not
/// those the directory announced.
pub struct MemberReader<'r, R> {
    source: Source<'r, R>,
    crc: crc32fast::Hasher,
    read: u64,
    expected: Member,
}

enum Source<'r, R> {
    Stored(Take<&'r mut R>),
    Deflated(Box<DeflateDecoder<BufReader<Take<&'r mut R>>>>),
}

impl<'r, R: Read + Seek> MemberReader<'r, R> {
    pub(super) fn new(from: &'r mut R, member: &Member) -> Result<Self> {
        from.seek(SeekFrom::Start(member.data_offset))?;
        let packed = from.take(member.packed_bytes);
        let source = if member.method == layout::DEFLATED {
            let buffered = BufReader::with_capacity(BUFFER_BYTES, packed);
            Source::Deflated(Box::new(DeflateDecoder::new(buffered)))
        } else {
            Source::Stored(packed)
        };
        let crc = crc32fast::Hasher::new();
        Ok(Self {
            source,
            crc,
            read: 0,
            expected: member.clone(),
        })
    }

    fn damaged(&self, reason: &str) -> io::Error {
        let reason = format!("member {:?}: {reason}", self.expected.name);
        io::Error::new(io::ErrorKind::InvalidData, reason)
    }

    fn check_end(&self) -> io::Result<()> {
        if self.read != self.expected.size_bytes {
            return Err(self.damaged("shorter than the directory says"));
        }
        if self.crc.clone().finalize() != self.expected.crc {
            return Err(self.damaged("checksum differs"));
        }
        match &self.source {
            Source::Deflated(d) if d.total_in() != self.expected.packed_bytes => {
                Err(self.damaged("bytes after the compressed data"))
            }
            _ => Ok(()),
        }
    }
}

impl<R: Read + Seek> Read for MemberReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = match &mut self.source {
            Source::Stored(source) => source.read(buffer),
            Source::Deflated(source) => source.read(buffer),
        };
        let read = match read {
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => {
                return Err(self.damaged("compressed data is corrupt"));
            }
            other => other?,
        };
        if read == 0 {
            self.check_end()?;
            return Ok(0);
        }
        self.read += read as u64;
        // Stops a bomb that unpacks to more than it declared.
        if self.read > self.expected.size_bytes {
            return Err(self.damaged("longer than the directory says"));
        }
        self.crc.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}
