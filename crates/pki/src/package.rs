//! What lies where in a package, and the two small documents beside the signatures.
//!
//! A package is an ASiC-E container: what was signed for the submitter under manifest 001, the
//! platform's additions (log proof, readable certificate), and delivery's seal over all of it under
//! manifest 002. Where the submitter signed its instruction with a certificate of its own, the
//! instruction and that signature travel along under manifest 003.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use probity_domain::{ArtifactName, MediaType, Sha3_256};
use serde::{Deserialize, Serialize};

use crate::asic::{DataObjectReference, Manifest, SIGNATURE_MIME_TYPE};
use crate::digest::HashAlgorithm;
use crate::statement::Statement;
use crate::tlog::{Hash, TREE_SIZE_MAX};
use crate::{Error, Result};

/// Who submitted what and with what will.
pub const STATEMENT: &str = "statement.json";
/// Folder of the artifacts.
pub const ARTIFACTS: &str = "artifacts/";
/// The log's signed checkpoint.
pub const CHECKPOINT: &str = "log/checkpoint.txt";
/// Proof that the evidence is in the log of that checkpoint.
pub const INCLUSION: &str = "log/inclusion.json";
/// Storage's signed attestation of how it keeps the evidence ([`crate::attestation`]); older packages have none.
pub const STORAGE_ATTESTATION: &str = "storage/attestation.txt";
/// The readable certificate, Chinese and English.
pub const CERTIFICATE: &str = "certificate.html";
/// What the event signature covers.
pub const EVENT_MANIFEST: &str = "META-INF/ASiCManifest001.xml";
/// The event signature with its time-stamp.
pub const EVENT_SIGNATURE: &str = "META-INF/signature001.p7s";
/// What the delivery seal covers.
pub const SEAL_MANIFEST: &str = "META-INF/ASiCManifest002.xml";
/// The delivery seal.
pub const SEAL_SIGNATURE: &str = "META-INF/signature002.p7s";
/// The instruction as the submitter sent it, byte for byte; only where the submitter signed it.
pub const SUBMITTER_INSTRUCTION: &str = "submitter/instruction.json";
/// What the submitter's own signature covers: the instruction. The same from anybody's hand.
pub const SUBMITTER_MANIFEST: &str = "META-INF/ASiCManifest003.xml";
/// The submitter's own signature (detached CAdES).
pub const SUBMITTER_SIGNATURE: &str = "META-INF/submitter-signature.p7s";
/// Longest signature of a submitter in bytes: room for a chain with its status.
pub const SUBMITTER_SIGNATURE_BYTES_MAX: usize = 64 * 1024;

/// Members a package has besides where the submitter signed, with their media types.
pub const SUBMITTER_MEMBERS: [(&str, &str); 3] = [
    (SUBMITTER_INSTRUCTION, JSON),
    (SUBMITTER_MANIFEST, XML),
    (SUBMITTER_SIGNATURE, SIGNATURE_MIME_TYPE),
];

const JSON: &str = "application/json";
const XML: &str = "text/xml";

/// Members every package has besides `mimetype` and its artifacts, with their media types, in the
/// order they are written. The seal's own two members come last.
pub const FIXED_MEMBERS: [(&str, &str); 7] = [
    (STATEMENT, JSON),
    (EVENT_MANIFEST, XML),
    (EVENT_SIGNATURE, SIGNATURE_MIME_TYPE),
    (CHECKPOINT, "text/plain"),
    (INCLUSION, JSON),
    (STORAGE_ATTESTATION, "text/plain"),
    (CERTIFICATE, "text/html"),
];

/// Member name of an artifact.
#[must_use]
pub fn artifact_member(name: &ArtifactName) -> String {
    format!("{ARTIFACTS}{name}")
}

/// Manifest 001, which the event signature covers: the statement and every artifact it lists.
///
/// # Errors
/// [`Error::Malformed`] when the manifest cannot be written.
pub fn event_manifest(statement: &Statement, statement_bytes: &[u8]) -> Result<Vec<u8>> {
    let digest = HashAlgorithm::Sha3_256.digest(statement_bytes);
    let mut references = vec![reference(STATEMENT.to_owned(), JSON, digest)];
    references.extend(statement.artifacts.iter().map(|artifact| {
        let member = artifact_member(&artifact.name);
        reference(
            member,
            artifact.media_type.as_str(),
            artifact.sha3_256.0.to_vec(),
        )
    }));
    manifest(EVENT_SIGNATURE, references).to_xml()
}

/// Manifest 003, which the submitter's own signature covers: the instruction and nothing else. It follows
/// from the instruction's digest, so that it need not be sent, and a submitter signs before it submits:
/// the statement, which manifest 001 covers, is made later.
///
/// # Errors
/// [`Error::Malformed`] when the manifest cannot be written.
pub fn submitter_manifest(instruction_sha3_256: &Sha3_256) -> Result<Vec<u8>> {
    let digest = instruction_sha3_256.0.to_vec();
    let instruction = reference(SUBMITTER_INSTRUCTION.to_owned(), JSON, digest);
    manifest(SUBMITTER_SIGNATURE, vec![instruction]).to_xml()
}

/// One member as the seal lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedMember {
    pub name: String,
    pub media_type: String,
    pub sha3_256: Sha3_256,
}

impl SealedMember {
    /// A fixed member whose bytes are at hand.
    #[must_use]
    pub fn of(name: &str, media_type: &str, bytes: &[u8]) -> Self {
        let mut sha3_256 = Sha3_256([0; 32]);
        for (to, from) in sha3_256
            .0
            .iter_mut()
            .zip(HashAlgorithm::Sha3_256.digest(bytes))
        {
            *to = from;
        }
        Self {
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            sha3_256,
        }
    }

    /// An artifact, by the digest it is kept under.
    #[must_use]
    pub fn artifact(name: &ArtifactName, media_type: &MediaType, sha3_256: Sha3_256) -> Self {
        let media_type = media_type.as_str().to_owned();
        Self {
            name: artifact_member(name),
            media_type,
            sha3_256,
        }
    }
}

/// Manifest 002, which the delivery seal covers: every member but `mimetype` and the seal's own two.
///
/// # Errors
/// [`Error::Malformed`] when a member stands twice or the manifest cannot be written.
pub fn seal_manifest(members: &[SealedMember]) -> Result<Vec<u8>> {
    let one = |m: &SealedMember| reference(m.name.clone(), &m.media_type, m.sha3_256.0.to_vec());
    manifest(SEAL_SIGNATURE, members.iter().map(one).collect()).to_xml()
}

fn manifest(signature: &str, references: Vec<DataObjectReference>) -> Manifest {
    Manifest {
        signature: signature.to_owned(),
        signature_mime_type: Some(SIGNATURE_MIME_TYPE.to_owned()),
        references,
    }
}

fn reference(member: String, media_type: &str, digest: Vec<u8>) -> DataObjectReference {
    DataObjectReference {
        member,
        mime_type: Some(media_type.to_owned()),
        algorithm: HashAlgorithm::Sha3_256,
        digest,
    }
}

/// `log/inclusion.json`: the audit path of the evidence's log entry (RFC 6962 section 2.1.1) in the
/// tree of the checkpoint beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Inclusion {
    pub leaf_index: u64,
    pub tree_size: u64,
    pub hashes: Vec<Hash>,
}

/// The only accepted value of `format`.
pub const INCLUSION_FORMAT: &str = "probity.inclusion/1";
const INCLUSION_BYTES_MAX: usize = 16 * 1024;
const INCLUSION_HASHES_MAX: usize = 64;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InclusionDocument {
    format: String,
    leaf_index: u64,
    tree_size: u64,
    hashes: Vec<String>,
}

impl Inclusion {
    /// The document's bytes.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the numbers contradict each other.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.check()?;
        let document = InclusionDocument {
            format: INCLUSION_FORMAT.to_owned(),
            leaf_index: self.leaf_index,
            tree_size: self.tree_size,
            hashes: self
                .hashes
                .iter()
                .map(|hash| STANDARD.encode(hash.0))
                .collect(),
        };
        serde_json::to_vec(&document).map_err(bad)
    }

    /// Reads the document.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Unsupported`] for another format, [`Error::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > INCLUSION_BYTES_MAX {
            return Err(Error::TooLarge {
                what: WHAT,
                limit: INCLUSION_BYTES_MAX as u64,
            });
        }
        let document: InclusionDocument = serde_json::from_slice(bytes).map_err(bad)?;
        if document.format != INCLUSION_FORMAT {
            return Err(Error::unsupported(
                WHAT,
                format!("format {:?}", document.format),
            ));
        }
        let hash = |text: &String| {
            let bytes = STANDARD.decode(text).map_err(bad)?;
            bytes
                .try_into()
                .map(Hash)
                .map_err(|_| bad("a hash that is not 32 bytes"))
        };
        let inclusion = Self {
            leaf_index: document.leaf_index,
            tree_size: document.tree_size,
            hashes: document.hashes.iter().map(hash).collect::<Result<_>>()?,
        };
        inclusion.check()?;
        Ok(inclusion)
    }

    fn check(&self) -> Result<()> {
        if self.leaf_index >= self.tree_size || self.tree_size > TREE_SIZE_MAX {
            return Err(bad("the entry is not in the tree"));
        }
        if self.hashes.len() > INCLUSION_HASHES_MAX {
            return Err(Error::TooLarge {
                what: WHAT,
                limit: INCLUSION_HASHES_MAX as u64,
            });
        }
        Ok(())
    }
}

const WHAT: &str = "inclusion proof";

fn bad(reason: impl ToString) -> Error {
    Error::malformed(WHAT, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inclusion_round_trip_and_refusals() {
        let inclusion = Inclusion {
            leaf_index: 5,
            tree_size: 9,
            hashes: vec![Hash([1; 32]), Hash([2; 32])],
        };
        let bytes = inclusion.to_bytes().unwrap();
        assert_eq!(Inclusion::parse(&bytes).unwrap(), inclusion);
        let text = String::from_utf8(bytes).unwrap();
        let changes = [
            ("inclusion/1", "inclusion/2"),
            ("\"leaf_index\":5", "\"leaf_index\":9"),
            ("\"tree_size\":9", "\"tree_size\":18446744073709551615"),
            ("AQEB", "AQ"),
            ("{", "{\"x\":1,"),
        ];
        for (from, to) in changes {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            assert!(
                Inclusion::parse(changed.as_bytes()).is_err(),
                "{from} -> {to}"
            );
        }
    }

    #[test]
    fn the_submitters_manifest_names_the_instruction_alone() {
        let xml = submitter_manifest(&Sha3_256([7; 32])).unwrap();
        // Signatures were made over these very bytes, which are made again for each package: they never change.
        let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<asic:ASiCManifest xmlns:asic="http://uri.etsi.org/02918/v1.2.1#" xmlns:ds="http://www.w3.org/2000/09/xmldsig#">
<asic:SigReference URI="META-INF/submitter-signature.p7s" MimeType="application/pkcs7-signature"/>
<asic:DataObjectReference URI="submitter/instruction.json" MimeType="application/json"><ds:DigestMethod Algorithm="http://www.w3.org/2007/05/xmldsig-more#sha3-256"/><ds:DigestValue>BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=</ds:DigestValue></asic:DataObjectReference>
</asic:ASiCManifest>
"#;
        assert_eq!(std::str::from_utf8(&xml).unwrap(), expected);
        let read = Manifest::parse(&xml).unwrap();
        assert_eq!(read.signature, SUBMITTER_SIGNATURE);
        assert_eq!(read.references.len(), 1);
        let digest = &read.reference(SUBMITTER_INSTRUCTION).unwrap().digest;
        assert_eq!(digest, &[7; 32]);
    }

    #[test]
    fn seal_lists_members_once() {
        let member = SealedMember::of(STATEMENT, "application/json", b"{}");
        let xml = seal_manifest(std::slice::from_ref(&member)).unwrap();
        let read = Manifest::parse(&xml).unwrap();
        assert_eq!(read.signature, SEAL_SIGNATURE);
        assert_eq!(read.reference(STATEMENT).unwrap().digest, member.sha3_256.0);
        assert!(seal_manifest(&[member.clone(), member]).is_err());
    }
}
