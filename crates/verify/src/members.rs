//! Members against manifests: every member listed, every listed member there and unchanged.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use probity_pki::asic::{ContainerReader, MIMETYPE_MEMBER, Manifest};
use probity_pki::digest::HashAlgorithm;
use probity_pki::package::{
    ARTIFACTS, CHECKPOINT, EVENT_MANIFEST, EVENT_SIGNATURE, INCLUSION, SEAL_MANIFEST,
    SEAL_SIGNATURE, STATEMENT,
};

use crate::digest::Hashes;
use crate::verdict::{CheckResult, Text};

const PIECE_BYTES: usize = 64 * 1024;

/// What streaming found out about one member.
pub struct Measured {
    pub size_bytes: u64,
    digests: Vec<(HashAlgorithm, Vec<u8>)>,
}

impl Measured {
    pub fn digest(&self, algorithm: HashAlgorithm) -> Option<&[u8]> {
        self.digests
            .iter()
            .find(|(known, _)| *known == algorithm)
            .map(|(_, d)| d.as_slice())
    }
}

/// All members that could be read to their end.
pub type Members = BTreeMap<String, Measured>;

/// The two manifests, as far as they are there and readable.
#[derive(Default)]
pub struct Manifests {
    pub event: Option<Manifest>,
    pub seal: Option<Manifest>,
}

/// Reads every member once. Damaged ones are reported by name; reading goes on with the next.
pub fn measure<R: Read + Seek>(
    container: &mut ContainerReader<R>,
    manifests: &Manifests,
) -> (Members, Vec<Text>) {
    let names: Vec<String> = container.members().iter().map(|m| m.name.clone()).collect();
    let (mut members, mut damaged) = (Members::new(), Vec::new());
    for name in names {
        match measure_one(container, manifests, &name) {
            Ok(measured) => {
                members.insert(name, measured);
            }
            Err(e) => damaged.push(Text::technical(e)),
        }
    }
    (members, damaged)
}

fn measure_one<R: Read + Seek>(
    container: &mut ContainerReader<R>,
    manifests: &Manifests,
    name: &str,
) -> probity_pki::Result<Measured> {
    let listed = [&manifests.event, &manifests.seal].into_iter().flatten();
    let listed = listed
        .filter_map(|manifest| manifest.reference(name))
        .map(|r| r.algorithm);
    let stated = [HashAlgorithm::Sha3_256, HashAlgorithm::Sha256];
    let mut hashes = Hashes::new(listed.chain(stated));
    let mut from = container.stream(name)?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut size_bytes = 0;
    loop {
        let read = from.read(&mut piece)?;
        if read == 0 {
            return Ok(Measured {
                size_bytes,
                digests: hashes.finish(),
            });
        }
        size_bytes += read as u64;
        hashes.update(piece.get(..read).unwrap_or_default());
    }
}

/// Compares. The first things found wrong are named.
pub fn check(
    members: &Members,
    manifests: &Manifests,
    mut wrong: Vec<Text>,
    all: &[String],
) -> (CheckResult, Text) {
    let Some(event) = &manifests.event else {
        wrong.push(Text::new(
            format!("{EVENT_MANIFEST} is missing or unreadable"),
            format!("{EVENT_MANIFEST} 缺失或无法读取"),
        ));
        return (CheckResult::Failed, join(&wrong));
    };
    if event.signature != EVENT_SIGNATURE {
        wrong.push(other_signature(EVENT_MANIFEST));
    }
    compare(event, EVENT_MANIFEST, members, &mut wrong);
    if let Some(seal) = &manifests.seal {
        if seal.signature != SEAL_SIGNATURE {
            wrong.push(other_signature(SEAL_MANIFEST));
        }
        compare(seal, SEAL_MANIFEST, members, &mut wrong);
    }
    for name in all {
        if !is_covered(name, event, manifests.seal.as_ref()) {
            wrong.push(Text::new(
                format!("{name:?} is in no manifest"),
                format!("文件 {name:?} 不在任何清单内"),
            ));
        }
    }
    if wrong.is_empty() {
        let count = all.len();
        let words = Text::new(
            format!("{count} members, all listed and unchanged"),
            format!("共 {count} 个成员，均在清单内且未改动"),
        );
        return (CheckResult::Passed, words);
    }
    (CheckResult::Failed, join(&wrong))
}

fn compare(manifest: &Manifest, name: &str, members: &Members, wrong: &mut Vec<Text>) {
    for reference in &manifest.references {
        let member = &reference.member;
        let Some(measured) = members.get(member) else {
            wrong.push(Text::new(
                format!("{member:?} is listed in {name} but missing or damaged"),
                format!("{name} 所列文件 {member:?} 缺失或损坏"),
            ));
            continue;
        };
        if measured.digest(reference.algorithm) != Some(&reference.digest) {
            wrong.push(Text::new(
                format!("{member:?} differs from its digest in {name}"),
                format!("文件 {member:?} 与 {name} 中的摘要不符"),
            ));
        }
    }
}

/// Statement and artifacts must be under the event signature, whatever else seals them; everything
/// but the media type and a signature's own two members must be under some signature.
fn is_covered(name: &str, event: &Manifest, seal: Option<&Manifest>) -> bool {
    if name == MIMETYPE_MEMBER || name == SEAL_MANIFEST || name == SEAL_SIGNATURE {
        return true;
    }
    if name == STATEMENT || name.starts_with(ARTIFACTS) {
        return event.reference(name).is_some();
    }
    // The log signs its own checkpoint, and the proof is checked against that.
    let own = [EVENT_MANIFEST, EVENT_SIGNATURE, CHECKPOINT, INCLUSION].contains(&name);
    match seal {
        Some(seal) => seal.reference(name).is_some(),
        None => own || event.reference(name).is_some(),
    }
}

fn other_signature(manifest: &str) -> Text {
    Text::new(
        format!("{manifest} names another signature"),
        format!("{manifest} 指向其他签名"),
    )
}

/// Names the first few; a report is not a listing.
pub fn join(texts: &[Text]) -> Text {
    const SHOWN: usize = 5;
    let shown = texts.iter().take(SHOWN);
    let mut en: Vec<&str> = shown.clone().map(|text| text.en.as_str()).collect();
    let mut zh: Vec<&str> = shown.map(|text| text.zh.as_str()).collect();
    let more = texts.len().saturating_sub(SHOWN);
    let (more_en, more_zh) = (format!("and {more} more"), format!("另有 {more} 项"));
    if more > 0 {
        en.push(&more_en);
        zh.push(&more_zh);
    }
    Text::new(en.join("; "), zh.join("；"))
}
