//! Object lock protects versions, not keys (trap 13): whoever may write can put a second version over the first, and
//! whoever may delete can hide it. Both leave the first where it is, and both show in a listing of versions.

use std::collections::BTreeMap;

use probity_platform::ledger::Ledger;
use probity_platform::objects::{KeyVersion, Objects, PROBES, VersionPage};

use super::finding::{What, accounted, findings};
use super::position::Position;
use super::{Result, Scrubber};
use crate::insistent::of_object;

const PAGE: u16 = 1000;
/// Versions that a finding names.
const NAMED_MAX: usize = 8;

impl Scrubber {
    pub(super) async fn step_versions(&self, position: &mut Position) -> Result<()> {
        let listed = self.truth.list_versions("", position.mark.as_ref(), PAGE);
        let Some(page) = listed.await? else {
            position.next_area();
            return Ok(());
        };
        position.count(page.versions.len() as u64, 0);
        for key in several(&page) {
            if let Some(found) = unaccounted(&*self.truth, &self.ledger, key).await? {
                self.found(position, key, found, None).await?;
            }
        }
        position.mark = page.next;
        if position.mark.is_none() {
            position.next_area();
        }
        Ok(())
    }
}

/// Keys of a page with more than one version, or hidden ones.
pub(crate) fn several(page: &VersionPage) -> Vec<&str> {
    // A key at the page's end may go on in the next: there it is met as an older version of itself.
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for version in &page.versions {
        let count = seen.entry(&version.key).or_default();
        *count += 1 + u64::from(!version.latest || version.delete_marker);
    }
    let several = seen.into_iter().filter(|(_, count)| *count > 1);
    several
        .map(|(key, _)| key)
        .filter(|key| !key.starts_with(PROBES))
        .collect()
}

/// Versions and delete markers of one key, at most a thousand; `None` where the store keeps none.
pub(crate) async fn versions_of(truth: &dyn Objects, key: &str) -> Result<Option<Vec<KeyVersion>>> {
    let page = truth.list_versions(key, None, PAGE).await?;
    Ok(page.map(|page| {
        let mine = page.versions.into_iter().filter(|v| v.key == key);
        mine.collect()
    }))
}

/// What is wrong with the versions of one key; `None` when its first writing and recorded repairs account for them.
pub(crate) async fn unaccounted(
    truth: &dyn Objects,
    ledger: &Ledger,
    key: &str,
) -> Result<Option<(What, String)>> {
    let mine = versions_of(truth, key).await?.unwrap_or_default();
    let latest = mine.iter().find(|v| v.latest);
    if let Some(marker) = latest.filter(|v| v.delete_marker) {
        let (marker, count) = (&marker.id, mine.len());
        let detail = format!("hidden by delete marker {marker}, {count} versions");
        return Ok(Some((What::Removed, detail)));
    }
    // Repairs whose record does not read account for nothing.
    let known = of_object(findings(ledger, key).await)?;
    let known = known.map_or(1, |history| accounted(&history));
    if mine.len() as u64 <= known {
        return Ok(None);
    }
    let ids = mine.iter().take(NAMED_MAX).map(|v| v.id.as_str());
    let ids = ids.collect::<Vec<_>>().join(", ");
    let more = if mine.len() > NAMED_MAX { ", …" } else { "" };
    let detail = format!("{} versions, newest first: {ids}{more}", mine.len());
    Ok(Some((What::SecondVersion, detail)))
}
