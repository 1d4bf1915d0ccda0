//! ASiC-E containers with CAdES signatures (ETSI EN 319 162-1 V1.1.1, clause 4.4).
//!
//! A container is a ZIP whose first member is `mimetype`, stored, and whose signatures lie in
//! `META-INF`, each over a manifest that lists the signed members with their digests. Both sides are
//! written here: the writer streams and never seeks, the reader expects a hostile file.

mod directory;
mod layout;
mod manifest;
mod member;
mod reader;
mod writer;

pub use manifest::{DataObjectReference, MANIFEST_BYTES_MAX, Manifest};
pub use member::MemberReader;
pub use reader::{ContainerReader, Limits, Member};
pub use writer::{ContainerWriter, Packing};

/// Content of the member `mimetype` (EN 319 162-1 clause 4.4.2).
pub const MIMETYPE: &str = "application/vnd.etsi.asic-e+zip";
/// Name of the first member (EN 319 162-1 annex A.1).
pub const MIMETYPE_MEMBER: &str = "mimetype";
/// Media type of a CAdES signature member.
pub const SIGNATURE_MIME_TYPE: &str = "application/pkcs7-signature";
