//! Algorithms, and how long each may be relied on (EN 319 102-1 5.2.8).
//!
//! A key must have been strong when it signed: that time is proven by what covers the signature. What
//! nothing newer covers must be strong at the time of verification: the time-stamp, the log's
//! checkpoint, the seal, and every digest that binds a file.

use probity_domain::Timestamp;
use probity_pki::algorithm::{key_name, signature_hash};
use probity_pki::x509::Certificate;

use crate::check::CheckResult;
use crate::parts::Parts;
use crate::policy::Policy;
use crate::signature::{Outcome, Signed};
use crate::text::Text;

/// Checkpoints are signed with Ed25519, the log's tree is of SHA-256 (C2SP tlog-checkpoint, tlog-tiles).
const LOG: [&str; 2] = ["Ed25519", "SHA-256"];

/// One algorithm relied on at a time.
struct Use {
    algorithm: String,
    what: (&'static str, &'static str),
    at: Timestamp,
}

/// The paths that were found to roots.
pub struct Paths<'p> {
    pub signer: &'p [Certificate],
    pub unit: &'p [Certificate],
    pub has_log: bool,
}

/// Every algorithm in use is one the policy accepts, for as long as it is relied on.
pub fn check(parts: &Parts, paths: &Paths<'_>, policy: &Policy) -> Outcome {
    let (mut unknown, mut ended) = (Vec::new(), Vec::new());
    let uses = uses(parts, paths, policy);
    let mut names: Vec<&str> = Vec::new();
    for one in &uses {
        let (algorithm, (en, zh), at) = (&one.algorithm, one.what, one.at);
        if !names.contains(&algorithm.as_str()) {
            names.push(algorithm);
        }
        match policy.accepted(algorithm) {
            None => unknown.push(Text::new(
                format!("{algorithm} ({en}) is not accepted"),
                format!("不接受算法 {algorithm}（{zh}）"),
            )),
            Some(Some(until)) if at > until => ended.push(Text::new(
                format!(
                    "{algorithm} ({en}) is accepted until {until} only, and nothing newer covers it"
                ),
                format!("算法 {algorithm}（{zh}）仅接受至 {until}，且无更新的证明予以覆盖"),
            )),
            Some(_) => {}
        }
    }
    if !unknown.is_empty() {
        return (CheckResult::Failed, Text::join(&unknown));
    }
    if !ended.is_empty() {
        return (CheckResult::Indeterminate, Text::join(&ended));
    }
    let names = names.join(", ");
    let words = Text::new(
        format!("all accepted: {names}"),
        format!("均可接受：{names}"),
    );
    (CheckResult::Passed, words)
}

fn uses(parts: &Parts, paths: &Paths<'_>, policy: &Policy) -> Vec<Use> {
    let mut uses = Vec::new();
    let mut add = |algorithm: String, what, at| {
        uses.push(Use {
            algorithm,
            what,
            at,
        });
    };
    let now = policy.at;
    for manifest in [&parts.event_manifest, &parts.seal_manifest] {
        for reference in manifest.read().into_iter().flat_map(|m| &m.references) {
            let name = reference.algorithm.name().to_owned();
            add(name, ("digests of files", "文件摘要"), now);
        }
    }
    if let Some(event) = parts.event.read() {
        let signed_at = event.proven_time(policy).unwrap_or(now);
        signature(
            event,
            paths.signer,
            ("signature", "签名"),
            signed_at,
            &mut add,
        );
        if let Some(stamp) = &event.stamp {
            let imprint = stamp.token.tst_info().imprint.algorithm.name().to_owned();
            let what = ("time-stamp", "时间戳");
            add(imprint, what, now);
            add(stamp.token.digest_algorithm().name().to_owned(), what, now);
            path(paths.unit, what, now, &mut add);
        }
    }
    if let Some(seal) = parts.seal.read() {
        let certificate = seal.data.signer_certificate().cloned();
        let certificates: Vec<Certificate> = certificate.into_iter().collect();
        signature(seal, &certificates, ("seal", "封签"), now, &mut add);
    }
    if paths.has_log {
        for name in LOG {
            add(name.to_owned(), ("log", "日志"), now);
        }
    }
    uses
}

type Add<'a> = &'a mut dyn FnMut(String, (&'static str, &'static str), Timestamp);

fn signature(
    signed: &Signed,
    certificates: &[Certificate],
    what: (&'static str, &'static str),
    at: Timestamp,
    add: Add<'_>,
) {
    add(signed.data.digest_algorithm().name().to_owned(), what, at);
    path(certificates, what, at, add);
}

/// Keys of a path, and the hash functions in the signatures below its root.
fn path(
    certificates: &[Certificate],
    what: (&'static str, &'static str),
    at: Timestamp,
    add: Add<'_>,
) {
    let unknown = |e: probity_pki::Error| e.to_string();
    for (place, certificate) in certificates.iter().enumerate() {
        add(
            key_name(certificate.spki_der()).unwrap_or_else(unknown),
            what,
            at,
        );
        let is_root = place > 0 && place + 1 == certificates.len();
        if !is_root {
            let hash = signature_hash(certificate.der());
            add(
                hash.map(|hash| hash.name().to_owned())
                    .unwrap_or_else(unknown),
                what,
                at,
            );
        }
    }
}
