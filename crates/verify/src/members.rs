//! Members against manifests: every member listed, every listed member there and unchanged.

use std::collections::BTreeMap;

use probity_pki::asic::{MIMETYPE_MEMBER, Manifest};
use probity_pki::package::{
    ARTIFACTS, CHECKPOINT, EVENT_MANIFEST, EVENT_SIGNATURE, INCLUSION, SEAL_MANIFEST,
    SEAL_SIGNATURE, STATEMENT, SUBMITTER_INSTRUCTION, SUBMITTER_MANIFEST, SUBMITTER_SIGNATURE,
};

use crate::check::CheckResult;
use crate::diagnostic::{Diagnostic, Member};
use crate::parts::{Part, Parts};
use crate::signature::Outcome;
use crate::text::Text;

/// Members by name.
pub type Members<'d> = BTreeMap<&'d str, &'d Member>;

pub fn by_name(diagnostic: &Diagnostic) -> Members<'_> {
    let members = diagnostic.members.iter();
    members
        .map(|member| (member.name.as_str(), member))
        .collect()
}

/// Compares. The first things found wrong are named.
pub fn check(members: &Members<'_>, parts: &Parts) -> Outcome {
    let mut wrong = Vec::new();
    for (name, member) in members {
        if let Some(reason) = &member.damaged {
            wrong.push(Text::new(
                format!("{name:?} is damaged: {}", reason.en),
                format!("文件 {name:?} 已损坏：{}", reason.zh),
            ));
        }
    }
    let manifests = [
        (&parts.event_manifest, EVENT_MANIFEST, EVENT_SIGNATURE),
        (&parts.seal_manifest, SEAL_MANIFEST, SEAL_SIGNATURE),
        (
            &parts.submitter_manifest,
            SUBMITTER_MANIFEST,
            SUBMITTER_SIGNATURE,
        ),
    ];
    for (part, name, signature) in manifests {
        match part {
            Part::Absent if name == EVENT_MANIFEST => wrong.push(Text::new(
                format!("{name} is missing"),
                format!("{name} 缺失"),
            )),
            Part::Absent => {}
            Part::Unreadable(reason) => wrong.push(reason.clone()),
            Part::Read(manifest) => compare(manifest, name, signature, members, &mut wrong),
        }
    }
    if let Some(event) = parts.event_manifest.read() {
        let seal = parts.seal_manifest.read();
        for name in members.keys().filter(|name| !is_covered(name, event, seal)) {
            wrong.push(Text::new(
                format!("{name:?} is in no manifest"),
                format!("文件 {name:?} 不在任何清单内"),
            ));
        }
    }
    if wrong.is_empty() {
        let count = members.len();
        let words = Text::new(
            format!("{count} members, all listed and unchanged"),
            format!("共 {count} 个成员，均在清单内且未改动"),
        );
        return (CheckResult::Passed, words);
    }
    (CheckResult::Failed, Text::join(&wrong))
}

fn compare(
    manifest: &Manifest,
    name: &str,
    signature: &str,
    members: &Members<'_>,
    wrong: &mut Vec<Text>,
) {
    if manifest.signature != signature {
        wrong.push(Text::new(
            format!("{name} names another signature"),
            format!("{name} 指向其他签名"),
        ));
    }
    for reference in &manifest.references {
        let member = &reference.member;
        let Some(measured) = members.get(member.as_str()) else {
            wrong.push(Text::new(
                format!("{member:?} is listed in {name} but missing"),
                format!("{name} 所列文件 {member:?} 缺失"),
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
    // The log signs its own checkpoint, and the proof is checked against that; the statement names the
    // submitter's own signature and what it covers by their digests.
    let own = [
        EVENT_MANIFEST,
        EVENT_SIGNATURE,
        CHECKPOINT,
        INCLUSION,
        SUBMITTER_INSTRUCTION,
        SUBMITTER_MANIFEST,
        SUBMITTER_SIGNATURE,
    ]
    .contains(&name);
    match seal {
        Some(seal) => seal.reference(name).is_some(),
        None => own || event.reference(name).is_some(),
    }
}
