//! Versions: what somebody wrote over a key, or hid, leaves one more of it.

use probity_platform::Result;

use super::{Audit, FindingKind, PAGE};
use crate::scrub::{several, unaccounted};

impl Audit {
    pub(super) async fn versions(&mut self) -> Result<()> {
        let truth = self.log.truth.clone();
        let mut mark = None;
        loop {
            let Some(page) = truth.list_versions("", mark.as_ref(), PAGE).await? else {
                let note =
                    "the store keeps no versions: what was written over leaves no trace in it";
                self.report.notes.push(note.to_owned());
                return Ok(());
            };
            self.report.checked.versions += page.versions.len() as u64;
            for key in several(&page) {
                let found = unaccounted(&*truth, &self.ledger, key).await;
                let found = self.report.read(FindingKind::Version, key, found)?;
                if let Some((_, reason)) = found.flatten() {
                    self.report.find(FindingKind::Version, key, reason);
                }
            }
            mark = page.next;
            if mark.is_none() {
                return Ok(());
            }
        }
    }
}
