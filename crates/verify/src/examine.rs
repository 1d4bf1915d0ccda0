//! Examination: a package in, everything measured out. No opinion, no policy.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use probity_pki::asic::{ContainerReader, Limits, Manifest};
use probity_pki::digest::HashAlgorithm;
use probity_pki::{Error, package};

use crate::diagnostic::{Container, Diagnostic, Document, Member, WholeFile};
use crate::digest::Hashes;
use crate::text::Text;
use crate::trust::Lists;
use crate::verdict::Source;

const PIECE_BYTES: usize = 64 * 1024;

/// Small members whose bytes the judgement needs.
pub const DOCUMENTS: [&str; 10] = [
    package::STATEMENT,
    package::EVENT_MANIFEST,
    package::EVENT_SIGNATURE,
    package::SEAL_MANIFEST,
    package::SEAL_SIGNATURE,
    package::SUBMITTER_MANIFEST,
    package::SUBMITTER_SIGNATURE,
    package::CHECKPOINT,
    package::INCLUSION,
    package::STORAGE_ATTESTATION,
];

/// Whose digests must be computed.
const MANIFESTS: [&str; 3] = [
    package::EVENT_MANIFEST,
    package::SEAL_MANIFEST,
    package::SUBMITTER_MANIFEST,
];

/// What every file is hashed with, whatever the manifests name.
const STATED: [HashAlgorithm; 2] = [HashAlgorithm::Sha3_256, HashAlgorithm::Sha256];

/// Reads a package once, front to back, in bounded memory. What cannot be read is part of the result.
pub fn examine<R: Read + Seek>(reader: R, limits: Limits) -> Diagnostic {
    let mut container = match ContainerReader::open(reader, limits) {
        Ok(container) => container,
        Err(e @ Error::Io(_)) => return nothing(Container::Unreadable(Text::error(&e))),
        Err(e) => return nothing(Container::Refused(Text::error(&e))),
    };
    let (documents, unread) = read_documents(&mut container);
    let manifests: Vec<Manifest> = MANIFESTS
        .into_iter()
        .filter_map(|name| documents.iter().find(|document| document.name == name))
        .filter_map(|document| Manifest::parse(&document.bytes).ok())
        .collect();
    let found: Vec<(String, u64, u64)> = container
        .members()
        .iter()
        .map(|m| (m.name.clone(), m.size_bytes, m.packed_bytes))
        .collect();
    let members = found
        .into_iter()
        .map(|(name, size_bytes, packed_bytes)| {
            let measured = measure(&mut container, &manifests, &name);
            let (digests, damaged) = match measured {
                Ok(digests) => (digests, unread.get(&name).cloned()),
                Err(e) => (Vec::new(), Some(Text::error(&e))),
            };
            Member {
                name,
                size_bytes,
                packed_bytes,
                digests,
                damaged,
            }
        })
        .collect();
    Diagnostic {
        container: Container::Opened,
        members,
        documents,
        ..nothing(Container::Opened)
    }
}

/// Size and digests of a package as a file: what a receipt speaks of.
///
/// # Errors
/// [`Error::Io`].
pub fn measure_file<R: Read + Seek>(mut reader: R) -> probity_pki::Result<WholeFile> {
    reader.seek(SeekFrom::Start(0))?;
    let mut hashes = Hashes::new(STATED);
    let size_bytes = hashes.read(&mut reader)?;
    Ok(WholeFile {
        size_bytes,
        digests: hashes.finish(),
    })
}

fn nothing(container: Container) -> Diagnostic {
    Diagnostic {
        source: Source::Package,
        container,
        file: None,
        members: Vec::new(),
        documents: Vec::new(),
        receipt: None,
        handed_in: Lists::default(),
    }
}

/// The documents, and why one could not be read.
fn read_documents<R: Read + Seek>(
    container: &mut ContainerReader<R>,
) -> (Vec<Document>, BTreeMap<String, Text>) {
    let names: Vec<String> = container
        .members()
        .iter()
        .map(|member| member.name.clone())
        .filter(|name| DOCUMENTS.contains(&name.as_str()))
        .collect();
    let (mut documents, mut unread) = (Vec::new(), BTreeMap::new());
    for name in names {
        match container.read(&name) {
            Ok(bytes) => documents.push(Document { name, bytes }),
            Err(e) => {
                unread.insert(name, Text::error(&e));
            }
        }
    }
    (documents, unread)
}

fn measure<R: Read + Seek>(
    container: &mut ContainerReader<R>,
    manifests: &[Manifest],
    name: &str,
) -> probity_pki::Result<Vec<(HashAlgorithm, Vec<u8>)>> {
    let listed = manifests
        .iter()
        .filter_map(|manifest| manifest.reference(name))
        .map(|reference| reference.algorithm);
    let mut hashes = Hashes::new(listed.chain(STATED));
    hashes.read(&mut container.stream(name)?)?;
    Ok(hashes.finish())
}

impl Hashes {
    /// Hashes a stream to its end; returns its length.
    fn read(&mut self, from: &mut impl Read) -> std::io::Result<u64> {
        let mut piece = vec![0; PIECE_BYTES];
        let mut size_bytes = 0;
        loop {
            let read = from.read(&mut piece)?;
            if read == 0 {
                return Ok(size_bytes);
            }
            size_bytes += read as u64;
            self.update(piece.get(..read).unwrap_or_default());
        }
    }
}
