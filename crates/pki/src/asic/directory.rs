//! The central directory (APPNOTE 4.3.12 to 4.3.16): where it lies and what it lists.

use std::collections::BTreeSet;
use std::io::{Read, Seek, SeekFrom};

use super::layout::{self, Fields, bad};
use super::reader::Member;
use crate::{Error, Result};

const DIRECTORY_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Where the central directory lies and how many members it lists.
pub struct Directory {
    pub offset: u64,
    pub size: u64,
    pub count: u64,
}

pub fn read_at<R: Read + Seek>(from: &mut R, offset: u64, bytes: u64) -> Result<Vec<u8>> {
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

pub fn find_directory<R: Read + Seek>(from: &mut R) -> Result<Directory> {
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

pub fn read_directory(bytes: &[u8], count: u64) -> Result<Vec<Member>> {
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
pub struct Extra<'a> {
    pub wide: Option<Fields<'a>>,
}

impl<'a> Extra<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<Self> {
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

    pub fn wide(&mut self, narrow: u32) -> Result<u64> {
        if narrow != layout::U32_FULL {
            return Ok(narrow.into());
        }
        self.wide
            .as_mut()
            .ok_or_else(|| bad("a 64-bit value is missing"))?
            .u64()
    }
}
