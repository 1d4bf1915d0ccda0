//! The one task that appends: gathers entries from everywhere into commits.

use std::time::Duration;

use probity_domain::EvidenceId;
use probity_platform::startup::Shutdown;
use probity_platform::telemetry::Cause;
use probity_platform::{Error, ErrorKind, Result};
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument as _;

use super::tree::Entry;
use super::writer::Writer;

/// A lost swap or a store that does not answer is tried again this often before the batch is handed back.
const TRIES_MAX: u32 = 4;
const PAUSE: Duration = Duration::from_millis(50);

/// How a commit is made up.
#[derive(Debug, Clone, Copy)]
pub struct AppendLimits {
    pub entries_max: usize,
    /// How long the first entry waits for others.
    pub age: Duration,
}

struct Job {
    entry: Entry,
    cause: Cause,
    reply: oneshot::Sender<Result<u64>>,
}

/// Hands entries to the task. Cheap to clone.
#[derive(Clone)]
pub struct Appender(mpsc::Sender<Job>);

/// The other end: what the task takes from.
pub struct Appends(mpsc::Receiver<Job>);

/// A pair that holds two commits' worth of entries.
#[must_use]
pub fn appender(limits: AppendLimits) -> (Appender, Appends) {
    let (sender, receiver) = mpsc::channel(limits.entries_max.max(1) * 2);
    (Appender(sender), Appends(receiver))
}

impl Appender {
    /// Appends an entry and answers its leaf index, once its checkpoint is published.
    ///
    /// # Errors
    /// `Unavailable` when it could not be committed now; trying again never appends twice.
    pub async fn append(&self, entry: Entry) -> Result<u64> {
        let stopped = || Error::unavailable("the log's writer has stopped");
        let (reply, answer) = oneshot::channel();
        self.0
            .send(Job {
                entry,
                cause: Cause::current(),
                reply,
            })
            .await
            .map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Appends {
    /// Commits until shutdown. `tell` is called with what was newly found or put into the log, before it is answered.
    pub async fn commit_all<F, Fut>(
        &mut self,
        writer: &mut Writer,
        limits: AppendLimits,
        stop: &Shutdown,
        tell: F,
    ) where
        F: Fn(Vec<(EvidenceId, u64)>) -> Fut,
        Fut: Future<Output = ()>,
    {
        // Looks at the log at once: what the writer before this one left unfinished does not wait for the next entry.
        self.settle(writer, Vec::new(), &tell).await;
        while let Some(jobs) = self.gather(limits, stop).await {
            let span = commit_span(&jobs);
            self.settle(writer, jobs, &tell).instrument(span).await;
        }
    }

    async fn gather(&mut self, limits: AppendLimits, stop: &Shutdown) -> Option<Vec<Job>> {
        let first = tokio::select! {
            biased;
            job = self.0.recv() => job?,
            () = stop.requested() => return None,
        };
        let mut jobs = vec![first];
        let deadline = tokio::time::Instant::now() + limits.age;
        while jobs.len() < limits.entries_max {
            match tokio::time::timeout_at(deadline, self.0.recv()).await {
                Ok(Some(job)) => jobs.push(job),
                Ok(None) | Err(_) => break,
            }
        }
        Some(jobs)
    }

    async fn settle<F, Fut>(&self, writer: &mut Writer, jobs: Vec<Job>, tell: &F)
    where
        F: Fn(Vec<(EvidenceId, u64)>) -> Fut,
        Fut: Future<Output = ()>,
    {
        let entries: Vec<Entry> = jobs.iter().map(|job| job.entry.clone()).collect();
        match commit(writer, &entries).await {
            Ok(committed) => {
                let mut news = committed.recovered;
                let numbers = entries.iter().map(|entry| entry.evidence);
                news.extend(numbers.zip(committed.placed.iter().copied()));
                if !news.is_empty() {
                    tell(news).await;
                }
                for (job, leaf) in jobs.into_iter().zip(committed.placed) {
                    job.reply.send(Ok(leaf)).ok();
                }
            }
            Err(e) => {
                tracing::error!(error = %e, entries = entries.len(), "not committed");
                for job in jobs {
                    let detail = format!("not committed: {e}");
                    job.reply.send(Err(Error::unavailable(detail))).ok();
                }
            }
        }
    }
}

/// A commit gathers entries of many messages: it is linked to each, and what it tells follows from it.
fn commit_span(jobs: &[Job]) -> tracing::Span {
    let span = tracing::info_span!(parent: None, "append", probity.entries = jobs.len());
    let mut linked: Option<&Cause> = None;
    for cause in jobs.iter().map(|job| &job.cause) {
        // Entries of one message come one after the other.
        if linked != Some(cause) {
            cause.link(&span);
            linked = Some(cause);
        }
    }
    span
}

async fn commit(writer: &mut Writer, entries: &[Entry]) -> Result<super::writer::Committed> {
    let mut tries = 0;
    loop {
        tries += 1;
        match writer.commit(entries).await {
            Err(e)
                if tries < TRIES_MAX
                    && (e.kind.is_transient() || e.kind == ErrorKind::Conflict) =>
            {
                tracing::warn!(error = %e, tries, "commit again");
                tokio::time::sleep(PAUSE * tries).await;
            }
            result => return result,
        }
    }
}
