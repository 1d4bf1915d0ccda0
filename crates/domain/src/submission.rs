//! The submission: what a vendor instructed, accepted and durable before its numbers are given out.

use std::collections::HashSet;

use crate::{
    Artifact, CaseId, CredentialId, Digests, EvidenceId, IdempotencyKey, IntentId, Malformed,
    PartyId, Sha3_256, SubmissionId, TenantId, Timestamp,
};

/// Most items in one submission.
pub const ITEMS_PER_SUBMISSION_MAX: usize = 10_000;

/// Most artifacts in one item: keeps statement, manifest and signature inside one log entry.
pub const ARTIFACTS_PER_ITEM_MAX: usize = 64;

const TITLE_BYTES_MAX: usize = 512;
const URL_BYTES_MAX: usize = 2_048;

/// What statement and manifest write around an artifact's name and media type: digests, sizes, tags.
const ARTIFACT_FRAME_BYTES: usize = 480;
/// Of a record ([`crate::RECORD_BYTES_MAX`]) for what the item brings; the rest is for who submitted it, the signature
/// and the time-stamp: bytes.
pub const ITEM_RECORD_BYTES_MAX: usize = 44 * 1024;

/// Why the evidence was made (C11): decides which steps are mandatory and what the certificate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    Ownership,
    Infringement,
    Defence,
    Neutral,
}

impl Purpose {
    /// The word on the wire and in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ownership => "ownership",
            Self::Infringement => "infringement",
            Self::Defence => "defence",
            Self::Neutral => "neutral",
        }
    }

    /// Parses the word.
    ///
    /// # Errors
    /// [`Malformed`] for any other word.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        [
            Self::Ownership,
            Self::Infringement,
            Self::Defence,
            Self::Neutral,
        ]
        .into_iter()
        .find(|p| p.as_str() == text)
        .ok_or_else(|| {
            Malformed::new(
                "purpose",
                "expected ownership, infringement, defence or neutral",
            )
        })
    }
}

/// One capture of a submission: becomes one piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    title: String,
    purpose: Purpose,
    source_url: Option<String>,
    declared_captured_at: Option<Timestamp>,
    artifacts: Vec<Artifact>,
}

impl Item {
    /// Checks and builds an item.
    ///
    /// # Errors
    /// [`Malformed`] when the title or URL is out of bounds or holds control characters, when there is no artifact or
    /// too many, or when two artifacts have names that differ in nothing but case.
    pub fn new(
        title: String,
        purpose: Purpose,
        source_url: Option<String>,
        declared_captured_at: Option<Timestamp>,
        artifacts: Vec<Artifact>,
    ) -> Result<Self, Malformed> {
        if title.is_empty() || title.len() > TITLE_BYTES_MAX || title.chars().any(char::is_control)
        {
            return Err(Malformed::new(
                "title",
                "1 to 512 bytes without control characters",
            ));
        }
        if let Some(url) = &source_url {
            let known = url.starts_with("https://") || url.starts_with("http://");
            if !known
                || url.len() > URL_BYTES_MAX
                || url.chars().any(|c| c.is_control() || c == ' ')
            {
                return Err(Malformed::new(
                    "source url",
                    "http or https, at most 2048 bytes, no spaces",
                ));
            }
        }
        if artifacts.is_empty() || artifacts.len() > ARTIFACTS_PER_ITEM_MAX {
            return Err(Malformed::new(
                "artifacts",
                format!("1 to {ARTIFACTS_PER_ITEM_MAX} of them"),
            ));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = artifacts.iter().find(|a| !seen.insert(a.name.folded())) {
            return Err(Malformed::new(
                "artifacts",
                format!("the name {} stands twice", twice.name),
            ));
        }
        Ok(Self {
            title,
            purpose,
            source_url,
            declared_captured_at,
            artifacts,
        })
    }

    /// What the item takes in statement and manifest, at most: bytes.
    #[must_use]
    pub fn record_bytes(&self) -> usize {
        // In JSON quotes and backslashes have two bytes; in the manifest a name is a URI, where most bytes have three.
        let json = |text: &str| {
            text.bytes()
                .map(|b| 1 + usize::from(matches!(b, b'"' | b'\\')))
                .sum::<usize>()
        };
        let uri = |b: u8| if b.is_ascii_alphanumeric() { 1 } else { 3 };
        let artifact = |a: &Artifact| {
            let name = a.name.as_str();
            let media_types = 2 * a.media_type.as_str().len();
            ARTIFACT_FRAME_BYTES + media_types + json(name) + name.bytes().map(uri).sum::<usize>()
        };
        let texts = json(&self.title) + self.source_url.as_deref().map_or(0, json);
        texts + self.artifacts.iter().map(artifact).sum::<usize>()
    }

    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    #[must_use]
    pub const fn purpose(&self) -> Purpose {
        self.purpose
    }

    #[must_use]
    pub fn source_url(&self) -> Option<&str> {
        self.source_url.as_deref()
    }

    /// When the vendor says the capture was made; a declaration, not proven by anything here.
    #[must_use]
    pub const fn declared_captured_at(&self) -> Option<Timestamp> {
        self.declared_captured_at
    }

    #[must_use]
    pub fn artifacts(&self) -> &[Artifact] {
        &self.artifacts
    }

    /// What makes two items the same capture: their artifacts' names and digests, in order of name.
    #[must_use]
    pub fn identity(&self) -> Vec<(&str, Digests)> {
        let mut parts: Vec<_> = self
            .artifacts
            .iter()
            .map(|a| (a.name.as_str(), a.digests))
            .collect();
        parts.sort_unstable_by_key(|(name, _)| *name);
        parts
    }
}

/// What became of one line of a vendor's manifest: an accepted item, or the reason it was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemOutcome {
    Accepted(Item),
    Refused(Malformed),
}

/// The submitter's own signature on its instruction, as it was verified before the submission was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitterSignature {
    /// Of the CMS signature's bytes, which are kept under this digest.
    pub sha3_256: Sha3_256,
    /// Of the instruction's bytes, which are kept under this digest.
    pub instruction_sha3_256: Sha3_256,
    /// Subject of the signer's certificate, RFC 4514 text.
    pub signer: String,
}

/// Everything a submission is made of, before the checks that hold over the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmissionDraft {
    pub id: SubmissionId,
    pub tenant: TenantId,
    pub party: PartyId,
    pub credential: CredentialId,
    /// A client of the vendor, when it acts under a mandate (W8).
    pub on_behalf_of: Option<PartyId>,
    /// Sent by an unattended system of the vendor (W8).
    pub automated: bool,
    pub case: CaseId,
    pub intent: Option<IntentId>,
    pub idempotency_key: IdempotencyKey,
    /// SHA-256 of the instruction as the vendor sent it; what the intent's one-time code was bound to.
    pub instruction_sha256: crate::Sha256,
    /// `None` when the submitter did not sign for itself.
    pub submitter_signature: Option<SubmitterSignature>,
    pub received_at: Timestamp,
    /// One outcome per line of the manifest, in its order: an item's place is its number.
    pub items: Vec<ItemOutcome>,
}

/// An accepted instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission(SubmissionDraft);

impl Submission {
    /// Checks what holds over the whole.
    ///
    /// # Errors
    /// [`Malformed`] when there are no items, or too many.
    pub fn new(draft: SubmissionDraft) -> Result<Self, Malformed> {
        if draft.items.is_empty() || draft.items.len() > ITEMS_PER_SUBMISSION_MAX {
            return Err(Malformed::new(
                "items",
                format!("1 to {ITEMS_PER_SUBMISSION_MAX} of them"),
            ));
        }
        Ok(Self(draft))
    }

    /// Nothing of it was accepted: it only keeps its place from being used.
    #[must_use]
    pub fn is_void(&self) -> bool {
        self.accepted().next().is_none()
    }

    /// The accepted items with the evidence number of each.
    pub fn accepted(&self) -> impl Iterator<Item = (EvidenceId, &Item)> {
        let submission = self.0.id;
        self.0
            .items
            .iter()
            .zip(0u32..)
            .filter_map(move |(outcome, item)| match outcome {
                ItemOutcome::Accepted(accepted) => {
                    Some((EvidenceId { submission, item }, accepted))
                }
                ItemOutcome::Refused(_) => None,
            })
    }

    /// The accepted item with this place.
    #[must_use]
    pub fn item(&self, place: u32) -> Option<&Item> {
        match self.0.items.get(place as usize)? {
            ItemOutcome::Accepted(item) => Some(item),
            ItemOutcome::Refused(_) => None,
        }
    }
}

impl core::ops::Deref for Submission {
    type Target = SubmissionDraft;

    fn deref(&self) -> &SubmissionDraft {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ArtifactName, ArtifactRole, MediaType, Sha256};

    fn artifact(name: &str) -> Artifact {
        Artifact {
            name: ArtifactName::parse(name).unwrap(),
            media_type: MediaType::parse("text/plain").unwrap(),
            role: ArtifactRole::Content,
            size_bytes: 1,
            digests: Digests {
                sha3_256: Sha3_256([1; 32]),
                sha256: Sha256([2; 32]),
            },
        }
    }

    fn item(names: &[&str]) -> Result<Item, Malformed> {
        Item::new(
            "t".into(),
            Purpose::Neutral,
            None,
            None,
            names.iter().map(|n| artifact(n)).collect(),
        )
    }

    fn draft(items: Vec<ItemOutcome>) -> SubmissionDraft {
        SubmissionDraft {
            id: SubmissionId::new(Timestamp::from_unix_ms(1), [0; 10]),
            tenant: TenantId::parse("t").unwrap(),
            party: PartyId::parse("p").unwrap(),
            credential: CredentialId::new(Timestamp::from_unix_ms(1), [0; 10]),
            on_behalf_of: None,
            automated: false,
            case: CaseId::parse("c").unwrap(),
            intent: None,
            idempotency_key: IdempotencyKey::parse("k").unwrap(),
            instruction_sha256: Sha256([0; 32]),
            submitter_signature: None,
            received_at: Timestamp::from_unix_ms(1),
            items,
        }
    }

    #[test]
    fn names_that_differ_in_case_alone_are_one_name() {
        assert!(item(&["a", "b"]).is_ok());
        assert!(item(&["a", "A"]).is_err());
        assert!(item(&[]).is_err());
    }

    #[test]
    fn a_refused_line_keeps_the_numbers_of_its_neighbours() {
        let refused = ItemOutcome::Refused(Malformed::new("title", "empty"));
        let s = Submission::new(draft(vec![
            refused.clone(),
            ItemOutcome::Accepted(item(&["a"]).unwrap()),
        ]))
        .unwrap();
        let numbers: Vec<_> = s.accepted().map(|(id, _)| id.item).collect();
        assert_eq!(numbers, [1]);
        assert!(s.item(0).is_none() && s.item(1).is_some() && s.item(2).is_none());
        assert!(!s.is_void() && Submission::new(draft(vec![refused])).unwrap().is_void());
        assert!(Submission::new(draft(vec![])).is_err());
    }

    #[test]
    fn urls_are_web_addresses() {
        let with = |url: &str| {
            Item::new(
                "t".into(),
                Purpose::Neutral,
                Some(url.into()),
                None,
                vec![artifact("a")],
            )
        };
        assert!(with("https://example.com/a?b=c").is_ok());
        for bad in [
            "javascript:alert(1)",
            "file:///etc/passwd",
            "https://a b",
            "https://a\n",
        ] {
            assert!(with(bad).is_err(), "{bad}");
        }
    }
}
