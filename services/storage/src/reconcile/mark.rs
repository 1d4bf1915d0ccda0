//! `log/low-water` in bucket `work`: where the walk begins. Losing it costs a walk from the first submission.

use std::collections::BTreeSet;

use probity_domain::{SubmissionId, Timestamp};
use probity_platform::objects::Objects;
use probity_platform::{Error, Result, quarantine};
use serde::{Deserialize, Serialize};

use super::{HOUR_MS, Reconciler, SUBMISSIONS};
use crate::log::LOW_WATER;

const MARK_BYTES_MAX: u64 = 2 * 1024 * 1024;
const FORMAT: &str = "probity.low-water/1";

/// The oldest hour that is not over, and the submissions before it that are not.
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
            self.known_held = quarantine::submissions(&self.ledger).await?;
            self.low_water = match Mark::read(&*self.work).await? {
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
        Ok(self.low_water)
    }

    pub(super) async fn save(&self) -> Result<()> {
        match self.low_water {
            Some(low_water) => {
                let stuck = self.stuck.clone();
                Mark { low_water, stuck }.write(&*self.work).await
            }
            None => Ok(()),
        }
    }

    /// The hour of the first submission ever.
    async fn first_hour(&self) -> Result<Option<Timestamp>> {
        let first = self.truth.list(SUBMISSIONS, None, 1).await?;
        let Some(first) = first.first() else {
            return Ok(None);
        };
        let name = first.key.rsplit('/').next().unwrap_or_default();
        let id = SubmissionId::parse(name).map_err(Error::internal)?;
        Ok(Some(hour_of(id.at())))
    }
}

/// The beginning of its hour.
fn hour_of(at: Timestamp) -> Timestamp {
    let ms = at.unix_ms();
    Timestamp::from_unix_ms(ms - ms.rem_euclid(HOUR_MS))
}
