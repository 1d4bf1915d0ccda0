//! Algorithms, and how long each may be relied on (EN 319 102-1 5.2.8).
//!
//! A key must have been strong when it signed: that time is proven by what covers the signature. What
//! nothing newer covers must be strong at the time of verification: the time-stamp, the log's
//! checkpoint, the seal, and every digest that binds a file.

use probity_domain::Timestamp;
use probity_pki::algorithm::{key_name, signature_hash};
use probity_pki::asic::Manifest;
use probity_pki::path::Path;
use probity_pki::x509::Certificate;

use crate::check::CheckResult;
use crate::policy::Policy;
use crate::signature::{Outcome, Signed, Stamp};
use crate::text::Text;

/// Checkpoints are signed with Ed25519, the log's tree is of SHA-256 (C2SP tlog-checkpoint, tlog-tiles).
const LOG: [&str; 2] = ["Ed25519", "SHA-256"];

/// Where something is relied on, in both languages.
pub type Place = (&'static str, &'static str);

pub const SIGNATURE: Place = ("signature", "签名");
pub const SEAL: Place = ("seal", "封签");
pub const SUBMITTER: Place = ("submitter's signature", "提交人签名");
pub const RECEIPT: Place = ("receipt", "回执");
const FILES: Place = ("digests of files", "文件摘要");
const TIME_STAMP: Place = ("time-stamp", "时间戳");
const STATUS: Place = ("revocation data", "吊销信息");

/// One algorithm relied on at a time.
struct Use {
    algorithm: String,
    place: Place,
    at: Timestamp,
}

/// Every algorithm that a check relied on.
#[derive(Default)]
pub struct Relied {
    uses: Vec<Use>,
}

impl Relied {
    fn add(&mut self, algorithm: impl Into<String>, place: Place, at: Timestamp) {
        self.uses.push(Use {
            algorithm: algorithm.into(),
            place,
            at,
        });
    }

    pub fn files(&mut self, manifest: &Manifest, now: Timestamp) {
        for reference in &manifest.references {
            self.add(reference.algorithm.name(), FILES, now);
        }
    }

    pub fn log(&mut self, now: Timestamp) {
        for name in LOG {
            self.add(name, ("log", "日志"), now);
        }
    }

    /// A signature, and its path if there is one; else the signer's own key.
    pub fn signature(&mut self, signed: &Signed, path: Option<&Path>, place: Place, at: Timestamp) {
        self.add(signed.data.digest_algorithm().name(), place, at);
        match (path, signed.data.signer_certificate()) {
            (Some(path), _) => self.certificates(&path.certificates, place, at),
            (None, Ok(signer)) => self.certificates(std::slice::from_ref(signer), place, at),
            (None, Err(_)) => {}
        }
    }

    /// A time-stamp, which nothing newer covers.
    pub fn time_stamp(&mut self, stamp: &Stamp, path: Option<&Path>, now: Timestamp) {
        let imprint = stamp.token.tst_info().imprint.algorithm;
        self.add(imprint.name(), TIME_STAMP, now);
        self.add(stamp.token.digest_algorithm().name(), TIME_STAMP, now);
        if let Some(path) = path {
            self.certificates(&path.certificates, TIME_STAMP, now);
        }
    }

    /// Who said that no certificate of a path was revoked; covered by something that proves `at`.
    pub fn status(&mut self, path: &Path, at: Timestamp) {
        for word in &path.told_by {
            self.add(word.hash.name(), STATUS, at);
            let is_on_path = path.certificates.contains(&word.signer);
            self.key(&word.signer, STATUS, at);
            // A responder's certificate is on no path.
            if !is_on_path {
                self.hash(&word.signer, STATUS, at);
            }
        }
    }

    /// Keys of a path, and the hash functions in the signatures below its root.
    fn certificates(&mut self, certificates: &[Certificate], place: Place, at: Timestamp) {
        for (number, certificate) in certificates.iter().enumerate() {
            self.key(certificate, place, at);
            let is_root = number > 0 && number + 1 == certificates.len();
            if !is_root {
                self.hash(certificate, place, at);
            }
        }
    }

    fn key(&mut self, certificate: &Certificate, place: Place, at: Timestamp) {
        let name = key_name(certificate.spki_der());
        self.add(name.unwrap_or_else(|e| e.to_string()), place, at);
    }

    fn hash(&mut self, certificate: &Certificate, place: Place, at: Timestamp) {
        let hash = signature_hash(certificate.der());
        let name = hash.map(|hash| hash.name().to_owned());
        self.add(name.unwrap_or_else(|e| e.to_string()), place, at);
    }
}

/// Every algorithm in use is one the policy accepts, for as long as it is relied on.
pub fn check(relied: &Relied, policy: &Policy) -> Outcome {
    let (mut unknown, mut ended) = (Vec::new(), Vec::new());
    let mut names: Vec<&str> = Vec::new();
    for one in &relied.uses {
        let (algorithm, (en, zh), at) = (&one.algorithm, one.place, one.at);
        if !names.contains(&algorithm.as_str()) {
            names.push(algorithm);
        }
        let (texts, text) = match policy.accepted(algorithm) {
            None => (
                &mut unknown,
                Text::new(
                    format!("{algorithm} ({en}) is not accepted"),
                    format!("不接受算法 {algorithm}（{zh}）"),
                ),
            ),
            Some(Some(until)) if at > until => (
                &mut ended,
                Text::new(
                    format!(
                        "{algorithm} ({en}) is accepted until {until} only, and nothing newer covers it"
                    ),
                    format!("算法 {algorithm}（{zh}）仅接受至 {until}，且无更新的证明予以覆盖"),
                ),
            ),
            Some(_) => continue,
        };
        if !texts.contains(&text) {
            texts.push(text);
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
