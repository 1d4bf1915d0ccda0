//! Diagnostic data: what examination measured, enough to judge again without the package.
//!
//! Signatures, tokens, certificates, lists, statement and proofs are kept as their bytes and verified
//! anew by every judgement. Only what must be measured on the package itself is taken on faith when
//! diagnostic data come from somebody else: its layout, and the sizes and digests of its members.

mod document;
mod parsed;

use probity_pki::digest::HashAlgorithm;

pub use document::DIAGNOSTIC_FORMAT;

use crate::text::Text;
use crate::trust::Lists;
use crate::verdict::Source;

/// Everything a judgement needs to know about a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub source: Source,
    pub container: Container,
    /// The package as one file, if it was measured so.
    pub file: Option<WholeFile>,
    /// In their order in the container.
    pub members: Vec<Member>,
    /// The small members that carry signatures, statements and proofs.
    pub documents: Vec<Document>,
    /// A court's receipt that was handed in beside the package.
    pub receipt: Option<SignedReceipt>,
    /// Revocation data that were handed in beside the package; they can only add revocations.
    pub handed_in: Lists,
}

/// Whether the package is one unambiguous row of members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Container {
    Opened,
    /// The file is not such a package.
    Refused(Text),
    /// The stream failed; nothing is known.
    Unreadable(Text),
}

/// A file measured as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeFile {
    pub size_bytes: u64,
    pub digests: Vec<(HashAlgorithm, Vec<u8>)>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    /// Unpacked.
    pub size_bytes: u64,
    /// In the container.
    pub packed_bytes: u64,
    /// By SHA3-256, SHA-256 and whatever a manifest names; none if it could not be read to its end.
    pub digests: Vec<(HashAlgorithm, Vec<u8>)>,
    /// Why it could not be read.
    pub damaged: Option<Text>,
}

/// One small member's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// A receipt document and the detached CMS signature over it, DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedReceipt {
    pub document: Vec<u8>,
    pub signature: Vec<u8>,
}

impl Diagnostic {
    /// The bytes of a small member.
    #[must_use]
    pub fn document(&self, name: &str) -> Option<&[u8]> {
        let mut documents = self.documents.iter();
        let found = documents.find(|document| document.name == name)?;
        Some(&found.bytes)
    }

    /// The member of this name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }
}

impl Member {
    /// The member's digest, if it was computed with this function.
    #[must_use]
    pub fn digest(&self, algorithm: HashAlgorithm) -> Option<&[u8]> {
        digest_of(&self.digests, algorithm)
    }
}

impl WholeFile {
    /// The file's digest, if it was computed with this function.
    #[must_use]
    pub fn digest(&self, algorithm: HashAlgorithm) -> Option<&[u8]> {
        digest_of(&self.digests, algorithm)
    }
}

fn digest_of(digests: &[(HashAlgorithm, Vec<u8>)], algorithm: HashAlgorithm) -> Option<&[u8]> {
    digests
        .iter()
        .find(|(known, _)| *known == algorithm)
        .map(|(_, digest)| digest.as_slice())
}
