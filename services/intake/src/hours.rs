//! Submissions in order of time, a part at a time.
//!
//! Keys are `submissions/<hour>/<shard>/<id>`: within an hour, time goes up in each of 256 shards, not from one to the next,
//! and no key says whose a submission is. A quiet hour is listed as a whole and put in order. Of a busy one the next few of
//! each shard are listed, from anywhere: they are complete up to where the first shard has more.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use probity_domain::{SubmissionId, Timestamp};
use probity_platform::Result;
use probity_platform::objects::Objects;
use probity_proto::stored::submission_of;

const PREFIX: &str = "submissions/";
const LIST_PAGE: u16 = 1_000;
const HOUR_MS: i64 = 3_600_000;
/// Listed of one shard: all of them together make some two thousand submissions, more than one page reads.
const OF_SHARD: u16 = 16;
const SHARDS_AT_ONCE: usize = 16;

/// Some submissions in order of time, none between them left out.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    pub ids: Vec<SubmissionId>,
    /// Where the next part begins.
    pub next: SubmissionId,
}

/// The next submissions at or after `from`, all of one hour; `None` when there are none up to the end of `until`'s hour, or
/// `from` is not before `until`.
/// An hour with more than `hour_max` comes in parts.
///
/// # Errors
/// Those of the store.
pub async fn part(
    truth: &dyn Objects,
    from: SubmissionId,
    until: Timestamp,
    hour_max: usize,
) -> Result<Option<Part>> {
    if from.at() >= until {
        return Ok(None);
    }
    let last_hour = until.hour_key();
    let mut after = format!("{PREFIX}{}", from.at().hour_key());
    let mut hour: Option<Timestamp> = None;
    let mut ids = Vec::new();
    'listing: loop {
        let listed = truth.list(PREFIX, Some(&after), LIST_PAGE).await?;
        for id in listed.iter().filter_map(|object| id_of(&object.key)) {
            let same = hour.get_or_insert(id.at()).hour_key() == id.at().hour_key();
            if !same || id.at().hour_key() > last_hour {
                break 'listing;
            }
            ids.push(id);
        }
        if ids.len() > hour_max {
            break;
        }
        match listed.last() {
            Some(last) if listed.len() == usize::from(LIST_PAGE) => after.clone_from(&last.key),
            _ => break,
        }
    }
    let Some(hour) = hour.filter(|hour| hour.hour_key() <= last_hour) else {
        return Ok(None);
    };
    let next = SubmissionId::new(next_hour(hour), [0; 10]);
    let part = match ids.len() > hour_max {
        true => of_shards(truth, from.max(first_of(hour)), next).await?,
        false => Part { ids, next },
    };
    Ok(Some(in_order(part, from)))
}

/// The next few of each shard of an hour, up to where they are complete.
async fn of_shards(truth: &dyn Objects, from: SubmissionId, next: SubmissionId) -> Result<Part> {
    let hour = from.at().hour_key();
    // Behind whatever is earlier but for the last digit.
    let mut before = from.to_string();
    before.pop();
    let (hour, before) = (&hour, &before);
    let shards = stream::iter(0..=u8::MAX).map(|shard| async move {
        let prefix = format!("{PREFIX}{hour}/{shard:02x}/");
        let after = format!("{prefix}{before}");
        truth.list(&prefix, Some(&after), OF_SHARD).await
    });
    let shards: Vec<_> = shards.buffered(SHARDS_AT_ONCE).try_collect().await?;
    let full = shards.iter().filter(|s| s.len() == usize::from(OF_SHARD));
    let complete_to = full
        .filter_map(|shard| id_of(&shard.last()?.key))
        .fold(next, SubmissionId::min);
    let listed = shards.iter().flatten().filter_map(|o| id_of(&o.key));
    Ok(Part {
        ids: listed.filter(|id| *id < complete_to).collect(),
        next: complete_to,
    })
}

fn in_order(mut part: Part, from: SubmissionId) -> Part {
    part.ids.retain(|id| *id >= from);
    part.ids.sort_unstable();
    part
}

fn next_hour(at: Timestamp) -> Timestamp {
    at.plus_ms(HOUR_MS - at.unix_ms().rem_euclid(HOUR_MS))
}

fn first_of(hour: Timestamp) -> SubmissionId {
    SubmissionId::new(next_hour(hour).plus_ms(-HOUR_MS), [0; 10])
}

/// What has another key than a submission's is none, and no reason to list nothing.
fn id_of(key: &str) -> Option<SubmissionId> {
    let id = submission_of(key);
    if id.is_none() {
        tracing::error!(key, "no submission has this key");
    }
    id
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;
    use probity_platform::objects::MemoryObjects;
    use probity_proto::stored::submission_key;

    use super::*;

    async fn stored(ids: &BTreeSet<SubmissionId>) -> MemoryObjects {
        let truth = MemoryObjects::new();
        for id in ids {
            truth.put(&submission_key(*id), Bytes::new()).await.unwrap();
        }
        truth.put("submissions/odd", Bytes::new()).await.unwrap();
        truth
    }

    /// All of them from `from` on, and in how many parts.
    async fn all(
        truth: &MemoryObjects,
        from: SubmissionId,
        until: Timestamp,
        hour_max: usize,
    ) -> (Vec<SubmissionId>, usize) {
        let (mut at, mut ids, mut parts) = (from, Vec::new(), 0);
        while let Some(part) = part(truth, at, until, hour_max).await.unwrap() {
            assert!(part.next > at, "it goes on");
            ids.extend(part.ids);
            (at, parts) = (part.next, parts + 1);
        }
        (ids, parts)
    }

    #[tokio::test]
    async fn a_busy_hour_comes_in_parts_to_its_end() {
        let begun = Timestamp::parse_rfc3339("2026-11-27T09:00:00Z").unwrap();
        // Nine thousand in one hour, several in one millisecond, most in few shards; a few in others.
        let mut ids = BTreeSet::new();
        for n in 0..9_000_i64 {
            let shard = u8::try_from(n % 7 * (n % 5)).unwrap();
            let [.., high, low] = n.to_be_bytes();
            let at = begun.plus_ms(n / 3 * 100);
            ids.insert(SubmissionId::new(
                at,
                [high, low, 0, 0, 0, 0, 0, 0, 0, shard],
            ));
        }
        for hours in [-1, 1, 5] {
            ids.insert(SubmissionId::new(begun.plus_ms(hours * HOUR_MS), [1; 10]));
        }
        let truth = stored(&ids).await;
        let (first, until) = (*ids.first().unwrap(), begun.plus_ms(6 * HOUR_MS));
        let expected: Vec<_> = ids.iter().copied().collect();
        assert_eq!(
            all(&truth, first, until, 100_000).await,
            (expected.clone(), 4)
        );
        let (found, parts) = all(&truth, first, until, 100).await;
        assert!(found == expected && parts > 20, "{parts} parts");
        // From the middle, and not beyond the end.
        let until = begun.plus_ms(HOUR_MS - 1);
        let (found, _) = all(&truth, expected[4_000], until, 100).await;
        assert!(found == expected[4_000..9_001], "{}", found.len());
    }
}
