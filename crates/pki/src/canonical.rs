//! Whether bytes are DER throughout (X.690 8 and 11), the parts that nobody decodes included.
//!
//! Decoders take algorithm parameters, attribute values and the like as they come, so that encoding
//! gives back what was read. What is in there is checked here, once for all formats.

use std::cmp::Ordering;

use der::asn1::{IntRef, Null, ObjectIdentifier};
use der::{AnyRef, Decode, Reader, SliceReader, Tag, Tagged};

use crate::{Error, Result};

/// What is not DER about it, in words.
type Found = core::result::Result<(), String>;

/// No format here is half as deep.
const DEPTH_MAX: usize = 32;

/// How much is asked of bytes that are DER.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Strictness {
    /// Members of sets stand in any order.
    Foreign,
    /// They ascend.
    Ordered,
    /// None stands twice, and strings hold the characters of their type: what we sign ourselves.
    Own,
}

/// Checks one encoding that fills `der`.
///
/// # Errors
/// [`Error::Malformed`].
pub(crate) fn check(what: &'static str, der: &[u8]) -> Result<()> {
    check_with(what, der, Strictness::Ordered)
}

/// [`check`], but lets members of sets stand in any order.
pub(crate) fn check_unordered(what: &'static str, der: &[u8]) -> Result<()> {
    check_with(what, der, Strictness::Foreign)
}

/// What keeps bytes of our own making from being DER to the last rule, in words.
pub(crate) fn check_own(der: &[u8]) -> Found {
    check_filling(der, Strictness::Own)
}

fn check_with(what: &'static str, der: &[u8], strictness: Strictness) -> Result<()> {
    check_filling(der, strictness)
        .map_err(|reason| Error::malformed(what, format!("not DER: {reason}")))
}

fn check_filling(der: &[u8], strictness: Strictness) -> Found {
    let element = AnyRef::from_der(der).map_err(|e| e.to_string())?;
    check_element(element, strictness, DEPTH_MAX)
}

fn check_element(element: AnyRef<'_>, strictness: Strictness, depth: usize) -> Found {
    let value = element.value();
    let decoded = match element.tag() {
        // The value decides: TRUE is ff (11.1), and integers are as short as can be (8.3.2).
        Tag::Boolean => element.decode_as::<bool>().map(drop),
        Tag::Integer => element.decode_as::<IntRef>().map(drop),
        Tag::Enumerated => AnyRef::new(Tag::Integer, value)
            .and_then(|integer| integer.decode_as::<IntRef>().map(drop)),
        Tag::Null => element.decode_as::<Null>().map(drop),
        Tag::ObjectIdentifier if has_needless_bytes(value) => {
            return Err("an OBJECT IDENTIFIER with needless bytes".to_owned());
        }
        Tag::ObjectIdentifier => element.decode_as::<ObjectIdentifier>().map(drop),
        Tag::BitString => return check_unused_bits(value),
        tag if tag.is_constructed() => return check_members(element, strictness, depth),
        tag if strictness == Strictness::Own => return check_characters(tag, value),
        _ => Ok(()),
    };
    decoded.map_err(|e| e.to_string())
}

/// 11.2.1: unused bits are zero.
fn check_unused_bits(value: &[u8]) -> Found {
    let zero = match value {
        [0, ..] => true,
        [unused @ 1..8, .., last] => last.trailing_zeros() >= u32::from(*unused),
        _ => false,
    };
    if zero {
        return Ok(());
    }
    Err("unused bits of a BIT STRING".to_owned())
}

/// 8.19.2: a subidentifier does not begin with zeros.
fn has_needless_bytes(identifier: &[u8]) -> bool {
    let starts = core::iter::once(true).chain(identifier.iter().map(|byte| byte & 0x80 == 0));
    starts
        .zip(identifier)
        .any(|(starts, byte)| starts && *byte == 0x80)
}

/// X.680 41.4, table 10, and ASCII and UTF-8 where they are promised.
fn check_characters(tag: Tag, value: &[u8]) -> Found {
    let is_printable = |b: &u8| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(b);
    let holds = match tag {
        Tag::Utf8String => core::str::from_utf8(value).is_ok(),
        Tag::PrintableString => value.iter().all(is_printable),
        Tag::Ia5String => value.is_ascii(),
        _ => true,
    };
    if holds {
        return Ok(());
    }
    Err(format!("characters that no {tag} has"))
}

fn check_members(element: AnyRef<'_>, strictness: Strictness, depth: usize) -> Found {
    let depth = depth.checked_sub(1).ok_or("nested too deeply")?;
    let is_set = element.tag() == Tag::Set;
    let mut reader = SliceReader::new(element.value()).map_err(|e| e.to_string())?;
    let mut before: Option<&[u8]> = None;
    while !reader.is_finished() {
        let encoded = reader.tlv_bytes().map_err(|e| e.to_string())?;
        let member = AnyRef::from_der(encoded).map_err(|e| e.to_string())?;
        check_element(member, strictness, depth)?;
        // 11.6: ascending, compared as encoded.
        match before.map(|before| before.cmp(encoded)) {
            Some(Ordering::Greater) if is_set && strictness >= Strictness::Ordered => {
                return Err("a set out of order".to_owned());
            }
            Some(Ordering::Equal) if is_set && strictness == Strictness::Own => {
                return Err("a member of a set twice".to_owned());
            }
            _ => {}
        }
        before = Some(encoded);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn der_and_what_is_not() {
        let table: [(&str, bool); 27] = [
            ("3000", true),
            ("300030", false),
            ("308000 00", false),
            ("30810101", false),
            ("30030101ff", true),
            ("3003010101", false),
            ("30030201ff", true),
            ("300402020001", false),
            ("30040202ff80", false),
            ("30040a020001", false),
            ("30020500", true),
            ("3003050100", false),
            ("3003060180", false),
            ("300303010 0", true),
            ("30040302 0780", true),
            ("3004030207c0", false),
            ("300303 0101", false),
            ("3106020101020102", true),
            ("3106020102020101", false),
            ("a006020102020101", true),
            ("240404020102", false),
            ("a003020200", false),
            ("06032a8100", true),
            ("06032a8001", false),
            ("060180", false),
            ("1000", false),
            ("1f2000", false),
        ];
        for (hex, good) in table {
            let der = hex::decode(hex.replace(' ', "")).unwrap();
            assert_eq!(check("test", &der).is_ok(), good, "{hex}");
        }
        let unordered = hex::decode("3106020102020101").unwrap();
        assert!(check_unordered("test", &unordered).is_ok());
        // What others may write and we do not: a member twice, and characters that are not the type's.
        for hex in ["3106020101020101", "0c01ff", "130140", "1601e9"] {
            let der = hex::decode(hex).unwrap();
            assert!(check("test", &der).is_ok(), "{hex}");
            assert!(check_own(&der).is_err(), "{hex}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| {
            (0..depth).fold(Vec::new(), |inner: Vec<u8>, _| {
                [&[0x30, inner.len() as u8], inner.as_slice()].concat()
            })
        };
        assert!(check("test", &nested(DEPTH_MAX)).is_ok());
        assert!(check("test", &nested(DEPTH_MAX + 2)).is_err());
    }
}
