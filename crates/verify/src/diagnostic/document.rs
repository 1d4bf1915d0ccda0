//! Diagnostic data as a JSON document, `probity.diagnostic/1`.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use probity_pki::crl::Crl;
use probity_pki::digest::HashAlgorithm;
use probity_pki::ocsp::OcspResponse;
use probity_pki::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Container, Diagnostic, Document, Member, SignedReceipt, WholeFile, parsed};
use crate::examine::DOCUMENTS;
use crate::text::Text;
use crate::trust::Lists;
use crate::verdict::Source;

/// The only accepted value of `format`.
pub const DIAGNOSTIC_FORMAT: &str = "probity.diagnostic/1";

const WHAT: &str = "diagnostic data";
const BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DiagnosticDocument {
    format: String,
    container: ContainerDocument,
    file: Option<FileDocument>,
    members: Vec<MemberDocument>,
    documents: Vec<BytesDocument>,
    receipt: Option<ReceiptDocument>,
    #[serde(default)]
    handed_in: HandedInDocument,
    /// For people and other programs: what the documents say, taken apart.
    parsed: Value,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContainerDocument {
    result: ContainerResult,
    reason: Option<Text>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ContainerResult {
    Opened,
    Refused,
    Unreadable,
}

/// Digests by the name of their function, in lower-case hexadecimal.
type Digests = BTreeMap<String, String>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileDocument {
    size_bytes: u64,
    digests: Digests,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberDocument {
    name: String,
    size_bytes: u64,
    packed_bytes: u64,
    digests: Digests,
    damaged: Option<Text>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BytesDocument {
    name: String,
    base64: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiptDocument {
    /// Base64.
    document: String,
    /// Base64 of DER.
    signature: String,
}

/// Base64 of DER.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HandedInDocument {
    revocation_lists: Vec<String>,
    ocsp_responses: Vec<String>,
}

impl Diagnostic {
    /// The document.
    #[must_use]
    pub fn to_json(&self) -> String {
        let (result, reason) = match &self.container {
            Container::Opened => (ContainerResult::Opened, None),
            Container::Refused(reason) => (ContainerResult::Refused, Some(reason.clone())),
            Container::Unreadable(reason) => (ContainerResult::Unreadable, Some(reason.clone())),
        };
        let document = DiagnosticDocument {
            format: DIAGNOSTIC_FORMAT.to_owned(),
            container: ContainerDocument { result, reason },
            file: self.file.as_ref().map(|file| FileDocument {
                size_bytes: file.size_bytes,
                digests: written(&file.digests),
            }),
            members: self
                .members
                .iter()
                .map(|member| MemberDocument {
                    name: member.name.clone(),
                    size_bytes: member.size_bytes,
                    packed_bytes: member.packed_bytes,
                    digests: written(&member.digests),
                    damaged: member.damaged.clone(),
                })
                .collect(),
            documents: self
                .documents
                .iter()
                .map(|document| BytesDocument {
                    name: document.name.clone(),
                    base64: STANDARD.encode(&document.bytes),
                })
                .collect(),
            receipt: self.receipt.as_ref().map(|receipt| ReceiptDocument {
                document: STANDARD.encode(&receipt.document),
                signature: STANDARD.encode(&receipt.signature),
            }),
            handed_in: self.handed_in.document(),
            parsed: parsed::view(self),
        };
        // Strings, numbers and lists only: cannot fail.
        serde_json::to_string_pretty(&document).unwrap_or_default()
    }

    /// Reads a document that anybody may have written: strictly, and only if it agrees with itself.
    ///
    /// # Errors
    /// [`Error::TooLarge`] over 64 MiB, [`Error::Unsupported`] for another format, [`Error::Malformed`]
    /// for unknown fields or digests, for bytes that are not the member they are said to be, and for a
    /// `parsed` section that its own bytes do not say.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > BYTES_MAX {
            return Err(Error::TooLarge {
                what: WHAT,
                limit: BYTES_MAX as u64,
            });
        }
        let document: DiagnosticDocument = serde_json::from_slice(bytes).map_err(bad)?;
        if document.format != DIAGNOSTIC_FORMAT {
            let reason = format!("format {:?}", document.format);
            return Err(Error::unsupported(WHAT, reason));
        }
        let ContainerDocument { result, reason } = document.container;
        let container = match (result, reason) {
            (ContainerResult::Opened, None) => Container::Opened,
            (ContainerResult::Refused, Some(reason)) => Container::Refused(reason),
            (ContainerResult::Unreadable, Some(reason)) => Container::Unreadable(reason),
            _ => {
                return Err(bad(
                    "a container that opened has no reason, others have one",
                ));
            }
        };
        let diagnostic = Self {
            source: Source::Diagnostic,
            container,
            file: document.file.map(file).transpose()?,
            members: document
                .members
                .into_iter()
                .map(member)
                .collect::<Result<_>>()?,
            documents: document
                .documents
                .iter()
                .map(|document| {
                    Ok(Document {
                        name: document.name.clone(),
                        bytes: decoded(&document.base64)?,
                    })
                })
                .collect::<Result<_>>()?,
            receipt: document.receipt.as_ref().map(receipt).transpose()?,
            handed_in: Lists::read(&document.handed_in)?,
        };
        diagnostic.check()?;
        if parsed::view(&diagnostic) != document.parsed {
            return Err(bad(
                "its parsed section is not what its documents say: altered, or of another version",
            ));
        }
        Ok(diagnostic)
    }

    /// Every member once; every document one that judgement reads, once, and the member it is said to be.
    fn check(&self) -> Result<()> {
        let mut members = BTreeMap::new();
        for member in &self.members {
            if members.insert(&member.name, member).is_some() {
                return Err(bad(format!("member {:?} stands twice", member.name)));
            }
        }
        let mut names = BTreeSet::new();
        for Document { name, bytes } in &self.documents {
            if !DOCUMENTS.contains(&name.as_str()) {
                return Err(bad(format!("{name:?} is none of the documents")));
            }
            let measured = members.get(name).map(|member| {
                let stated = [HashAlgorithm::Sha3_256, HashAlgorithm::Sha256];
                member.size_bytes == bytes.len() as u64
                    && stated.iter().all(|with| member.digest(*with).is_some())
                    && member
                        .digests
                        .iter()
                        .all(|(with, digest)| *digest == with.digest(bytes))
            });
            if measured != Some(true) || !names.insert(name) {
                return Err(bad(format!("the bytes of {name:?} are not the member's")));
            }
        }
        Ok(())
    }
}

impl Lists {
    fn document(&self) -> HandedInDocument {
        let crls = self.crls.iter().map(|crl| STANDARD.encode(crl.der()));
        let ocsp = self.ocsp.iter().map(|one| STANDARD.encode(one.der()));
        HandedInDocument {
            revocation_lists: crls.collect(),
            ocsp_responses: ocsp.collect(),
        }
    }

    fn read(document: &HandedInDocument) -> Result<Self> {
        let crl = |text: &String| Crl::from_der(&decoded(text)?);
        let ocsp = |text: &String| OcspResponse::from_der(&decoded(text)?);
        Ok(Self {
            crls: document
                .revocation_lists
                .iter()
                .map(crl)
                .collect::<Result<_>>()?,
            ocsp: document
                .ocsp_responses
                .iter()
                .map(ocsp)
                .collect::<Result<_>>()?,
        })
    }
}

fn file(document: FileDocument) -> Result<WholeFile> {
    Ok(WholeFile {
        size_bytes: document.size_bytes,
        digests: digests(&document.digests)?,
    })
}

fn member(document: MemberDocument) -> Result<Member> {
    Ok(Member {
        digests: digests(&document.digests)?,
        name: document.name,
        size_bytes: document.size_bytes,
        packed_bytes: document.packed_bytes,
        damaged: document.damaged,
    })
}

fn receipt(document: &ReceiptDocument) -> Result<SignedReceipt> {
    Ok(SignedReceipt {
        document: decoded(&document.document)?,
        signature: decoded(&document.signature)?,
    })
}

fn written(digests: &[(HashAlgorithm, Vec<u8>)]) -> Digests {
    digests
        .iter()
        .map(|(algorithm, digest)| (algorithm.name().to_owned(), hex::encode(digest)))
        .collect()
}

fn digests(document: &Digests) -> Result<Vec<(HashAlgorithm, Vec<u8>)>> {
    let mut all = Vec::new();
    for (name, text) in document {
        let algorithm = HashAlgorithm::ALL.into_iter().find(|a| a.name() == name);
        let algorithm = algorithm.ok_or_else(|| bad(format!("there is no digest {name:?}")))?;
        let digest = hex::decode(text).map_err(bad)?;
        if digest.len() != algorithm.digest_bytes() || hex::encode(&digest) != *text {
            return Err(bad(format!("{text:?} is no {name}")));
        }
        all.push((algorithm, digest));
    }
    Ok(all)
}

fn decoded(text: &str) -> Result<Vec<u8>> {
    STANDARD.decode(text).map_err(bad)
}

fn bad(reason: impl ToString) -> Error {
    Error::malformed(WHAT, reason)
}
