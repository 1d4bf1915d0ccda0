//! `log/low-water` in bucket `work`: where the walk begins. Losing it costs a walk from the first submission.

use std::collections::BTreeSet;

use probity_domain::{SubmissionId, Timestamp};
use probity_platform::objects::Objects;
use probity_platform::{Error, Result};
use serde::{Deserialize, Serialize};

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
