//! Digests of what has none in its name, written down by one lap for the next: `scrub/baseline/<lap>/<page>`.

use probity_platform::objects::Object;
use probity_proto::format::is_other_version;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::finding::What;
use super::position::Position;
use super::{Error, Result, Scrubber};
use crate::insistent::of_object;

const HEAD: &str = "probity.scrub-baseline/1";
const PAGE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The digests one lap wrote down.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    pub lap: String,
    pub pages: u64,
    /// SHA-256 of the last page, which names that of the page before, and so on; empty when there is none.
    pub sha256: String,
}

/// One object as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub key: String,
    pub size_bytes: u64,
    pub sha256: [u8; 32],
}

fn page_key(lap: &str, page: u64) -> String {
    format!("scrub/baseline/{lap}/{page:08}")
}

fn write_page(previous: &str, lines: &[Line]) -> String {
    let mut text = format!("{HEAD} {previous}\n");
    for line in lines {
        let (digest, size, key) = (hex::encode(line.sha256), line.size_bytes, &line.key);
        text.push_str(&format!("{digest} {size} {key}\n"));
    }
    text
}

/// The digest of the page before, and the lines; `None` when it is no page.
fn read_page(text: &str) -> Option<(String, Vec<Line>)> {
    let mut lines = text.strip_suffix('\n')?.split('\n');
    let previous = lines.next()?.strip_prefix(HEAD)?.strip_prefix(' ')?;
    let line = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let mut sha256 = [0; 32];
        hex::decode_to_slice(words.next()?, &mut sha256).ok()?;
        Some(Line {
            size_bytes: words.next()?.parse().ok()?,
            key: words.next()?.to_owned(),
            sha256,
        })
    };
    Some((previous.to_owned(), lines.map(line).collect::<Option<_>>()?))
}

/// The format's name where the page is another version's, whose lines this one does not know.
fn other_version(text: &str) -> Option<&str> {
    let named = text.split([' ', '\n']).next()?;
    is_other_version(HEAD, named).then_some(named)
}

impl Scrubber {
    /// Follows the chain of the baseline before, so that a page changed since is noticed.
    pub(super) async fn check_baseline(
        &self,
        before: &Baseline,
        position: &mut Position,
    ) -> Result<()> {
        let mut chain = String::new();
        for page in 0..before.pages {
            let key = page_key(&before.lap, page);
            let Some(object) = self.page(&key).await? else {
                let found = (What::Missing, "a page of the baseline".to_owned());
                return self.found(position, &key, found, None).await;
            };
            let text = String::from_utf8_lossy(&object.bytes);
            if let Some(format) = other_version(&text) {
                // That it is what was written, its digest in the page after it or in the report tells all the same.
                tracing::warn!(
                    key,
                    format,
                    "a page of another version's baseline is passed over: what it names is believed anew"
                );
            } else if read_page(&text).is_none_or(|(previous, _)| previous != chain) {
                let detail = "a page of the baseline does not follow on the page before";
                let found = (What::Wrong, detail.to_owned());
                return self.found(position, &key, found, None).await;
            }
            chain = hex::encode(Sha256::digest(&object.bytes));
        }
        if chain == before.sha256 {
            return Ok(());
        }
        let key = page_key(&before.lap, before.pages.saturating_sub(1));
        let detail = "the baseline is not the one that the lap wrote down";
        let found = (What::Wrong, detail.to_owned());
        self.found(position, &key, found, None).await
    }

    /// `None` as well for what does not read.
    async fn page(&self, key: &str) -> Result<Option<Object>> {
        let read = of_object(self.truth.get(key, PAGE_BYTES_MAX).await)?;
        Ok(read.ok().flatten())
    }

    /// Lines of the baseline before that come after `after`, one page of them; and whether there are more pages.
    pub(super) async fn known(
        &self,
        position: &mut Position,
        after: &str,
    ) -> Result<(Vec<Line>, bool)> {
        let Some(before) = position.baseline.previous.clone() else {
            return Ok((Vec::new(), false));
        };
        while position.baseline.reading < before.pages {
            let key = page_key(&before.lap, position.baseline.reading);
            // A page that is gone, unreadable or another version's was said when the lap began.
            let lines = match self.page(&key).await? {
                Some(object) => read_page(&String::from_utf8_lossy(&object.bytes))
                    .map_or_else(Vec::new, |(_, lines)| lines),
                None => Vec::new(),
            };
            let rest: Vec<_> = lines
                .into_iter()
                .filter(|l| l.key.as_str() > after)
                .collect();
            if !rest.is_empty() {
                let more = position.baseline.reading + 1 < before.pages;
                return Ok((rest, more));
            }
            position.baseline.reading += 1;
        }
        Ok((Vec::new(), false))
    }

    /// Writes down what stands behind the lines of this lap so far.
    pub(super) async fn write_down(&self, position: &mut Position, lines: &[Line]) -> Result<()> {
        use probity_platform::objects::Created;

        if lines.is_empty() {
            return Ok(());
        }
        loop {
            let text = write_page(&position.baseline.chain, lines);
            let digest = hex::encode(Sha256::digest(&text));
            let key = page_key(&position.lap, position.baseline.writing);
            let created = self.truth.create(&key, text.into()).await?;
            position.baseline.writing = position
                .baseline
                .writing
                .checked_add(1)
                .ok_or_else(|| Error::internal("no page number is left"))?;
            match created {
                Created::Created => {
                    position.baseline.chain = digest;
                    return Ok(());
                }
                // Written before a restart that forgot where it was; its lines are met again and passed over.
                Created::Exists(bytes) => {
                    position.baseline.chain = hex::encode(Sha256::digest(&bytes));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<Line> {
        vec![
            Line {
                key: "ledger/a/b/00000000".to_owned(),
                size_bytes: 5,
                sha256: [7; 32],
            },
            Line {
                key: "log/segments/000000000000".to_owned(),
                size_bytes: 0,
                sha256: [8; 32],
            },
        ]
    }

    #[test]
    fn yesterdays_page_reads_and_another_versions_does_not() {
        let previous = "06".repeat(32);
        let today = write_page(&previous, &lines());
        let golden = probity_testkit::Golden::of(env!("CARGO_MANIFEST_DIR"));
        let bytes = golden.read("scrub-baseline.txt", || today.clone().into_bytes());
        assert_eq!(today.as_bytes(), bytes, "written otherwise");
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(read_page(&text), Some((previous, lines())));
        assert_eq!(other_version(&text), None);
        for (named, other) in [
            ("/2", Some("probity.scrub-baseline/2")),
            ("/12", Some("probity.scrub-baseline/12")),
            ("/x", None),
        ] {
            let text = text.replacen("/1", named, 1);
            assert_eq!(
                (read_page(&text), other_version(&text)),
                (None, other),
                "{named}"
            );
        }
    }

    #[test]
    fn pages_read_as_they_were_written() {
        let lines = lines();
        for previous in ["", "abcd"] {
            let text = write_page(previous, &lines);
            let read = read_page(&text).unwrap();
            assert_eq!(read, (previous.to_owned(), lines.clone()));
            assert_eq!(read_page(text.trim_end()), None, "cut short");
            assert_eq!(read_page(&text.replace("07", "0x")), None);
        }
        assert_eq!(read_page("something else\n"), None);
    }
}
