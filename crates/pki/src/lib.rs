//! Formats and cryptography of Probity: X.509, CRL, OCSP, CMS/CAdES, RFC 3161, ASiC-E, tile log,
//! encryption to a court.
//!
//! Pure: bytes, time and keys are parameters. Nothing here opens a socket, reads a clock or knows what a
//! bucket is. Chance comes in through the cryptographic backend alone: for new keys, and for signatures.

pub mod algorithm;
pub mod asic;
mod asn1_time;
pub mod attestation;
mod canonical;
pub mod cms;
pub mod crl;
pub mod digest;
pub mod envelope;
pub mod error;
pub mod keys;
pub mod lint;
pub mod ocsp;
pub mod oid;
pub mod package;
pub mod path;
mod signed;
pub mod statement;
pub mod tlog;
pub mod tsp;
pub mod x509;

pub use error::{Error, Result};
