//! Everything that has no digest in its name: walked side by side with the baseline of the lap before.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use probity_domain::{EvidenceId, Sha3_256};
use probity_platform::objects::Listed;
use probity_proto::ledger::Envelope;
use probity_proto::stored::{blob_key, read_submission, submission_key};
use sha2::{Digest as _, Sha256};

use super::baseline::Line;
use super::check::Expect;
use super::finding::What;
use super::position::Position;
use super::{Error, Result, Scrubber};
use crate::custody::was_deleted;
use crate::insistent::of_object;

/// In the order of keys.
pub(super) const PREFIXES: [&str; 6] = [
    "clock/",
    "deliveries/",
    "ledger/",
    "log/",
    "repository/",
    "submissions/",
];
const CHECKPOINTS: &str = "log/checkpoints/";
const PAGE: u16 = 500;
/// Objects read side by side, each at most this large.
const AT_ONCE: usize = 4;
pub(super) const OBJECT_BYTES_MAX: u64 = 64 * 1024 * 1024;
const HEADS_AT_ONCE: usize = 16;

/// What one key was and is.
struct Pair {
    was: Option<Line>,
    is: Option<Listed>,
}

impl Pair {
    fn key(&self) -> &str {
        let was = self.was.as_ref().map(|line| line.key.as_str());
        let is = self.is.as_ref().map(|listed| listed.key.as_str());
        was.or(is).unwrap_or_default()
    }
}

/// What reading a key again came to.
struct Checked {
    line: Option<Line>,
    wrong: Option<((What, String), Option<Expect>)>,
    /// Blobs that it names and that are not there.
    absent: Vec<(String, [u8; 32])>,
    bytes: u64,
}

impl Scrubber {
    pub(super) async fn step_kept(&self, position: &mut Position) -> Result<()> {
        let Some(prefix) = PREFIXES.get(position.prefix).copied() else {
            position.next_area();
            return Ok(());
        };
        let after = position.after.clone();
        let listed = self.truth.list(prefix, after.as_deref(), PAGE).await?;
        let listed_end = (listed.len() == usize::from(PAGE))
            .then(|| listed.last().map(|l| l.key.clone()))
            .flatten();
        let floor = after.clone().unwrap_or_else(|| prefix.to_owned());
        let (known, more) = self.known(position, &floor).await?;
        let here = known.last().is_some_and(|l| l.key.starts_with(prefix));
        let known_end = (more && here)
            .then(|| known.last().map(|l| l.key.clone()))
            .flatten();
        let bound = [listed_end, known_end].into_iter().flatten().min();

        let within = |key: &str| {
            key.starts_with(prefix) && bound.as_deref().is_none_or(|bound| key <= bound)
        };
        let was = known.into_iter().filter(|l| within(&l.key));
        let is = listed
            .into_iter()
            .filter(|l| within(&l.key) && !checked_by_the_log(&l.key));
        let pairs = side_by_side(was.collect(), is.collect());
        let lines = self.check_pairs(position, after, pairs).await?;
        self.write_down(position, &lines).await?;
        match bound {
            Some(bound) => position.after = Some(bound),
            None => position.next_prefix(),
        }
        Ok(())
    }

    /// Checks each and answers the lines for the next baseline.
    async fn check_pairs(
        &self,
        position: &mut Position,
        mut before: Option<String>,
        pairs: Vec<Pair>,
    ) -> Result<Vec<Line>> {
        let keys: Vec<_> = pairs.iter().map(|pair| pair.key().to_owned()).collect();
        let checks: Vec<_> = pairs
            .into_iter()
            .map(|pair| self.check_pair(pair))
            .collect();
        let mut checked = stream::iter(checks).buffered(AT_ONCE);
        let mut lines = Vec::new();
        for key in keys {
            let Some(checked) = checked.try_next().await? else {
                break;
            };
            position.count(1, checked.bytes);
            if let Some((found, expect)) = checked.wrong {
                self.found(position, &key, found, expect.as_ref()).await?;
            }
            for (blob, digest) in checked.absent {
                let found = (What::Missing, format!("named by {key}"));
                let expect = Expect::Sha3(digest);
                self.found(position, &blob, found, Some(&expect)).await?;
            }
            self.check_gap(position, before.as_deref(), &key).await?;
            lines.extend(checked.line);
            before = Some(key);
        }
        Ok(lines)
    }

    async fn check_pair(&self, pair: Pair) -> Result<Checked> {
        let key = pair.key().to_owned();
        let mut checked = Checked {
            line: pair.was.clone(),
            wrong: None,
            absent: Vec::new(),
            bytes: 0,
        };
        let expect = pair.was.as_ref().map(|line| Expect::Sha256(line.sha256));
        let mut again = false;
        let bytes = loop {
            let bytes = match of_object(self.truth.get(&key, OBJECT_BYTES_MAX).await)? {
                Ok(object) => object.map(|object| object.bytes),
                Err(e) => {
                    checked.wrong = Some(((What::Wrong, e.detail), expect));
                    return Ok(checked);
                }
            };
            let same = bytes.as_ref().is_some_and(|bytes| {
                let was = pair.was.as_ref();
                was.is_none_or(|was| was.sha256 == <[u8; 32]>::from(Sha256::digest(bytes)))
            });
            // What came over the wire wrongly once is not wrong in the store.
            if same || again {
                break bytes;
            }
            again = true;
        };
        let Some(bytes) = bytes else {
            let detail = match pair.was {
                Some(was) => format!("{} bytes that stood there", was.size_bytes),
                None => "listed, and not there when it was read".to_owned(),
            };
            checked.wrong = Some(((What::Missing, detail), expect));
            return Ok(checked);
        };
        checked.bytes = bytes.len() as u64;
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        match pair.was {
            Some(was) if was.sha256 != digest => {
                checked.wrong = Some((differs(&was, checked.bytes, &digest), expect));
            }
            Some(_) => checked.absent = self.absent_blobs(&key, &bytes).await?,
            None => {
                checked.wrong = self.unreadable(&key, &bytes).map(|found| (found, None));
                checked.absent = self.absent_blobs(&key, &bytes).await?;
                // What does not read is no measure for later laps.
                checked.line = checked.wrong.is_none().then_some(Line {
                    key,
                    size_bytes: checked.bytes,
                    sha256: digest,
                });
            }
        }
        Ok(checked)
    }

    /// The blobs that a submission names and that are not in the store.
    async fn absent_blobs(&self, key: &str, bytes: &Bytes) -> Result<Vec<(String, [u8; 32])>> {
        if !key.starts_with("submissions/") {
            return Ok(Vec::new());
        }
        let Ok(submission) = read_submission(bytes) else {
            return Ok(Vec::new());
        };
        let mut named: BTreeMap<Sha3_256, Option<EvidenceId>> = BTreeMap::new();
        for (id, item) in submission.accepted() {
            let digests = item.artifacts().iter().map(|a| a.digests.sha3_256);
            named.extend(digests.map(|digest| (digest, Some(id))));
        }
        if let Some(signature) = &submission.submitter_signature {
            named.insert(signature.sha3_256, None);
            named.insert(signature.instruction_sha3_256, None);
        }
        let tenant = &submission.tenant;
        let looked = stream::iter(named.into_iter().map(|(digest, of)| async move {
            let key = blob_key(tenant, &digest);
            let there = self.is_there(&key).await?;
            let deleted = match of {
                Some(of) if !there => was_deleted(&self.ledger, of).await?,
                _ => false,
            };
            let missing = !there && !deleted;
            Ok::<_, Error>(missing.then_some((key, digest.0)))
        }));
        let absent: Vec<_> = looked.buffered(HEADS_AT_ONCE).try_collect().await?;
        Ok(absent.into_iter().flatten().collect())
    }

    /// What is there and cannot be read is found by its own area.
    async fn is_there(&self, key: &str) -> Result<bool> {
        let head = of_object(self.truth.head(key).await)?;
        Ok(head.map_or(true, |size_bytes| size_bytes.is_some()))
    }

    /// Events of a stream are numbered without a gap.
    async fn check_gap(
        &self,
        position: &mut Position,
        before: Option<&str>,
        key: &str,
    ) -> Result<()> {
        let Some((stream, seq)) = event(key).filter(|(_, seq)| *seq > 0) else {
            return Ok(());
        };
        let missing = format!("{stream}/{:08}", seq - 1);
        if before == Some(&missing) || self.is_there(&missing).await? {
            return Ok(());
        }
        let found = (What::Missing, format!("{key} follows on it"));
        self.found(position, &missing, found, None).await
    }

    /// Why an object that is met for the first time is not what its key says.
    fn unreadable(&self, key: &str, bytes: &Bytes) -> Option<(What, String)> {
        let reason = if key.starts_with("submissions/") {
            not_submission(key, bytes)
        } else if let Some((stream, seq)) = event(key) {
            not_event(stream, seq, bytes)
        } else if key.starts_with(CHECKPOINTS) {
            match self.log.read_note(bytes.clone()) {
                Ok(note) if key.ends_with(&format!("/{:012}", note.size)) => None,
                Ok(note) => Some(format!("is the checkpoint of size {}", note.size)),
                Err(e) => Some(e.detail),
            }
        } else {
            None
        };
        reason.map(|reason| (What::Wrong, reason))
    }
}

fn not_submission(key: &str, bytes: &[u8]) -> Option<String> {
    match read_submission(bytes) {
        Ok(submission) => {
            let named = submission_key(submission.id);
            (named != key).then(|| format!("holds the submission of {named}"))
        }
        Err(e) => Some(format!("does not read: {e}")),
    }
}

fn not_event(stream: &str, seq: u64, bytes: &[u8]) -> Option<String> {
    match serde_json::from_slice::<Envelope<serde_json::Value>>(bytes) {
        Ok(e) if format!("ledger/{}/{}", e.kind, e.id) == stream && e.seq == seq => None,
        Ok(e) => Some(format!("holds event {} of {}/{}", e.seq, e.kind, e.id)),
        Err(e) => Some(format!("does not read: {e}")),
    }
}

/// Stream and number of a ledger event.
fn event(key: &str) -> Option<(&str, u64)> {
    let (stream, seq) = key.rsplit_once('/')?;
    let numbered = key.starts_with("ledger/") && seq.len() == 8;
    numbered.then(|| Some((stream, seq.parse().ok()?)))?
}

/// Full tiles, bundles and index tiles are compared with the signed root instead.
fn checked_by_the_log(key: &str) -> bool {
    let tile = key.starts_with("log/tile/") && !key.contains(".p/");
    tile || key.starts_with("log/index/")
}

/// Two sorted lists as one.
fn side_by_side(was: Vec<Line>, is: Vec<Listed>) -> Vec<Pair> {
    let (mut was, mut is) = (was.into_iter().peekable(), is.into_iter().peekable());
    let mut pairs = Vec::new();
    loop {
        let order = match (was.peek(), is.peek()) {
            (Some(w), Some(i)) => w.key.cmp(&i.key),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return pairs,
        };
        pairs.push(Pair {
            was: (order != Ordering::Greater).then(|| was.next()).flatten(),
            is: (order != Ordering::Less).then(|| is.next()).flatten(),
        });
    }
}

fn differs(was: &Line, size_bytes: u64, digest: &[u8; 32]) -> (What, String) {
    let digest = hex::encode(digest);
    let detail = format!(
        "{size_bytes} bytes of SHA-256 {digest}, not the {}",
        was.size_bytes
    );
    let what = if size_bytes < was.size_bytes {
        What::Truncated
    } else {
        What::Wrong
    };
    (what, detail)
}
