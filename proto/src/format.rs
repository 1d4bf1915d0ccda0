//! Formats by name: what a reader says of a document that a newer version wrote.

use probity_domain::Malformed;
use serde::{Deserialize, de::DeserializeOwned};

#[derive(Deserialize)]
struct Named {
    format: String,
}

/// Reads a JSON document of the format `expected`.
///
/// # Errors
/// [`Malformed`], [bounded](Malformed::bounded): `format`, naming the one that was found, when the bytes are a document of
/// another; otherwise `what` and why they do not read.
pub fn read_json<D: DeserializeOwned>(
    what: &'static str,
    expected: &str,
    bytes: &[u8],
) -> Result<D, Malformed> {
    serde_json::from_slice(bytes).map_err(|e| match found(bytes) {
        Some(found) if found != expected => other(expected, &found),
        _ => Malformed::new(what, e.to_string()).bounded(),
    })
}

/// Passes the expected format.
///
/// # Errors
/// [`Malformed`]: `format`, naming the one that was found.
pub fn expect(expected: &str, found: &str) -> Result<(), Malformed> {
    match found == expected {
        true => Ok(()),
        false => Err(other(expected, found)),
    }
}

/// The format's name where a JSON document is of another version of `expected`: what another version of this program wrote.
#[must_use]
pub fn other_version(expected: &str, bytes: &[u8]) -> Option<String> {
    found(bytes).filter(|found| is_other_version(expected, found))
}

/// Whether two names of formats, `<name>/<number>`, differ in the number alone.
#[must_use]
pub fn is_other_version(expected: &str, found: &str) -> bool {
    let number = |n: &str| (1..=9).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit());
    let (expected, found) = (expected.rsplit_once('/'), found.rsplit_once('/'));
    expected
        .zip(found)
        .is_some_and(|((name, ours), (other, theirs))| {
            name == other && ours != theirs && number(theirs)
        })
}

/// A newer version's document has fields that this one does not know, and is named all the same.
fn found(bytes: &[u8]) -> Option<String> {
    serde_json::from_slice(bytes)
        .ok()
        .map(|named: Named| named.format)
}

fn other(expected: &str, found: &str) -> Malformed {
    Malformed::new("format", format!("expected {expected}, found {found}")).bounded()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_differ_in_their_numbers_alone() {
        for (found, other) in [
            ("probity.scrub/2", true),
            ("probity.scrub/10", true),
            ("probity.scrub/1", false),
            ("probity.event/2", false),
            ("probity.scrub/", false),
            ("probity.scrub/2x", false),
            ("probity.scrub/1234567890", false),
            ("2", false),
        ] {
            assert_eq!(is_other_version("probity.scrub/1", found), other, "{found}");
            let document = format!("{{\"newer\":1,\"format\":\"{found}\"}}");
            let named = other_version("probity.scrub/1", document.as_bytes());
            assert_eq!(named, other.then(|| found.to_owned()));
        }
        assert_eq!(other_version("probity.scrub/1", b"{}"), None);
    }
}
