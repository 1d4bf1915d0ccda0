//! Reads a container that may be hostile.
//!
//! The file must be nothing but a row of members, the central directory and its end record: no gap,
//! overlap, prefix, suffix or second opinion. So every tool that opens it sees the same members.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek, SeekFrom};

use super::layout::{self, Fields, bad};
use super::member::MemberReader;
use super::{MIMETYPE, MIMETYPE_MEMBER};
use crate::{Error, Result};

/// How much of a stranger's file is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub members_max: u64,
    /// Sum of all members, unpacked.
    pub total_bytes_max: u64,
    /// Unpacked over packed size of one deflated member.
    pub ratio_max: u64,
    /// Members up to this size may have any ratio.
    pub ratio_free_bytes: u64,
    /// Largest member that is read into memory as a whole.
    pub in_memory_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            members_max: 1_000,
            total_bytes_max: 16 * 1024 * 1024 * 1024,
            ratio_max: 1_000,
            ratio_free_bytes: 1024 * 1024,
            in_memory_bytes_max: 4 * 1024 * 1024,
        }
    }
}

/// What the directory says about one member; already compared with its local header.
#[derive(Clone, Debug)]
pub struct Member {
    pub name: String,
    /// Unpacked size.
    pub size_bytes: u64,
    pub(super) packed_bytes: u64,
    pub(super) method: u16,
    pub(super) crc: u32,
    pub(super) data_offset: u64,
    flags: u16,
    offset: u64,
}

/// An opened container.
pub struct ContainerReader<R> {
    from: R,
    limits: Limits,
    members: Vec<Member>,
    by_name: BTreeMap<String, usize>,
}

const DIRECTORY_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Where the central directory lies and how many members it lists.
struct Directory {
    offset: u64,
    size: u64,
    count: u64,
}

impl<R: Read + Seek> ContainerReader<R> {
    /// Opens a container and checks its whole layout, the first member's content included. Members'
    /// bytes are checked while they are read.
    ///
    /// # Errors
    /// [`Error::Malformed`] or [`Error::Unsupported`] for every deviation, [`Error::TooLarge`] past a
    /// limit, [`Error::Io`] from `from`.
    pub fn open(mut from: R, limits: Limits) -> Result<Self> {
        let directory = find_directory(&mut from)?;
        if directory.count > limits.members_max {
            return Err(Error::TooLarge {
                what: "number of members",
                limit: limits.members_max,
            });
        }
        let bytes = read_at(&mut from, directory.offset, directory.size)?;
        let mut members = read_directory(&bytes, directory.count)?;
        check_limits(&members, limits)?;
        members.sort_by_key(|member| member.offset);
        check_layout(&mut from, &mut members, directory.offset)?;
        let by_name = members
            .iter()
            .enumerate()
            .map(|(i, m)| (m.name.clone(), i))
            .collect();
        let mut reader = Self {
            from,
            limits,
            members,
            by_name,
        };
        reader.check_mimetype()?;
        Ok(reader)
    }

    /// All members in the order they lie in the file.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    pub fn member(&self, name: &str) -> Option<&Member> {
        self.by_name.get(name).and_then(|at| self.members.get(*at))
    }

    /// Streams a member's bytes. The last read fails if length or checksum disagree with the
    /// directory, so read to the end before believing anything.
    ///
    /// # Errors
    /// [`Error::Malformed`] when there is no such member.
    pub fn stream(&mut self, name: &str) -> Result<MemberReader<'_, R>> {
        let member = self
            .member(name)
            .ok_or_else(|| bad(format!("no member {name:?}")))?
            .clone();
        MemberReader::new(&mut self.from, &member)
    }

    /// Reads a small member as a whole.
    ///
    /// # Errors
    /// [`Error::TooLarge`] past `in_memory_bytes_max`; otherwise as [`stream`](Self::stream).
    pub fn read(&mut self, name: &str) -> Result<Vec<u8>> {
        let limit = self.limits.in_memory_bytes_max;
        let size = self.member(name).map_or(0, |member| member.size_bytes);
        if size > limit {
            return Err(Error::TooLarge {
                what: "member read into memory",
                limit,
            });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        self.stream(name)?
            .read_to_end(&mut bytes)
            .map_err(from_io)?;
        Ok(bytes)
    }

    fn check_mimetype(&mut self) -> Result<()> {
        let first = self
            .members
            .first()
            .map(|m| (m.name.as_str(), m.method, m.data_offset));
        // Name straight behind the header, data straight behind the name: no extra field.
        let data_offset = layout::LOCAL_BYTES + MIMETYPE_MEMBER.len() as u64;
        if first != Some((MIMETYPE_MEMBER, layout::STORED, data_offset)) {
            return Err(bad(
                "the first member is not a stored mimetype without extra field",
            ));
        }
        if self.read(MIMETYPE_MEMBER)? != MIMETYPE.as_bytes() {
            return Err(Error::unsupported(
                "container",
                format!("mimetype is not {MIMETYPE}"),
            ));
        }
        Ok(())
    }
}

/// Damage found while reading is the file's fault, not the stream's.
pub fn from_io(error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof => bad(error),
        _ => Error::Io(error),
    }
}

fn read_at<R: Read + Seek>(from: &mut R, offset: u64, bytes: u64) -> Result<Vec<u8>> {
    if bytes > DIRECTORY_BYTES_MAX {
        return Err(Error::TooLarge {
            what: "container directory",
            limit: DIRECTORY_BYTES_MAX,
        });
    }
    from.seek(SeekFrom::Start(offset))?;
    let mut buffer = Vec::new();
    from.take(bytes).read_to_end(&mut buffer)?;
    if buffer.len() as u64 != bytes {
        return Err(bad("cut short"));
    }
    Ok(buffer)
}

fn find_directory<R: Read + Seek>(from: &mut R) -> Result<Directory> {
    let file_bytes = from.seek(SeekFrom::End(0))?;
    let end_at = file_bytes
        .checked_sub(layout::END_BYTES)
        .ok_or_else(|| bad("too short for a ZIP file"))?;
    let end = read_at(from, end_at, layout::END_BYTES)?;
    let mut end = Fields(&end);
    if end.u32()? != layout::END {
        return Err(bad(
            "does not end with an end-of-directory record: not a ZIP file, or cut",
        ));
    }
    let (disk, start_disk) = (end.u16()?, end.u16()?);
    let (here, count) = (end.u16()?, end.u16()?);
    let (size, offset) = (end.u32()?, end.u32()?);
    if (disk, start_disk, end.u16()?) != (0, 0, 0) || here != count {
        return Err(bad("several disks or a comment"));
    }
    let narrow = Directory {
        offset: offset.into(),
        size: size.into(),
        count: count.into(),
    };
    let (directory, directory_end) = match zip64_directory(from, end_at)? {
        Some((wide, at)) => {
            let agrees = |narrow: u64, full: u64, wide: u64| narrow == full || narrow == wide;
            let full = u64::from(layout::U32_FULL);
            if !agrees(narrow.count, u64::from(layout::U16_FULL), wide.count)
                || !agrees(narrow.size, full, wide.size)
                || !agrees(narrow.offset, full, wide.offset)
            {
                return Err(bad("the two end-of-directory records disagree"));
            }
            (wide, at)
        }
        None => (narrow, end_at),
    };
    if directory.offset.checked_add(directory.size) != Some(directory_end) {
        return Err(bad(
            "the directory does not reach from where it says to its end record",
        ));
    }
    Ok(directory)
}

/// The Zip64 end record (4.3.14), if its locator lies straight before the end record.
fn zip64_directory<R: Read + Seek>(from: &mut R, end_at: u64) -> Result<Option<(Directory, u64)>> {
    let both = layout::ZIP64_LOCATOR_BYTES + layout::ZIP64_END_BYTES;
    let Some(at) = end_at.checked_sub(both) else {
        return Ok(None);
    };
    let bytes = read_at(from, at, both)?;
    let (end, locator) = bytes
        .split_at_checked(layout::ZIP64_END_BYTES as usize)
        .ok_or_else(|| bad("cut short"))?;
    let mut locator = Fields(locator);
    if locator.u32()? != layout::ZIP64_LOCATOR {
        return Ok(None);
    }
    if (locator.u32()?, locator.u64()?, locator.u32()?) != (0, at, 1) {
        return Err(bad("the Zip64 locator points elsewhere"));
    }
    let mut end = Fields(end);
    if end.u32()? != layout::ZIP64_END || end.u64()? != layout::ZIP64_END_BYTES - 12 {
        return Err(bad(
            "no Zip64 end record of version 1 where the locator points",
        ));
    }
    let (_made_by, _needed) = (end.u16()?, end.u16()?);
    let (disk, start_disk) = (end.u32()?, end.u32()?);
    let (here, count) = (end.u64()?, end.u64()?);
    let (size, offset) = (end.u64()?, end.u64()?);
    if (disk, start_disk) != (0, 0) || here != count {
        return Err(bad("several disks"));
    }
    Ok(Some((
        Directory {
            offset,
            size,
            count,
        },
        at,
    )))
}

fn read_directory(bytes: &[u8], count: u64) -> Result<Vec<Member>> {
    let mut rest = Fields(bytes);
    let mut members = Vec::new();
    let mut names = BTreeSet::new();
    for _ in 0..count {
        let member = read_central(&mut rest)?;
        if !names.insert(layout::folded(&member.name)) {
            return Err(bad(format!("member {:?} stands twice", member.name)));
        }
        members.push(member);
    }
    if !rest.0.is_empty() {
        return Err(bad("the directory holds more than it counts"));
    }
    Ok(members)
}

fn read_central(rest: &mut Fields<'_>) -> Result<Member> {
    let mut head = Fields(rest.take(layout::CENTRAL_BYTES)?);
    if head.u32()? != layout::CENTRAL {
        return Err(bad("a directory entry without its mark"));
    }
    let (made_by, _needed, flags, method) = (head.u16()?, head.u16()?, head.u16()?, head.u16()?);
    let (_time, _date, crc) = (head.u16()?, head.u16()?, head.u32()?);
    let (packed, size) = (head.u32()?, head.u32()?);
    let (name_bytes, extra_bytes, comment_bytes) = (head.u16()?, head.u16()?, head.u16()?);
    let (disk, _internal, external) = (head.u16()?, head.u16()?, head.u32()?);
    let offset = head.u32()?;
    let name = member_name(rest.take(usize::from(name_bytes))?, flags)?;
    let mut extra = Extra::read(rest.take(usize::from(extra_bytes))?)?;
    if comment_bytes != 0 || disk != 0 {
        return Err(bad(format!(
            "{name:?} has a comment or lies on another disk"
        )));
    }
    let unix_kind = (external >> 16) & 0o170_000;
    if made_by >> 8 == 3 && unix_kind != 0 && unix_kind != 0o100_000 {
        return Err(bad(format!("{name:?} is a link or device")));
    }
    check_method(&name, flags, method)?;
    let size_bytes = extra.wide(size)?;
    let packed_bytes = extra.wide(packed)?;
    let offset = extra.wide(offset)?;
    Ok(Member {
        name,
        size_bytes,
        packed_bytes,
        method,
        crc,
        data_offset: 0,
        flags,
        offset,
    })
}

fn check_method(name: &str, flags: u16, method: u16) -> Result<()> {
    if flags & !layout::FLAGS_KNOWN != 0 {
        return Err(Error::unsupported(
            "container",
            format!("{name:?} is encrypted or patched"),
        ));
    }
    match method {
        layout::STORED | layout::DEFLATED => Ok(()),
        other => Err(Error::unsupported(
            "container",
            format!("{name:?} has method {other}"),
        )),
    }
}

fn member_name(bytes: &[u8], flags: u16) -> Result<String> {
    let name = core::str::from_utf8(bytes).map_err(|_| bad("a member name is not UTF-8"))?;
    if !name.is_ascii() && flags & layout::FLAG_UTF8 == 0 {
        return Err(bad(format!("{name:?} does not declare its name as UTF-8")));
    }
    layout::check_name(name)?;
    Ok(name.to_owned())
}

/// The extra field's 64-bit values, taken in order by the fields that are full.
struct Extra<'a> {
    wide: Option<Fields<'a>>,
}

impl<'a> Extra<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut rest = Fields(bytes);
        let mut wide = None;
        while !rest.0.is_empty() {
            let (id, length) = (rest.u16()?, rest.u16()?);
            let value = rest.take(usize::from(length))?;
            match id {
                layout::EXTRA_ZIP64 if wide.is_none() => wide = Some(Fields(value)),
                layout::EXTRA_ZIP64 => return Err(bad("two Zip64 extra fields")),
                layout::EXTRA_UNICODE_PATH => return Err(bad("a second name in an extra field")),
                _ => {}
            }
        }
        Ok(Self { wide })
    }

    fn wide(&mut self, narrow: u32) -> Result<u64> {
        if narrow != layout::U32_FULL {
            return Ok(narrow.into());
        }
        self.wide
            .as_mut()
            .ok_or_else(|| bad("a 64-bit value is missing"))?
            .u64()
    }
}

fn check_limits(members: &[Member], limits: Limits) -> Result<()> {
    let mut total = 0u64;
    for member in members {
        total = total.saturating_add(member.size_bytes);
        let stored = member.method == layout::STORED;
        if stored && member.size_bytes != member.packed_bytes {
            return Err(bad(format!("{:?} is stored in two sizes", member.name)));
        }
        let allowed = member.packed_bytes.saturating_mul(limits.ratio_max);
        if member.size_bytes > limits.ratio_free_bytes && member.size_bytes > allowed {
            return Err(Error::TooLarge {
                what: "compression ratio",
                limit: limits.ratio_max,
            });
        }
    }
    if total > limits.total_bytes_max {
        return Err(Error::TooLarge {
            what: "unpacked size",
            limit: limits.total_bytes_max,
        });
    }
    Ok(())
}

/// Compares every local header with the directory and makes sure that members tile the file.
fn check_layout<R: Read + Seek>(from: &mut R, members: &mut [Member], end: u64) -> Result<()> {
    let offsets: Vec<u64> = members.iter().map(|member| member.offset).collect();
    let mut expected = 0;
    for (at, member) in members.iter_mut().enumerate() {
        if member.offset != expected {
            return Err(bad(format!("a gap or an overlap before {:?}", member.name)));
        }
        let next = offsets.get(at + 1).copied().unwrap_or(end);
        let zip64 = check_local(from, member)?;
        let data_end = member.data_offset.checked_add(member.packed_bytes);
        let tail = data_end
            .and_then(|data_end| next.checked_sub(data_end))
            .ok_or_else(|| bad(format!("{:?} reaches into what follows", member.name)))?;
        check_descriptor(from, member, tail, zip64)?;
        expected = next;
    }
    if expected == end {
        Ok(())
    } else {
        Err(bad("a gap before the directory"))
    }
}

fn check_local<R: Read + Seek>(from: &mut R, member: &mut Member) -> Result<bool> {
    let differs = || bad(format!("the local header of {:?} differs", member.name));
    let head = read_at(from, member.offset, layout::LOCAL_BYTES)?;
    let mut head = Fields(&head);
    if head.u32()? != layout::LOCAL {
        return Err(bad(format!(
            "{:?} is not where the directory says",
            member.name
        )));
    }
    let (_needed, flags, method) = (head.u16()?, head.u16()?, head.u16()?);
    let (_time, _date, crc) = (head.u16()?, head.u16()?, head.u32()?);
    let (packed, size) = (head.u32()?, head.u32()?);
    let (name_bytes, extra_bytes) = (head.u16()?, head.u16()?);
    let variable = u64::from(name_bytes) + u64::from(extra_bytes);
    let rest = read_at(from, member.offset + layout::LOCAL_BYTES, variable)?;
    let mut rest = Fields(&rest);
    let name = rest.take(usize::from(name_bytes))?;
    let mut extra = Extra::read(rest.0)?;
    let zip64 = extra.wide.is_some();
    if name != member.name.as_bytes() || (flags, method) != (member.flags, member.method) {
        return Err(differs());
    }
    let sizes = (extra.wide(size)?, extra.wide(packed)?);
    let same = (crc, sizes) == (member.crc, (member.size_bytes, member.packed_bytes));
    let deferred = flags & layout::FLAG_DESCRIPTOR != 0 && (crc, sizes) == (0, (0, 0));
    if !same && !deferred {
        return Err(differs());
    }
    member.data_offset = member.offset + layout::LOCAL_BYTES + variable;
    Ok(zip64)
}

/// What lies between a member's data and what follows is its descriptor (4.3.9) or nothing.
fn check_descriptor<R: Read + Seek>(
    from: &mut R,
    member: &Member,
    tail: u64,
    zip64: bool,
) -> Result<()> {
    let wrong = || {
        bad(format!(
            "something else than a descriptor follows {:?}",
            member.name
        ))
    };
    let described = member.flags & layout::FLAG_DESCRIPTOR != 0;
    let marked = match (described, tail, zip64) {
        (false, 0, _) => return Ok(()),
        (true, 16, false) | (true, 24, true) => true,
        (true, 12, false) | (true, 20, true) => false,
        _ => return Err(wrong()),
    };
    let bytes = read_at(from, member.data_offset + member.packed_bytes, tail)?;
    let mut fields = Fields(&bytes);
    if marked && fields.u32()? != layout::DESCRIPTOR {
        return Err(wrong());
    }
    let crc = fields.u32()?;
    let (packed, size) = match zip64 {
        true => (fields.u64()?, fields.u64()?),
        false => (fields.u32()?.into(), fields.u32()?.into()),
    };
    if (crc, packed, size) != (member.crc, member.packed_bytes, member.size_bytes) {
        return Err(wrong());
    }
    Ok(())
}
