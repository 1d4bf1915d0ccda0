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

/// A newer version's document has fields that this one does not know, and is named all the same.
fn found(bytes: &[u8]) -> Option<String> {
    serde_json::from_slice(bytes)
        .ok()
        .map(|named: Named| named.format)
}

fn other(expected: &str, found: &str) -> Malformed {
    Malformed::new("format", format!("expected {expected}, found {found}")).bounded()
}
