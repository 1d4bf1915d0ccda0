//! What is not as it was written, and what is done about it.

use std::collections::BTreeSet;
use std::fmt;

use futures::StreamExt as _;
use probity_platform::ledger::{History, Ledger};
use probity_proto::ledger::FindingEvent;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::check::{Expect, verified};
use super::position::Position;
use super::versions::versions_of;
use super::{Result, Scrubber};
use crate::insistent::of_object;

const ACTOR: &str = "role:storage";
const STREAMS_AT_ONCE: usize = 1000;

/// Kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Missing,
    /// Other bytes than were written, or none that read.
    Wrong,
    /// The first part of what was written.
    Truncated,
    /// Somebody wrote over a key that is written once.
    SecondVersion,
    /// Somebody removed it; earlier versions may stand.
    Removed,
}

impl What {
    /// The word in the ledger and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Wrong => "wrong",
            Self::Truncated => "truncated",
            Self::SecondVersion => "second_version",
            Self::Removed => "removed",
        }
    }
}

/// One object that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub key: String,
    pub what: What,
    pub detail: String,
    /// The right bytes stand there again.
    pub repaired: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repaired = if self.repaired { "; repaired" } else { "" };
        let (what, key, detail) = (self.what.as_str(), &self.key, &self.detail);
        write!(f, "{what} {key}: {detail}{repaired}")
    }
}

impl Scrubber {
    /// Says what was found, once, and repairs it where the right bytes can be had.
    pub(super) async fn found(
        &self,
        position: &mut Position,
        key: &str,
        (what, detail): (What, String),
        expect: Option<&Expect>,
    ) -> Result<()> {
        // Neighbours in the log find the same tile.
        if position
            .findings
            .iter()
            .any(|f| f.key == key && f.what == what)
        {
            return Ok(());
        }
        tracing::error!(
            key,
            what = what.as_str(),
            detail,
            "an object is not as it was written"
        );
        let event = FindingEvent::Found {
            key: key.to_owned(),
            what: what.as_str().to_owned(),
            detail: detail.clone(),
        };
        self.record(position, key, event).await;
        let from = match expect {
            Some(expect) => self.try_repair(position, key, what, expect).await,
            None => None,
        };
        if let Some(from) = from {
            tracing::warn!(key, from, "repaired");
            self.close(position, key, from).await?;
        }
        position.add(Finding {
            key: key.to_owned(),
            what,
            detail,
            repaired: from.is_some(),
        });
        Ok(())
    }

    /// The right bytes stand there, and so many versions with them.
    async fn close(&self, position: &Position, key: &str, from: &str) -> Result<()> {
        let event = FindingEvent::Repaired {
            key: key.to_owned(),
            from: from.to_owned(),
            versions: versions_of(&*self.truth, key)
                .await?
                .map_or(1, |versions| versions.len() as u64),
        };
        self.record(position, key, event).await;
        Ok(())
    }

    /// Closes what was found once and is found no more: somebody else put it right, it could not be read for a while, or it
    /// was repaired by a process that ended before it could say so.
    pub(super) async fn close_findings(&self, position: &Position) -> Result<()> {
        // Findings beyond those kept in full are not known by their keys.
        if position.findings_total > position.findings.len() as u64 {
            return Ok(());
        }
        let mut after: Option<String> = None;
        loop {
            let ids = self
                .ledger
                .ids::<FindingEvent>(after.as_deref(), STREAMS_AT_ONCE);
            let ids = ids.await?;
            for id in &ids {
                let Ok(history) = of_object(self.ledger.read::<FindingEvent>(id).await)? else {
                    continue;
                };
                let key = open_bytes(&history).filter(|key| position.has_read_well(key));
                if let Some(key) = key {
                    tracing::info!(key, "found no more");
                    self.close(position, key, "elsewhere").await?;
                }
            }
            if ids.len() < STREAMS_AT_ONCE {
                return Ok(());
            }
            after = ids.last().cloned();
        }
    }

    /// An event, unless it was said since the last repair. What cannot be written is in the log and found again next lap.
    async fn record(&self, position: &Position, key: &str, event: FindingEvent) {
        let cause = format!("scrub:{}", position.lap);
        let id = id_of(key);
        let recorded = self.ledger.update(&id, ACTOR, &cause, |history| {
            let said = match &event {
                FindingEvent::Found { .. } => since_repair(history).any(|said| *said == event),
                FindingEvent::Repaired { .. } => history.facts().next_back() == Some(&event),
            };
            Ok((!said).then(|| event.clone()))
        });
        if let Err(e) = recorded.await {
            tracing::error!(key, error = %e, "a finding could not be recorded");
        }
    }

    /// A repair that fails is tried again by the next lap: it must not keep this one from finding more.
    async fn try_repair(
        &self,
        position: &Position,
        key: &str,
        what: What,
        expect: &Expect,
    ) -> Option<&'static str> {
        match self.repair(position, key, what, expect).await {
            Ok(from) => from,
            Err(e) => {
                tracing::error!(key, error = %e, "not repaired");
                None
            }
        }
    }

    /// Writes the right bytes again, from what the log says or from the replica; answers from where.
    async fn repair(
        &self,
        position: &Position,
        key: &str,
        what: What,
        expect: &Expect,
    ) -> Result<Option<&'static str>> {
        // Where nothing keeps what would be written over, a person has to look first.
        if what != What::Missing && !position.keeping.versions {
            return Ok(None);
        }
        if let Expect::Bytes(bytes) = expect {
            self.write_again(key, what, bytes.len() as u64, bytes.clone().into())
                .await?;
            return Ok(Some("log"));
        }
        let Some(replica) = &self.replica else {
            return Ok(None);
        };
        // Twice: once to know, once to write, for it may be larger than memory.
        let Some((size_bytes, bytes)) = replica.get_streamed(key).await? else {
            return Ok(None);
        };
        if !expect.matches(bytes).await? {
            tracing::error!(key, "the replica's bytes are not the right ones either");
            return Ok(None);
        }
        let Some((_, bytes)) = replica.get_streamed(key).await? else {
            return Ok(None);
        };
        let body = verified(bytes, expect.clone());
        self.write_again(key, what, size_bytes, body).await?;
        Ok(Some("replica"))
    }

    async fn write_again(&self, key: &str, what: What, size_bytes: u64, body: Body) -> Result<()> {
        let body = match body {
            Body::Whole(bytes) => futures::stream::iter([Ok(bytes)]).boxed(),
            Body::Stream(stream) => stream,
        };
        match what {
            What::Missing => self
                .truth
                .create_streamed(key, size_bytes, body)
                .await
                .map(drop)?,
            _ => self.truth.put_streamed(key, size_bytes, body).await?,
        }
        // The store's hold is on the version that was there.
        self.custody.follow(&BTreeSet::from([key.to_owned()])).await
    }
}

/// The right bytes, from memory or from afar.
pub(super) enum Body {
    Whole(bytes::Bytes),
    Stream(probity_platform::objects::ByteStream),
}

impl From<bytes::Bytes> for Body {
    fn from(bytes: bytes::Bytes) -> Self {
        Self::Whole(bytes)
    }
}

/// All that was ever found about a key, and done about it.
pub(crate) async fn findings(ledger: &Ledger, key: &str) -> Result<History<FindingEvent>> {
    ledger.read(&id_of(key)).await
}

/// What was found since the last repair, newest first.
fn since_repair(history: &History<FindingEvent>) -> impl Iterator<Item = &FindingEvent> {
    let found = |event: &&FindingEvent| matches!(event, FindingEvent::Found { .. });
    history.facts().rev().take_while(found)
}

/// Something was found that no repair ended.
pub(crate) fn is_open(history: &History<FindingEvent>) -> bool {
    since_repair(history).next().is_some()
}

/// The key, where its bytes were found not to be right and no repair ended it. Versions do not come right by themselves.
fn open_bytes(history: &History<FindingEvent>) -> Option<&str> {
    let bytes = [What::Missing, What::Wrong, What::Truncated].map(What::as_str);
    since_repair(history).find_map(|event| match event {
        FindingEvent::Found { key, what, .. } if bytes.contains(&what.as_str()) => {
            Some(key.as_str())
        }
        _ => None,
    })
}

/// How many versions of the key its first writing and recorded repairs account for.
pub(crate) fn accounted(history: &History<FindingEvent>) -> u64 {
    let repaired = history.facts().rev().find_map(|event| match event {
        FindingEvent::Repaired { versions, .. } => Some(*versions),
        FindingEvent::Found { .. } => None,
    });
    repaired.unwrap_or(1)
}

/// Keys have slashes; streams of the ledger do not.
fn id_of(key: &str) -> String {
    hex::encode(sha2::Sha256::digest(key))
}
