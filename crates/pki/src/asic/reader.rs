//! Reads a container that may be hostile.
//!
//! The file must be nothing but a row of members, the central directory and its end record: no gap,
//! overlap, prefix, suffix or second opinion. So every tool that opens it sees the same members.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use super::directory::{Extra, find_directory, read_at, read_directory};
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
    /// Size inside the container.
    pub packed_bytes: u64,
    pub(super) method: u16,
    pub(super) crc: u32,
    pub(super) data_offset: u64,
    pub(super) flags: u16,
    pub(super) offset: u64,
}

/// An opened container.
pub struct ContainerReader<R> {
    from: R,
    limits: Limits,
    members: Vec<Member>,
    by_name: BTreeMap<String, usize>,
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
