//! Object lock protects versions, not keys (trap 13): whoever may write can put a second version over the first, and
//! whoever may delete can hide it. Both leave the first where it is, and both show in a listing of versions.

use std::collections::BTreeMap;

use probity_platform::objects::KeyVersion;

use super::finding::What;
use super::position::Position;
use super::{Result, Scrubber};

const PAGE: u16 = 1000;
/// Races of the store's examination, which removes nothing: no evidence.
const PROBES: &str = "probe/";

impl Scrubber {
    pub(super) async fn step_versions(&self, position: &mut Position) -> Result<()> {
        let listed = self.truth.list_versions("", position.mark.as_ref(), PAGE);
        let Some(page) = listed.await? else {
            position.next_area();
            return Ok(());
        };
        position.count(page.versions.len() as u64, 0);
        // A key at the page's end may go on in the next: there it is met as an older version of itself.
        let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
        for version in &page.versions {
            let count = seen.entry(&version.key).or_default();
            *count += 1 + u64::from(!version.latest || version.delete_marker);
        }
        for (key, count) in seen {
            if count > 1 && !key.starts_with(PROBES) {
                self.check_versions(position, key).await?;
            }
        }
        position.mark = page.next;
        if position.mark.is_none() {
            position.next_area();
        }
        Ok(())
    }

    async fn check_versions(&self, position: &mut Position, key: &str) -> Result<()> {
        let listed = self.truth.list_versions(key, None, PAGE).await?;
        let all = listed.unwrap_or_default().versions;
        let mine: Vec<&KeyVersion> = all.iter().filter(|v| v.key == key).collect();
        let latest = mine.iter().find(|v| v.latest);
        if let Some(marker) = latest.filter(|v| v.delete_marker) {
            let detail = format!(
                "hidden by delete marker {}, {} versions",
                marker.id,
                mine.len()
            );
            return self
                .found(position, key, (What::Removed, detail), None)
                .await;
        }
        let accounted = self.versions_accounted(key).await?;
        if mine.len() as u64 <= accounted {
            return Ok(());
        }
        let ids: Vec<_> = mine.iter().map(|v| v.id.as_str()).collect();
        let detail = format!("{} versions, newest first: {}", mine.len(), ids.join(", "));
        self.found(position, key, (What::SecondVersion, detail), None)
            .await
    }
}
