//! DER, checked value by value without knowing any schema (X.690 8, 10, 11).

/// No structure of ours is nested deeper than half of this.
const DEPTH_MAX: usize = 32;

struct Value<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
}

/// Whether the bytes are exactly one value in DER. What the schema alone decides (defaults, the members of a
/// SET under an implicit tag) is not seen here.
pub(super) fn check(bytes: &[u8]) -> Result<(), &'static str> {
    let (value, rest) = read(bytes)?;
    if !rest.is_empty() {
        return Err("bytes follow the value");
    }
    check_value(&value, 0)
}

fn check_value(value: &Value<'_>, depth: usize) -> Result<(), &'static str> {
    if depth > DEPTH_MAX {
        return Err("nested too deep");
    }
    if value.tag & 0x20 != 0 {
        if value.tag & 0xc0 == 0 && !matches!(value.tag, 0x30 | 0x31) {
            return Err("a string or number in constructed form");
        }
        let members = members(value.content)?;
        if value.tag == 0x31 && !members.is_sorted_by(|a, b| a.whole < b.whole) {
            return Err("a SET OF out of order");
        }
        return members
            .iter()
            .try_for_each(|member| check_value(member, depth + 1));
    }
    check_primitive(value.tag, value.content)
}

fn check_primitive(tag: u8, content: &[u8]) -> Result<(), &'static str> {
    let holds = |holds: bool, reason| if holds { Ok(()) } else { Err(reason) };
    match tag {
        0x01 => holds(
            matches!(content, [0 | 0xff]),
            "a BOOLEAN that is neither 00 nor FF",
        ),
        0x02 | 0x0a => holds(is_minimal(content), "an INTEGER with needless bytes"),
        0x03 => holds(
            is_bit_string(content),
            "a BIT STRING with wrong unused bits",
        ),
        0x05 => holds(content.is_empty(), "a NULL with content"),
        0x06 => holds(is_oid(content), "an OBJECT IDENTIFIER with needless bytes"),
        0x0c => holds(
            core::str::from_utf8(content).is_ok(),
            "a UTF8String that is not UTF-8",
        ),
        0x13 => holds(
            content.iter().all(is_printable),
            "a PrintableString with other characters",
        ),
        0x16 => holds(content.is_ascii(), "an IA5String that is not ASCII"),
        0x10 | 0x11 => Err("a SEQUENCE or SET in primitive form"),
        _ => Ok(()),
    }
}

fn is_minimal(content: &[u8]) -> bool {
    match content {
        [] => false,
        [0x00, next, ..] => next & 0x80 != 0,
        [0xff, next, ..] => next & 0x80 == 0,
        _ => true,
    }
}

fn is_bit_string(content: &[u8]) -> bool {
    match content {
        [0] => true,
        [unused @ 0..=7, .., last] => last.trailing_zeros() >= u32::from(*unused),
        _ => false,
    }
}

fn is_oid(content: &[u8]) -> bool {
    let ends = content.last().is_some_and(|last| last & 0x80 == 0);
    let mut starts = true;
    let minimal = content.iter().all(|byte| {
        let holds = !(starts && *byte == 0x80);
        starts = byte & 0x80 == 0;
        holds
    });
    ends && minimal
}

/// X.680 41.4, table 10.
fn is_printable(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(byte)
}

fn members(mut content: &[u8]) -> Result<Vec<Value<'_>>, &'static str> {
    let mut members = Vec::new();
    while !content.is_empty() {
        let (member, rest) = read(content)?;
        members.push(member);
        content = rest;
    }
    Ok(members)
}

fn read(bytes: &[u8]) -> Result<(Value<'_>, &[u8]), &'static str> {
    const CUT: &str = "ends too early";
    let (&tag, after) = bytes.split_first().ok_or(CUT)?;
    if tag & 0x1f == 0x1f {
        return Err("a tag number above 30");
    }
    let (&first, mut after) = after.split_first().ok_or(CUT)?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let count = usize::from(first & 0x7f);
        if count == 0 {
            return Err("an indefinite length");
        }
        let (octets, rest) = after.split_at_checked(count).ok_or(CUT)?;
        if count > 4 || octets.first() == Some(&0) {
            return Err("a length with needless bytes");
        }
        length = octets
            .iter()
            .fold(0, |n, octet| n << 8 | usize::from(*octet));
        if length < 0x80 {
            return Err("a length with needless bytes");
        }
        after = rest;
    }
    let (content, rest) = after.split_at_checked(length).ok_or(CUT)?;
    let whole = bytes.get(..bytes.len() - rest.len()).ok_or(CUT)?;
    Ok((
        Value {
            tag,
            content,
            whole,
        },
        rest,
    ))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn each_rule_of_der() {
        for good in [
            &[0x30, 0][..],
            &[0x02, 2, 0, 0x80],
            &[0x03, 2, 7, 0x80],
            &[0x31, 6, 2, 1, 1, 2, 1, 2],
            &[0x06, 3, 0x2a, 0x81, 0x00],
            &[0x13, 2, b'C', b'N'],
        ] {
            assert_eq!(check(good), Ok(()), "{good:02x?}");
        }
        for bad in [
            &[][..],
            &[0x30],
            &[0x30, 0, 0],
            &[0x30, 1],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x81, 0],
            &[0x30, 0x82, 0, 0x80],
            &[0x1f, 0x20, 0],
            &[0x01, 1, 1],
            &[0x02, 0],
            &[0x02, 2, 0, 1],
            &[0x02, 2, 0xff, 0x80],
            &[0x03, 2, 1, 1],
            &[0x03, 2, 8, 0],
            &[0x03, 1, 1],
            &[0x05, 1, 0],
            &[0x06, 1, 0x80],
            &[0x06, 3, 0x2a, 0x80, 0x01],
            &[0x0c, 1, 0xff],
            &[0x13, 1, b'@'],
            &[0x16, 1, 0xe9],
            &[0x10, 0],
            &[0x24, 3, 4, 1, 0],
            &[0x31, 6, 2, 1, 2, 2, 1, 1],
            &[0x31, 6, 2, 1, 1, 2, 1, 1],
            &[0xa0, 3, 1, 1, 1],
            &[0x30; 80],
        ] {
            assert!(check(bad).is_err(), "{bad:02x?}");
        }
        let mut deep = vec![0x30, 0];
        for _ in 0..40 {
            deep = [&[0x30, u8::try_from(deep.len()).unwrap()], &deep[..]].concat();
        }
        assert_eq!(check(&deep), Err("nested too deep"));
    }
}
