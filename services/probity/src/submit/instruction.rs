//! The instruction document, made the same from the same captures.

use probity_domain::{ArtifactRole, Sha256};
use probity_proto::http::{
    ArtifactDocument, INSTRUCTION_FORMAT, InstructionDocument, ItemDocument,
};
use sha2::Digest as _;

use super::captures::{Capture, NamedFile};
use crate::failure::Failure;

/// An instruction's bytes and what follows from them.
pub struct Instruction {
    pub bytes: Vec<u8>,
    /// What the one-time code is bound to.
    pub sha256: String,
    pub idempotency_key: String,
    pub items: usize,
}

impl Instruction {
    /// Of a batch of captures.
    pub fn of(
        batch: &[Capture],
        case: &str,
        purpose: &str,
        automated: bool,
    ) -> Result<Self, Failure> {
        let item = |capture: &Capture| {
            serde_json::to_value(ItemDocument {
                title: capture.title.clone(),
                purpose: purpose.to_owned(),
                source_url: None,
                captured_at: None,
                artifacts: capture.files.iter().map(artifact).collect(),
            })
        };
        let document = InstructionDocument {
            format: INSTRUCTION_FORMAT.to_owned(),
            case: case.to_owned(),
            automated,
            on_behalf_of: None,
            items: batch
                .iter()
                .map(item)
                .collect::<Result<_, _>>()
                .map_err(Failure::new)?,
        };
        let bytes = serde_json::to_vec(&document).map_err(Failure::new)?;
        let sha256 = Sha256(sha2::Sha256::digest(&bytes).into()).to_hex();
        Ok(Self {
            idempotency_key: format!("probity-cli-{sha256}"),
            sha256,
            bytes,
            items: batch.len(),
        })
    }
}

fn artifact(named: &NamedFile) -> ArtifactDocument {
    ArtifactDocument {
        name: named.name.clone(),
        media_type: media_type(&named.name).to_owned(),
        role: role(&named.name).as_str().to_owned(),
        size_bytes: named.file.size_bytes,
        sha3_256: named.file.digests.sha3_256.to_hex(),
        sha256: named.file.digests.sha256.to_hex(),
    }
}

/// By the name a file has in its folder.
fn role(name: &str) -> ArtifactRole {
    match name.rsplit('/').next().unwrap_or(name) {
        "process-log.json" => ArtifactRole::ProcessLog,
        "clean-check.json" => ArtifactRole::CleanCheck,
        file if file.starts_with("recording.") => ArtifactRole::Recording,
        _ => ArtifactRole::Content,
    }
}

/// What captures are usually made of; anything else is bytes.
fn media_type(name: &str) -> &'static str {
    match name
        .rsplit('.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase()
        .as_str()
    {
        "html" | "htm" => "text/html",
        "txt" => "text/plain",
        "csv" => "text/csv",
        "json" => "application/json",
        "xml" => "application/xml",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "svg" => "image/svg+xml",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "warc" | "gz" if name.contains(".warc") => "application/warc",
        "wacz" => "application/wacz",
        "eml" => "message/rfc822",
        "zip" => "application/zip",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_and_media_types() {
        assert_eq!(role("x/process-log.json"), ArtifactRole::ProcessLog);
        assert_eq!(role("page.html"), ArtifactRole::Content);
        assert_eq!(media_type("a.warc.gz"), "application/warc");
        assert_eq!(media_type("a.tar.gz"), "application/octet-stream");
        assert_eq!(media_type("A.PNG"), "image/png");
    }

    #[test]
    fn same_captures_same_key() {
        let one = Instruction::of(&[], "c", "neutral", false).unwrap();
        assert_eq!(
            one.idempotency_key,
            Instruction::of(&[], "c", "neutral", false)
                .unwrap()
                .idempotency_key
        );
        assert_ne!(
            one.idempotency_key,
            Instruction::of(&[], "d", "neutral", false)
                .unwrap()
                .idempotency_key
        );
    }
}
