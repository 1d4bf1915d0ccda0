//! Artifacts: named by their digest, so nothing but themselves is needed to check them.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use probity_domain::Sha3_256;
use probity_platform::objects::Listed;

use super::check::Expect;
use super::finding::What;
use super::position::Position;
use super::{Result, Scrubber};
use crate::insistent::of_object;

pub(super) const PREFIX: &str = "blobs/";
const PAGE: u16 = 100;
/// One step reads no more, unless one object is larger: what a restart reads again.
const STEP_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Objects read side by side.
const AT_ONCE: usize = 4;

impl Scrubber {
    pub(super) async fn step_blobs(&self, position: &mut Position) -> Result<()> {
        let mut page = self
            .truth
            .list(PREFIX, position.after.as_deref(), PAGE)
            .await?;
        let more = cut(&mut page, PAGE);
        let checks = page.iter().map(|listed| self.check_blob(listed));
        let checked: Vec<_> = stream::iter(checks.collect::<Vec<_>>())
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        for (listed, wrong) in page.iter().zip(checked) {
            position.count(1, listed.size_bytes);
            if let Some((found, expect)) = wrong {
                self.found(position, &listed.key, found, expect.as_ref())
                    .await?;
            }
        }
        match page.last() {
            Some(last) if more => position.after = Some(last.key.clone()),
            _ => position.next_area(),
        }
        Ok(())
    }

    async fn check_blob(
        &self,
        listed: &Listed,
    ) -> Result<Option<((What, String), Option<Expect>)>> {
        let Some(digest) = digest_of(&listed.key) else {
            let detail = "the name is no SHA3-256".to_owned();
            return Ok(Some(((What::Wrong, detail), None)));
        };
        let expect = Expect::Sha3(digest.0);
        let (what, detail) = match of_object(expect.is_read_from(&*self.truth, &listed.key).await)?
        {
            Ok(Some(true)) => return Ok(None),
            Ok(Some(false)) => {
                let size_bytes = listed.size_bytes;
                let detail = format!("{size_bytes} bytes that are not those of the digest");
                (What::Wrong, detail)
            }
            Ok(None) => {
                let detail = "listed, and not there when it was read".to_owned();
                (What::Missing, detail)
            }
            Err(e) => (What::Wrong, e.detail),
        };
        Ok(Some(((what, detail), Some(expect))))
    }
}

/// Leaves of a page what one step reads; answers whether there is more than that.
pub(super) fn cut(page: &mut Vec<Listed>, limit: u16) -> bool {
    let full = page.len() == usize::from(limit);
    let mut sum = 0u64;
    let within = page.iter().take_while(|listed| {
        let first = sum == 0;
        sum = sum.saturating_add(listed.size_bytes.max(1));
        first || sum <= STEP_BYTES_MAX
    });
    let within = within.count();
    let is_cut = within < page.len();
    page.truncate(within);
    full || is_cut
}

/// The digest that an artifact is named by.
pub(super) fn digest_of(key: &str) -> Option<Sha3_256> {
    let name = key.rsplit('/').next()?;
    Sha3_256::parse_hex(name).ok()
}
