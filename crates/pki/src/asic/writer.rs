//! Writes a container front to back into anything that takes bytes; no member is held in memory.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use probity_domain::Timestamp;

use super::layout::{self, Record, bad};
use super::{MIMETYPE, MIMETYPE_MEMBER};
use crate::{Error, Result};

/// From this size on a member gets 64-bit fields: leaves room for what packing may add.
const ZIP64_FROM_BYTES: u64 = 0xf000_0000;
const PIECE_BYTES: usize = 64 * 1024;

/// How a streamed member is packed. Its checksum is known only at its end, and readers that stream
/// accept that for the deflate method alone, so both are deflate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Deflate's stored blocks: no work, five bytes for every block. For what is compressed already.
    Plain,
    /// Fast compression. For text.
    Deflated,
}

/// A streaming writer. Push members with [`start_member`](Self::start_member),
/// [`write`](Self::write) and [`finish_member`](Self::finish_member), then [`finish`](Self::finish);
/// between any two calls the output taken so far may be drained through [`get_mut`](Self::get_mut).
pub struct ContainerWriter<W: Write> {
    out: W,
    written: u64,
    modified: (u16, u16),
    members: Vec<Written>,
    names: BTreeSet<String>,
    open: Option<Open>,
}

/// What the central directory says about a finished member.
struct Written {
    name: String,
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    offset: u64,
    zip64: bool,
}

struct Open {
    member: Written,
    declared: Option<u64>,
    crc: crc32fast::Hasher,
    deflate: DeflateEncoder<Vec<u8>>,
}

impl<W: Write> ContainerWriter<W> {
    /// Starts a container: `mimetype` first, stored, without extra field (EN 319 162-1 annex A.1).
    /// Every member carries `modified` as its time.
    ///
    /// # Errors
    /// [`Error::Io`] from `out`.
    pub fn new(out: W, modified: Timestamp) -> Result<Self> {
        let mut writer = Self {
            out,
            written: 0,
            modified: layout::dos_time(modified),
            members: Vec::new(),
            names: BTreeSet::new(),
            open: None,
        };
        writer.add_bytes(MIMETYPE_MEMBER, MIMETYPE.as_bytes())?;
        Ok(writer)
    }

    /// Adds a member that is in memory, stored as it is.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a bad or repeated name or an open member; [`Error::Io`].
    pub fn add_bytes(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut member = self.claim(name)?;
        member.method = layout::STORED;
        member.size = bytes.len() as u64;
        member.packed = member.size;
        member.zip64 = member.size >= ZIP64_FROM_BYTES;
        member.crc = crc32fast::hash(bytes);
        self.put(&self.local_header(&member))?;
        self.put(bytes)?;
        self.members.push(member);
        Ok(())
    }

    /// Starts a member whose bytes follow in pieces. With a `size_bytes` the member must have exactly
    /// that many; without, 64-bit fields are written to be safe.
    ///
    /// # Errors
    /// As [`add_bytes`](Self::add_bytes).
    pub fn start_member(
        &mut self,
        name: &str,
        size_bytes: Option<u64>,
        packing: Packing,
    ) -> Result<()> {
        let mut member = self.claim(name)?;
        member.flags |= layout::FLAG_DESCRIPTOR;
        member.method = layout::DEFLATED;
        member.zip64 = size_bytes.is_none_or(|size| size >= ZIP64_FROM_BYTES);
        self.put(&self.local_header(&member))?;
        let level = match packing {
            Packing::Plain => Compression::none(),
            Packing::Deflated => Compression::fast(),
        };
        self.open = Some(Open {
            member,
            declared: size_bytes,
            crc: crc32fast::Hasher::new(),
            deflate: DeflateEncoder::new(Vec::with_capacity(2 * PIECE_BYTES), level),
        });
        Ok(())
    }

    /// Appends bytes to the open member.
    ///
    /// # Errors
    /// [`Error::Malformed`] when no member is open or it grows past its declared size.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(mut open) = self.open.take() else {
            return Err(bad("no member is open"));
        };
        open.member.size += bytes.len() as u64;
        if open
            .declared
            .is_some_and(|declared| open.member.size > declared)
        {
            return Err(bad(format!(
                "{:?} is longer than declared",
                open.member.name
            )));
        }
        open.crc.update(bytes);
        for piece in bytes.chunks(PIECE_BYTES) {
            open.deflate.write_all(piece)?;
            self.drain(&mut open)?;
        }
        self.open = Some(open);
        Ok(())
    }

    /// Ends the open member and says how many bytes it has.
    ///
    /// # Errors
    /// [`Error::Malformed`] when no member is open or it is shorter than declared.
    pub fn finish_member(&mut self) -> Result<u64> {
        let Some(mut open) = self.open.take() else {
            return Err(bad("no member is open"));
        };
        if open
            .declared
            .is_some_and(|declared| open.member.size != declared)
        {
            return Err(bad(format!(
                "{:?} is shorter than declared",
                open.member.name
            )));
        }
        open.deflate.try_finish()?;
        self.drain(&mut open)?;
        let mut member = open.member;
        member.crc = open.crc.finalize();
        let descriptor = Record::default().u32(layout::DESCRIPTOR).u32(member.crc);
        let descriptor = if member.zip64 {
            descriptor.u64(member.packed).u64(member.size)
        } else {
            descriptor
                .u32(narrow(member.packed)?)
                .u32(narrow(member.size)?)
        };
        self.put(&descriptor.0)?;
        let size = member.size;
        self.members.push(member);
        Ok(size)
    }

    /// Adds a member from a reader, to its end.
    ///
    /// # Errors
    /// As [`start_member`](Self::start_member) and [`finish_member`](Self::finish_member).
    pub fn add_reader(
        &mut self,
        name: &str,
        size_bytes: Option<u64>,
        packing: Packing,
        from: &mut dyn Read,
    ) -> Result<u64> {
        self.start_member(name, size_bytes, packing)?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = match from.read(&mut piece) {
                Ok(0) => return self.finish_member(),
                Ok(read) => read,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e.into()),
            };
            self.write(piece.get(..read).unwrap_or_default())?;
        }
    }

    /// Writes the central directory and hands the output back.
    ///
    /// # Errors
    /// [`Error::Malformed`] when a member is still open; [`Error::Io`].
    pub fn finish(mut self) -> Result<W> {
        if self.open.is_some() {
            return Err(bad("a member is still open"));
        }
        let start = self.written;
        for member in std::mem::take(&mut self.members) {
            let header = self.central_header(&member)?;
            self.put(&header)?;
            self.members.push(member);
        }
        let size = self.written - start;
        let count = self.members.len() as u64;
        let wide = count >= u64::from(layout::U16_FULL)
            || start >= u64::from(layout::U32_FULL)
            || size >= u64::from(layout::U32_FULL);
        if wide {
            self.put_zip64_end(start, size, count)?;
        }
        let count = u16::try_from(count).unwrap_or(layout::U16_FULL);
        let end = Record::default()
            .u32(layout::END)
            .u16(0)
            .u16(0)
            .u16(count)
            .u16(count)
            .u32(u32::try_from(size).unwrap_or(layout::U32_FULL))
            .u32(u32::try_from(start).unwrap_or(layout::U32_FULL))
            .u16(0);
        self.put(&end.0)?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// The output, to be drained between calls.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    fn claim(&mut self, name: &str) -> Result<Written> {
        if self.open.is_some() {
            return Err(bad("a member is still open"));
        }
        layout::check_name(name)?;
        if !self.names.insert(layout::folded(name)) {
            return Err(bad(format!("member {name:?} stands twice")));
        }
        Ok(Written {
            name: name.to_owned(),
            // Plain ASCII needs no flag, and `mimetype` is read by tools that expect none.
            flags: if name.is_ascii() {
                0
            } else {
                layout::FLAG_UTF8
            },
            method: layout::STORED,
            crc: 0,
            packed: 0,
            size: 0,
            offset: self.written,
            zip64: false,
        })
    }

    fn local_header(&self, member: &Written) -> Vec<u8> {
        let small = |value: u64| u32::try_from(value).unwrap_or(layout::U32_FULL);
        let (packed, size) = match member.zip64 {
            true => (layout::U32_FULL, layout::U32_FULL),
            false => (small(member.packed), small(member.size)),
        };
        let extra = match member.zip64 {
            true => Record::default()
                .u16(layout::EXTRA_ZIP64)
                .u16(16)
                .u64(member.size)
                .u64(member.packed),
            false => Record::default(),
        };
        Record::default()
            .u32(layout::LOCAL)
            .u16(version(member.zip64))
            .u16(member.flags)
            .u16(member.method)
            .u16(self.modified.0)
            .u16(self.modified.1)
            .u32(member.crc)
            .u32(packed)
            .u32(size)
            // Cannot truncate: names are at most 512 bytes and the extra field 20.
            .u16(member.name.len() as u16)
            .u16(extra.0.len() as u16)
            .bytes(member.name.as_bytes())
            .bytes(&extra.0)
            .0
    }

    fn central_header(&self, member: &Written) -> Result<Vec<u8>> {
        let full = u64::from(layout::U32_FULL);
        // Only the fields that do not fit stand in the extra field, in this order (4.5.3).
        let wide = [member.size, member.packed, member.offset];
        let wide = wide.into_iter().filter(|value| *value >= full);
        let values = wide.fold(Record::default(), Record::u64);
        let extra = match values.0.len() {
            0 => Record::default(),
            bytes => Record::default()
                .u16(layout::EXTRA_ZIP64)
                .u16(bytes as u16)
                .bytes(&values.0),
        };
        let zip64 = member.zip64 || !extra.0.is_empty();
        Ok(Record::default()
            .u32(layout::CENTRAL)
            .u16(layout::MADE_ON_UNIX | version(zip64))
            .u16(version(zip64))
            .u16(member.flags)
            .u16(member.method)
            .u16(self.modified.0)
            .u16(self.modified.1)
            .u32(member.crc)
            .u32(u32::try_from(member.packed).unwrap_or(layout::U32_FULL))
            .u32(u32::try_from(member.size).unwrap_or(layout::U32_FULL))
            .u16(u16::try_from(member.name.len()).map_err(bad)?)
            .u16(u16::try_from(extra.0.len()).map_err(bad)?)
            .u16(0)
            .u16(0)
            .u16(0)
            .u32(layout::REGULAR_FILE)
            .u32(u32::try_from(member.offset).unwrap_or(layout::U32_FULL))
            .bytes(member.name.as_bytes())
            .bytes(&extra.0)
            .0)
    }

    fn put_zip64_end(&mut self, start: u64, size: u64, count: u64) -> Result<()> {
        let at = self.written;
        let end = Record::default()
            .u32(layout::ZIP64_END)
            .u64(layout::ZIP64_END_BYTES - 12)
            .u16(layout::VERSION_ZIP64)
            .u16(layout::VERSION_ZIP64)
            .u32(0)
            .u32(0)
            .u64(count)
            .u64(count)
            .u64(size)
            .u64(start);
        let locator = Record::default()
            .u32(layout::ZIP64_LOCATOR)
            .u32(0)
            .u64(at)
            .u32(1);
        self.put(&end.0)?;
        self.put(&locator.0)
    }

    fn drain(&mut self, open: &mut Open) -> Result<()> {
        let packed = open.deflate.get_mut();
        open.member.packed += packed.len() as u64;
        self.out.write_all(packed)?;
        self.written += packed.len() as u64;
        packed.clear();
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

const fn version(zip64: bool) -> u16 {
    if zip64 {
        layout::VERSION_ZIP64
    } else {
        layout::VERSION_DEFLATE
    }
}

fn narrow(value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| Error::TooLarge {
        what: "member",
        limit: u64::from(layout::U32_FULL),
    })
}
