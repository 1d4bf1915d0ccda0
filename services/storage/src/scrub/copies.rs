//! Copies: the replica is read as well, so that its bytes are known to be right before they are needed.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use probity_domain::Sha3_256;
use probity_platform::objects::{Listed, Objects};

use super::check::Expect;
use super::finding::What;
use super::position::Position;
use super::versions::versions_of;
use super::{Result, Scrubber, blobs, kept};
use crate::insistent::of_object;

/// Before the key in what is found of a copy: what `truth` holds is another matter.
const REPLICA: &str = "replica:";
const PAGE: u16 = 100;
const AT_ONCE: usize = 4;
/// How late a copy may be. What a lap itself writes is younger than that, so that no finding is found.
const LATE_MS: i64 = 3_600_000;

/// What findings call the copy of an object.
pub(crate) fn copy_of(key: &str) -> String {
    format!("{REPLICA}{key}")
}

impl Scrubber {
    /// Compares a page of what is written once with the replica, artifacts by their names, all else byte by byte.
    pub(super) async fn step_copies(&self, position: &mut Position) -> Result<()> {
        let mut prefixes = std::iter::once(blobs::PREFIX).chain(kept::PREFIXES);
        let (Some(replica), Some(prefix)) = (&self.replica, prefixes.nth(position.prefix)) else {
            position.next_area();
            return Ok(());
        };
        let after = position.after.as_deref();
        let mut page = self.truth.list(prefix, after, PAGE).await?;
        let more = blobs::cut(&mut page, PAGE);
        let checks = page
            .iter()
            .map(|listed| self.check_copy(&**replica, listed, position));
        let checked: Vec<_> = stream::iter(checks.collect::<Vec<_>>())
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        for (listed, wrong) in page.iter().zip(checked) {
            position.count(1, listed.size_bytes);
            if let Some(found) = wrong {
                let key = copy_of(&listed.key);
                self.found(position, &key, found, None).await?;
            }
        }
        match page.last() {
            Some(last) if more => position.after = Some(last.key.clone()),
            _ => position.next_prefix(),
        }
        Ok(())
    }

    /// Ends the comparing with a finding: a replica that is away or slow keeps no lap of `truth` from its end.
    pub(super) async fn leave_copies(&self, position: &mut Position, why: &str) -> Result<()> {
        let from = position.after.clone().unwrap_or_default();
        tracing::warn!(from, why, "the replica was not compared to its end");
        let found = (What::Missing, "not compared to its end".to_owned());
        self.found(position, &copy_of(""), found, None).await?;
        position.next_area();
        Ok(())
    }

    /// What is wrong with the copy; `None` as well for what is wrong in `truth`, and for what may still be on its way.
    async fn check_copy(
        &self,
        replica: &dyn Objects,
        listed: &Listed,
        position: &Position,
    ) -> Result<Option<(What, String)>> {
        let key = &listed.key;
        let expect = match key.strip_prefix(blobs::PREFIX) {
            Some(named) => blobs::digest_of(named).map(|digest: Sha3_256| Expect::Sha3(digest.0)),
            None => self.bytes_of(key).await?.map(Expect::Bytes),
        };
        let Some(expect) = expect.filter(|_| !position.has_open_finding(key)) else {
            return Ok(None);
        };
        let (what, detail) = match of_object(expect.is_read_from(replica, key).await)? {
            Ok(Some(true)) => return Ok(None),
            Ok(Some(false)) => (What::Wrong, "other bytes than in truth".to_owned()),
            Ok(None) if self.is_due(key, position).await? => {
                (What::Missing, "there is no copy".to_owned())
            }
            Ok(None) => return Ok(None),
            Err(e) => (What::Wrong, e.detail),
        };
        Ok(Some((what, detail)))
    }

    /// `None` for what is gone, does not read, or is larger than anything of its kind: found by its own area.
    async fn bytes_of(&self, key: &str) -> Result<Option<bytes::Bytes>> {
        let read = of_object(self.truth.get(key, kept::OBJECT_BYTES_MAX).await)?;
        Ok(read.ok().flatten().map(|object| object.bytes))
    }

    /// Whether its copy ought to be there, by the time of its first version. Without versions nothing tells.
    async fn is_due(&self, key: &str, position: &Position) -> Result<bool> {
        let versions = versions_of(&*self.truth, key).await?.unwrap_or_default();
        let written = versions.iter().filter_map(|version| version.written_at);
        let first = written.min();
        Ok(first.is_some_and(|at| at.unix_ms() < position.begun_ms - LATE_MS))
    }
}
