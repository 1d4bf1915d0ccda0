//! Errors of the formats crate, by whose fault they are.

use probity_pki as pki;
use probity_platform::Error;

/// Something the platform itself keeps or made does not read: nobody outside can help it.
pub fn kept(error: pki::Error) -> Error {
    Error::internal(error)
}

/// Something a caller handed in.
pub fn given(error: pki::Error) -> Error {
    Error::malformed(error)
}
