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

/// Checks one encoding that fills `der`.
///
/// # Errors
/// [`Error::Malformed`].
pub(crate) fn check(what: &'static str, der: &[u8]) -> Result<()> {
    check_with(what, der, SetOrder::Demanded)
}

/// [`check`], but lets members of sets stand in any order.
pub(crate) fn check_unordered(what: &'static str, der: &[u8]) -> Result<()> {
    check_with(what, der, SetOrder::Any)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SetOrder {
    Demanded,
    Any,
}

fn check_with(what: &'static str, der: &[u8], order: SetOrder) -> Result<()> {
    AnyRef::from_der(der)
        .map_err(|e| e.to_string())
        .and_then(|element| check_element(element, order, DEPTH_MAX))
        .map_err(|reason| Error::malformed(what, format!("not DER: {reason}")))
}

fn check_element(element: AnyRef<'_>, order: SetOrder, depth: usize) -> Found {
    let value = element.value();
    let decoded = match element.tag() {
        // The value decides: TRUE is ff (11.1), and integers are as short as can be (8.3.2).
        Tag::Boolean => element.decode_as::<bool>().map(drop),
        Tag::Integer => element.decode_as::<IntRef>().map(drop),
        Tag::Enumerated => AnyRef::new(Tag::Integer, value)
            .and_then(|integer| integer.decode_as::<IntRef>().map(drop)),
        Tag::Null => element.decode_as::<Null>().map(drop),
        Tag::ObjectIdentifier => element.decode_as::<ObjectIdentifier>().map(drop),
        Tag::BitString => return check_unused_bits(value),
        tag if tag.is_constructed() => return check_members(element, order, depth),
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

fn check_members(element: AnyRef<'_>, order: SetOrder, depth: usize) -> Found {
    let depth = depth.checked_sub(1).ok_or("nested too deeply")?;
    let ordered = order == SetOrder::Demanded && element.tag() == Tag::Set;
    let mut reader = SliceReader::new(element.value()).map_err(|e| e.to_string())?;
    let mut before: Option<&[u8]> = None;
    while !reader.is_finished() {
        let encoded = reader.tlv_bytes().map_err(|e| e.to_string())?;
        let member = AnyRef::from_der(encoded).map_err(|e| e.to_string())?;
        check_element(member, order, depth)?;
        // 11.6: ascending, compared as encoded.
        if ordered && before.is_some_and(|before| before.cmp(encoded) == Ordering::Greater) {
            return Err("a set out of order".to_owned());
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
        let table: [(&str, bool); 22] = [
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
        ];
        for (hex, good) in table {
            let der = hex::decode(hex.replace(' ', "")).unwrap();
            assert_eq!(check("test", &der).is_ok(), good, "{hex}");
        }
        let unordered = hex::decode("3106020102020101").unwrap();
        assert!(check_unordered("test", &unordered).is_ok());
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
