//! A process's way to a bucket: the memory store, with what goes wrong between the two.

use std::ops::Range;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use probity_domain::SubmissionId;
use probity_platform::objects::{
    Buckets, ByteStream, Created, Listed, MemoryObjects, Object, Objects, Swapped, Verb, Version,
};
use probity_platform::{Error, Result};
use probity_proto::stored::submission_key;
use tokio::time::{Instant, sleep};

use crate::pki::EPOCH;
use crate::sim::{Mutation, Sim, short_digest, step};

/// A submission that has rotted: it is listed, and every server of the store answers 503 for it, for ever.
pub static ROTTEN: LazyLock<String> =
    LazyLock::new(|| submission_key(SubmissionId::new(EPOCH, [0xdd; 10])));

/// Listings may lack what is younger (F7, paranoia).
const LIST_LAG: Duration = Duration::from_secs(5);

/// Both buckets as they really are.
#[derive(Clone)]
pub struct Store {
    pub truth: Arc<MemoryObjects>,
    pub work: Arc<MemoryObjects>,
}

impl Store {
    pub fn new() -> Self {
        Self {
            truth: Arc::new(MemoryObjects::new()),
            work: Arc::new(MemoryObjects::new()),
        }
    }

    /// As an honest observer sees them.
    pub fn buckets(&self) -> Buckets {
        Buckets {
            truth: self.truth.clone(),
            work: self.work.clone(),
        }
    }

    /// As a process reaches them.
    pub fn reached_by(&self, sim: &Arc<Sim>, who: &'static str) -> Buckets {
        let bucket = |name, inner: &Arc<MemoryObjects>| -> Arc<dyn Objects> {
            Arc::new(Reached {
                inner: inner.clone(),
                name,
                who,
                sim: sim.clone(),
            })
        };
        Buckets {
            truth: bucket("truth", &self.truth),
            work: bucket("work", &self.work),
        }
    }

    /// Bucket `work` comes back empty.
    pub async fn lose_work(&self) {
        while let Ok(page) = self.work.list("", None, 1_000).await {
            if page.is_empty() {
                return;
            }
            for listed in page {
                self.work.forget(&listed.key);
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Refused,
    Stalled,
    AnswerLost,
}

struct Reached {
    inner: Arc<MemoryObjects>,
    name: &'static str,
    who: &'static str,
    sim: Arc<Sim>,
}

impl Reached {
    fn fault(&self) -> Option<Fault> {
        let doses = self.sim.doses();
        let drawn = self.sim.chance.below(1_000);
        let lost = doses.refused + doses.stalled + doses.answer_lost;
        match drawn {
            drawn if drawn < doses.refused => Some(Fault::Refused),
            drawn if drawn < doses.refused + doses.stalled => Some(Fault::Stalled),
            drawn if drawn < lost => Some(Fault::AnswerLost),
            _ => None,
        }
    }

    /// There, done, and back; or not.
    async fn run<T>(
        &self,
        verb: Verb,
        key: &str,
        bytes: &[u8],
        apply: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let is_write = matches!(verb, Verb::Create | Verb::Swap | Verb::Put | Verb::Remove);
        step().await;
        let fault = self.fault();
        if is_write || fault.is_some() {
            let digest = if is_write {
                short_digest(bytes)
            } else {
                String::new()
            };
            let fault = fault.map_or(String::new(), |fault| format!(" {fault:?}"));
            let what = format!("{verb:?} {}/{key} {digest}{fault}", self.name);
            self.sim.note(self.who, what.trim_end());
        }
        match fault {
            Some(Fault::Refused) => return Err(Error::unavailable(format!("{key}: refused"))),
            Some(Fault::Stalled) => {
                sleep(Duration::from_secs(self.sim.chance.between(1, 30))).await;
                return Err(Error::timeout(format!("{key}: no answer")));
            }
            _ => {}
        }
        let done = apply.await;
        step().await;
        match fault {
            Some(_) if is_write => Err(Error::unknown_outcome(format!("{key}: answer lost"))),
            Some(_) => Err(Error::timeout(format!("{key}: answer lost"))),
            None => done,
        }
    }

    fn is_truth(&self) -> bool {
        self.name == "truth"
    }

    async fn write_once(&self, key: &str, bytes: Bytes) -> Result<Created> {
        if self.sim.has(Mutation::CreateOverwrites) {
            self.inner.put(key, bytes.clone()).await?;
            self.sim.stands(key, &bytes);
            return Ok(Created::Created);
        }
        let is_lost = self.sim.has(Mutation::AcknowledgedNotDurable)
            && key.starts_with("submissions/")
            && self.sim.chance.per_mille(300);
        if is_lost {
            return Ok(Created::Created);
        }
        let created = self.inner.create(key, bytes.clone()).await?;
        if created == Created::Created && self.is_truth() {
            self.sim.stands(key, &bytes);
        }
        Ok(created)
    }

    async fn replace(
        &self,
        key: &str,
        expected: Option<&Version>,
        bytes: Bytes,
    ) -> Result<Swapped> {
        if self.sim.has(Mutation::SwapIgnoresVersion) {
            let there = self
                .inner
                .get(key, u64::MAX)
                .await?
                .map(|object| object.version);
            return self.inner.swap(key, there.as_ref(), bytes).await;
        }
        self.inner.swap(key, expected, bytes).await
    }

    /// Only `work` may be overwritten or removed from.
    fn check_overwritable(&self, verb: &str, key: &str) {
        if self.is_truth() {
            self.sim.violate(format!("{verb} of {key} in truth"));
        }
    }

    async fn seen(&self, prefix: &str, after: Option<&str>, limit: u16) -> Result<Vec<Listed>> {
        let mut page = self.inner.list(prefix, after, limit).await?;
        if self.sim.doses().lists_lag && self.is_truth() {
            let now = Instant::now();
            let is_old = |since: Instant| now.duration_since(since) >= LIST_LAG;
            page.retain(|listed| self.sim.stands_since(&listed.key).is_none_or(is_old));
        }
        Ok(page)
    }
}

#[async_trait]
impl Objects for Reached {
    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created> {
        let apply = self.write_once(key, bytes.clone());
        self.run(Verb::Create, key, &bytes, apply).await
    }

    async fn create_streamed(&self, key: &str, size_bytes: u64, body: ByteStream) -> Result<bool> {
        let apply = self.inner.create_streamed(key, size_bytes, body);
        self.run(Verb::Create, key, &[], apply).await
    }

    async fn swap(&self, key: &str, expected: Option<&Version>, bytes: Bytes) -> Result<Swapped> {
        self.check_overwritable("swap", key);
        let apply = self.replace(key, expected, bytes.clone());
        self.run(Verb::Swap, key, &bytes, apply).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.check_overwritable("put", key);
        let apply = self.inner.put(key, bytes.clone());
        self.run(Verb::Put, key, &bytes, apply).await
    }

    async fn put_streamed(&self, key: &str, size_bytes: u64, body: ByteStream) -> Result<()> {
        self.check_overwritable("put", key);
        let apply = self.inner.put_streamed(key, size_bytes, body);
        self.run(Verb::Put, key, &[], apply).await
    }

    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Object>> {
        let apply = async {
            match key == *ROTTEN {
                true => Err(Error::unavailable(format!("{key}: 503"))),
                false => self.inner.get(key, bytes_max).await,
            }
        };
        self.run(Verb::Get, key, &[], apply).await
    }

    async fn get_range(&self, key: &str, bytes: Range<u64>) -> Result<Option<(u64, ByteStream)>> {
        let apply = self.inner.get_range(key, bytes);
        self.run(Verb::Get, key, &[], apply).await
    }

    async fn head(&self, key: &str) -> Result<Option<u64>> {
        self.run(Verb::Head, key, &[], self.inner.head(key)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: u16) -> Result<Vec<Listed>> {
        let apply = self.seen(prefix, after, limit);
        self.run(Verb::List, prefix, &[], apply).await
    }

    async fn remove(&self, key: &str) -> Result<()> {
        self.check_overwritable("removal", key);
        self.run(Verb::Remove, key, &[], self.inner.remove(key))
            .await
    }
}
