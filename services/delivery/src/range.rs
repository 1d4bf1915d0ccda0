//! Which bytes of a package are asked for over HTTP: preconditions and ranges (RFC 9110 sections 13 and 14).

use axum::http::{HeaderMap, HeaderName, header};
use probity_proto::ledger::ByteRange;

/// What a request is to be answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Everything; also for ranges that a server may pass over: of another unit, several at once, not well-formed.
    Whole,
    Range(ByteRange),
    /// The caller has this very package.
    NotModified,
    /// The caller wants another one than there is.
    PreconditionFailed,
    /// The package has no such byte.
    NotSatisfiable,
}

/// What the headers ask of a package, in the order of section 13.2.2. `etag` is strong, quotes included.
pub(crate) fn asked(headers: &HeaderMap, etag: &str, size_bytes: u64) -> Asked {
    let if_match = headers.contains_key(header::IF_MATCH);
    if if_match && !tags(headers, &header::IF_MATCH).any(|tag| tag == "*" || tag == etag) {
        return Asked::PreconditionFailed;
    }
    let weakly = |tag: &str| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag;
    if tags(headers, &header::IF_NONE_MATCH).any(weakly) {
        return Asked::NotModified;
    }
    let same = headers.get(header::IF_RANGE).is_none_or(|tag| tag == etag);
    let mut ranges = headers.get_all(header::RANGE).iter();
    match (ranges.next(), ranges.next()) {
        (Some(range), None) if same => range
            .to_str()
            .ok()
            .and_then(|range| one_range(range, size_bytes))
            .unwrap_or(Asked::Whole),
        _ => Asked::Whole,
    }
}

fn tags<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(name).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
}

/// `bytes=first-last`, `bytes=first-` or `bytes=-suffix` (section 14.1.2); `None` for what is passed over.
fn one_range(text: &str, size_bytes: u64) -> Option<Asked> {
    let (unit, range) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let end = size_bytes.checked_sub(1)?;
    let (first, last) = match range.trim().split_once('-')? {
        ("", suffix) => match number(suffix)? {
            0 => return Some(Asked::NotSatisfiable),
            suffix => (size_bytes.saturating_sub(suffix), end),
        },
        (first, "") => (number(first)?, end),
        (first, last) => (number(first)?, number(last)?),
    };
    if first > end {
        return Some(Asked::NotSatisfiable);
    }
    let last = last.min(end);
    (first <= last).then_some(Asked::Range(ByteRange { first, last }))
}

/// A number too large to hold is beyond every package.
fn number(digits: &str) -> Option<u64> {
    let digits = Some(digits).filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))?;
    Some(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "\"ab\"";

    fn of(lines: &[(HeaderName, &'static str)]) -> Asked {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value.parse().unwrap());
        }
        asked(&headers, ETAG, 10)
    }

    fn range(text: &'static str) -> Asked {
        of(&[(header::RANGE, text)])
    }

    const fn bytes(first: u64, last: u64) -> Asked {
        Asked::Range(ByteRange { first, last })
    }

    #[test]
    fn ranges() {
        for (text, meant) in [
            ("bytes=0-0", bytes(0, 0)),
            ("bytes=3-5", bytes(3, 5)),
            ("Bytes= 3-5 ", bytes(3, 5)),
            ("bytes=9-", bytes(9, 9)),
            ("bytes=0-99999999999999999999999", bytes(0, 9)),
            ("bytes=-3", bytes(7, 9)),
            ("bytes=-11", bytes(0, 9)),
            ("bytes=10-", Asked::NotSatisfiable),
            ("bytes=10-11", Asked::NotSatisfiable),
            ("bytes=-0", Asked::NotSatisfiable),
            ("bytes=5-3", Asked::Whole),
            ("bytes=0-1,5-6", Asked::Whole),
            ("bytes=a-", Asked::Whole),
            ("bytes=+1-", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes", Asked::Whole),
            ("items=0-1", Asked::Whole),
        ] {
            assert_eq!(range(text), meant, "{text}");
        }
        let twice = [(header::RANGE, "bytes=0-1"), (header::RANGE, "bytes=2-3")];
        assert_eq!(of(&twice), Asked::Whole);
    }

    #[test]
    fn a_range_of_another_package_is_the_whole_of_this_one() {
        let with = |tag| of(&[(header::RANGE, "bytes=3-"), (header::IF_RANGE, tag)]);
        assert_eq!(with(ETAG), bytes(3, 9));
        for other in ["\"cd\"", "W/\"ab\"", "Thu, 26 Nov 2026 11:00:00 GMT"] {
            assert_eq!(with(other), Asked::Whole, "{other}");
        }
    }

    #[test]
    fn preconditions() {
        for (name, tags, meant) in [
            (header::IF_MATCH, "\"cd\", \"ab\"", Asked::Whole),
            (header::IF_MATCH, "*", Asked::Whole),
            (header::IF_MATCH, "W/\"ab\"", Asked::PreconditionFailed),
            (header::IF_MATCH, "\"cd\"", Asked::PreconditionFailed),
            (header::IF_NONE_MATCH, "\"cd\"", Asked::Whole),
            (header::IF_NONE_MATCH, "\"cd\",W/\"ab\"", Asked::NotModified),
            (header::IF_NONE_MATCH, "*", Asked::NotModified),
        ] {
            assert_eq!(of(&[(name, tags)]), meant, "{tags}");
        }
    }
}
