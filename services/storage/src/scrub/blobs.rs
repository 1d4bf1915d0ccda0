//! Artifacts: named by their digest, so nothing but themselves is needed to check them.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use probity_domain::Sha3_256;
use probity_platform::objects::Listed;

use super::check::Expect;
use super::finding::What;
use super::position::Position;
use super::{Result, Scrubber};

const PREFIX: &str = "blobs/";
const PAGE: u16 = 100;
/// Objects read side by side.
const AT_ONCE: usize = 4;

impl Scrubber {
    pub(super) async fn step_blobs(&self, position: &mut Position) -> Result<()> {
        let page = self
            .truth
            .list(PREFIX, position.after.as_deref(), PAGE)
            .await?;
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
            Some(last) if page.len() == usize::from(PAGE) => {
                position.after = Some(last.key.clone())
            }
            _ => position.next_area(),
        }
        Ok(())
    }

    async fn check_blob(
        &self,
        listed: &Listed,
    ) -> Result<Option<((What, String), Option<Expect>)>> {
        let name = listed.key.rsplit('/').next().unwrap_or_default();
        let Ok(digest) = Sha3_256::parse_hex(name) else {
            let detail = "the name is no SHA3-256".to_owned();
            return Ok(Some(((What::Wrong, detail), None)));
        };
        let expect = Expect::Sha3(digest.0);
        // What came over the wire wrongly once is not wrong in the store.
        for _ in 0..2 {
            let Some((_, bytes)) = self.truth.get_streamed(&listed.key, 0).await? else {
                let detail = "listed, and not there when it was read".to_owned();
                return Ok(Some(((What::Missing, detail), Some(expect))));
            };
            if expect.matches(bytes).await? {
                return Ok(None);
            }
        }
        let detail = format!(
            "{} bytes that are not those of the digest",
            listed.size_bytes
        );
        Ok(Some(((What::Wrong, detail), Some(expect))))
    }
}
