//! `log/low-water` in bucket `work`: where the walk begins. Losing it costs a walk from the first submission.

use std::collections::BTreeSet;

use probity_domain::{SubmissionId, Timestamp};
use probity_platform::objects::Objects;
use probity_platform::{Error, Result, quarantine};
use serde::{Deserialize, Serialize};

use super::{HOUR_MS, PAGE, Reconciler, SUBMISSIONS, candidate};
use crate::log::LOW_WATER;

const MARK_BYTES_MAX: u64 = 2 * 1024 * 1024;
const FORMAT: &str = "probity.low-water/1";

/// The oldest hour that is not over, and the submissions before it that are not; but for those that the ledger names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub low_water: Timestamp,
    pub stuck: BTreeSet<SubmissionId>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkDocument {
    format: String,
    low_water: String,
    stuck: Vec<String>,
}

impl Mark {
    /// It can be computed again, so a mark that does not read is as good as none.
    pub async fn read(work: &dyn Objects) -> Result<Option<Self>> {
        let object = work.get(LOW_WATER, MARK_BYTES_MAX).await?;
        Ok(object.and_then(|object| Self::parse(&object.bytes)))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mark: MarkDocument = serde_json::from_slice(bytes).ok()?;
        let stuck = mark.stuck.iter().map(|id| SubmissionId::parse(id).ok());
        let low_water = Timestamp::parse_rfc3339(&mark.low_water).ok()?;
        let stuck = stuck.collect::<Option<_>>()?;
        (mark.format == FORMAT).then_some(Self { low_water, stuck })
    }

    pub async fn write(&self, work: &dyn Objects) -> Result<()> {
        let mark = MarkDocument {
            format: FORMAT.to_owned(),
            low_water: self.low_water.to_rfc3339(),
            stuck: self.stuck.iter().map(ToString::to_string).collect(),
        };
        let bytes = serde_json::to_vec(&mark).map_err(Error::internal)?;
        work.put(LOW_WATER, bytes.into()).await
    }
}

impl Reconciler {
    /// Where the walk begins; `None` while there is no submission.
    pub(super) async fn begin(&mut self, now: Timestamp) -> Result<Option<Timestamp>> {
        if self.low_water.is_none() {
            let held = quarantine::submissions(&self.ledger).await?;
            self.known_held = held.into_iter().collect();
            self.saved = Mark::read(&*self.work).await?;
            self.low_water = match self.saved.clone() {
                Some(mark) => {
                    self.stuck = mark.stuck;
                    Some(mark.low_water)
                }
                // The first ever may be from a clock that was ahead; what came after it is not to be passed over.
                None => self
                    .first_hour()
                    .await?
                    .map(|first| first.min(hour_of(now))),
            };
        }
        self.not_ahead(now).await?;
        Ok(self.low_water)
    }

    /// A mark in the future was made while this role's clock was ahead by more than an hour stays open: hours were closed
    /// in which nothing had been submitted yet. What came since was looked at by nobody, so all is walked again.
    async fn not_ahead(&mut self, now: Timestamp) -> Result<()> {
        let Some(mark) = self.low_water.filter(|mark| *mark > now) else {
            return Ok(());
        };
        // Where everything lies in the future, it is now that the clock is wrong.
        if let Some(first) = self.first_hour().await?.filter(|first| *first <= now) {
            let mark = mark.to_rfc3339();
            tracing::error!(
                mark,
                "the reconciler's mark lies in the future: walking from the first submission"
            );
            self.low_water = Some(first);
        }
        Ok(())
    }

    /// Writes the mark, if it is not what was written last.
    pub(super) async fn save(&mut self) -> Result<()> {
        let Some(low_water) = self.low_water else {
            return Ok(());
        };
        let stuck = self.stuck.clone();
        let mark = Mark { low_water, stuck };
        if self.saved.as_ref() != Some(&mark) {
            mark.write(&*self.work).await?;
            self.saved = Some(mark);
        }
        Ok(())
    }

    /// The hour of the first submission ever.
    async fn first_hour(&self) -> Result<Option<Timestamp>> {
        let mut after: Option<String> = None;
        loop {
            // Most often the first key is one.
            let limit = if after.is_none() { 1 } else { PAGE };
            let page = self
                .truth
                .list(SUBMISSIONS, after.as_deref(), limit)
                .await?;
            if let Some((id, _)) = page.iter().find_map(candidate) {
                return Ok(Some(hour_of(id.at())));
            }
            match page.last() {
                Some(last) => after = Some(last.key.clone()),
                None => return Ok(None),
            }
        }
    }
}

/// The beginning of its hour.
pub(super) fn hour_of(at: Timestamp) -> Timestamp {
    let ms = at.unix_ms();
    Timestamp::from_unix_ms(ms - ms.rem_euclid(HOUR_MS))
}
