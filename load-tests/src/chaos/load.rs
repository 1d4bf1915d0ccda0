//! A vendor that submits at a planned rate, whatever happens, and repeats what was not accepted until it is.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::TryFutureExt as _;
use futures::future::try_join_all;
use probity_client::{DigestedFile, Vendor};
use probity_proto::http::{DeliveriesDocument, DeliveryDocument, DeliveryRequestDocument};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::generator::{Batch, case, confirmed_intent, prepare_instruction, write_receipts};
use crate::{CaptureArgs, Failure};

use super::calls::Call;
use super::latency::AcceptedBatch;

const UPLOADS_IN_FLIGHT: usize = 16;
/// The SDK has repeated the call already when it gives up; then the vendor waits this long.
pub const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// A vendor that hears nothing for so long begins the call anew.
const CALL_MAX: Duration = Duration::from_secs(60);

/// What is submitted, and how fast.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Captures at least; more are submitted while the fault lasts.
    pub count: u64,
    pub per_second: f64,
    pub batch_size: u64,
    pub size_bytes: usize,
    pub seed: u64,
}

impl Rate {
    /// The case that all of it belongs to.
    pub fn case(&self) -> String {
        case(self.seed)
    }
}

/// What the vendor has seen so far.
#[derive(Default)]
pub struct Tally {
    planned: AtomicU64,
    accepted: AtomicU64,
    /// Captures accepted of other vendors.
    of_others: AtomicU64,
    batches: Mutex<Vec<AcceptedBatch>>,
    calls: Mutex<Vec<Call>>,
    /// Calls that the SDK gave up, by their sentence without numbers.
    pub errors: Mutex<BTreeMap<String, u64>>,
    enough: AtomicBool,
}

impl Tally {
    /// No more batches than planned at least.
    pub fn enough(&self) {
        self.enough.store(true, Ordering::SeqCst);
    }

    /// Captures planned, and those of others that were accepted.
    pub fn planned(&self) -> u64 {
        self.planned.load(Ordering::SeqCst) + self.of_others.load(Ordering::SeqCst)
    }

    /// Captures accepted, whoever submitted them.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst) + self.of_others.load(Ordering::SeqCst)
    }

    /// Another vendor was given so many numbers.
    pub fn accepted_of_another(&self, captures: u64) {
        self.of_others.fetch_add(captures, Ordering::SeqCst);
    }

    /// The vendor's accepted batches, in the order they were accepted.
    pub fn batches(&self) -> Vec<AcceptedBatch> {
        self.batches_after(0)
    }

    /// The same without the first ones.
    pub fn batches_after(&self, first: usize) -> Vec<AcceptedBatch> {
        let batches = self.batches.lock();
        let batches = batches.unwrap_or_else(PoisonError::into_inner);
        batches.iter().skip(first).cloned().collect()
    }

    /// The vendor's calls that have ended.
    pub fn calls(&self) -> Vec<Call> {
        let calls = self.calls.lock();
        calls.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn errors(&self) -> BTreeMap<String, u64> {
        let errors = self.errors.lock();
        errors.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn failed(&self, error: &Failure) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let sentence = error.to_string();
        let kind = sentence.split(": ").take(2).collect::<Vec<_>>().join(": ");
        let kind: String = kind
            .chars()
            .filter(|c| !c.is_ascii_digit())
            .take(100)
            .collect();
        *errors.entry(kind).or_default() += 1;
    }
}

/// The vendor: calls, folders, and the file that keeps every number it was given.
pub struct Submitter {
    vendor: Mutex<Arc<Vendor>>,
    codes: PathBuf,
    captures: CaptureArgs,
    rate: Rate,
    folder: tempfile::TempDir,
    uploads: Semaphore,
    receipts: Mutex<File>,
    pub tally: Arc<Tally>,
}

impl Submitter {
    /// `receipts` gets one line of JSON for each number, with the time it was given.
    pub fn new(
        vendor: Vendor,
        codes: PathBuf,
        rate: Rate,
        receipts: &Path,
    ) -> Result<Self, Failure> {
        let captures = CaptureArgs {
            seed: rate.seed,
            batches: rate.count.div_ceil(rate.batch_size),
            batch_size: rate.batch_size,
            size_bytes: rate.size_bytes,
        };
        Ok(Self {
            vendor: Mutex::new(Arc::new(vendor)),
            codes,
            captures,
            rate,
            folder: tempfile::tempdir().map_err(Failure::new)?,
            uploads: Semaphore::new(UPLOADS_IN_FLIGHT),
            receipts: Mutex::new(File::create(receipts).map_err(Failure::new)?),
            tally: Arc::default(),
        })
    }

    /// The vendor with the credential it uses now: whoever makes a call holds this as long.
    pub fn vendor(&self) -> Arc<Vendor> {
        self.current().clone()
    }

    /// From now on calls are made with another credential; answers whom calls under way are made by.
    pub fn moves_over(&self, to: Vendor) -> Arc<Vendor> {
        std::mem::replace(&mut *self.current(), Arc::new(to))
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Arc<Vendor>> {
        self.vendor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Submits until [`Tally::enough`] was said and the planned count is reached; answers when all of it is accepted. Must run
    /// in a `LocalSet`: the SDK's calls stay on one thread.
    pub async fn run(self: Arc<Self>) -> Result<(), Failure> {
        let began = Instant::now();
        let every = self.rate.batch_size as f64 / self.rate.per_second;
        let mut batches = JoinSet::new();
        for number in 0.. {
            if number >= self.captures.batches && self.tally.enough.load(Ordering::SeqCst) {
                break;
            }
            let planned = began + Duration::from_secs_f64(number as f64 * every);
            tokio::time::sleep_until(planned.into()).await;
            self.tally
                .planned
                .fetch_add(self.rate.batch_size, Ordering::SeqCst);
            batches.spawn_local(self.clone().until_accepted(planned, number));
        }
        while let Some(done) = batches.join_next().await {
            done.map_err(Failure::new)??;
        }
        Ok(())
    }

    async fn until_accepted(self: Arc<Self>, planned: Instant, number: u64) -> Result<(), Failure> {
        let (folder, captures) = (self.folder.path(), &self.captures);
        let (batch, instruction) = prepare_instruction(folder, captures, planned, number).await?;
        let mut intent = None;
        loop {
            let outcome = self.attempt(&batch, &instruction, &mut intent).await;
            match outcome {
                Ok(numbers) => {
                    for file in &batch.files {
                        std::fs::remove_file(&file.path).map_err(Failure::new)?;
                    }
                    return self.keep(planned, numbers);
                }
                Err(e) => {
                    eprintln!("chaos: batch {number} will be repeated: {e}");
                    self.tally.failed(&e);
                }
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    async fn attempt(
        &self,
        batch: &Batch,
        instruction: &[u8],
        intent: &mut Option<String>,
    ) -> Result<Vec<String>, Failure> {
        let confirmed = match intent {
            Some(confirmed) => confirmed,
            None => {
                let vendor = self.vendor();
                let confirming = confirmed_intent(&vendor, &self.codes, instruction);
                intent.insert(self.call("intent", confirming).await?)
            }
        };
        let uploads = batch.files.iter().map(|file| self.upload(file));
        try_join_all(uploads.collect::<Vec<_>>()).await?;
        let key = format!("chaos-{}-{}", self.rate.seed, batch.number);
        let vendor = self.vendor();
        let submitting = vendor.submit(instruction, &key, Some(confirmed));
        let submitting = submitting.map_err(|e| Failure::new(format!("submit: {e}")));
        let answer = self.call("submit", submitting).await?;
        let numbers = answer.items.into_iter().map(|item| {
            let reason = item.reason;
            item.evidence
                .ok_or_else(|| Failure::new(format!("item refused: {reason:?}")))
        });
        numbers.collect()
    }

    async fn upload(&self, file: &DigestedFile) -> Result<(), Failure> {
        let _permit = self.uploads.acquire().await.map_err(Failure::new)?;
        let vendor = self.vendor();
        let uploading = vendor.put_blob(file, |_| {});
        let uploading = uploading.map_err(|e| Failure::new(format!("upload: {e}")));
        self.call("upload", uploading).await.map(drop)
    }

    /// Orders deliveries of what was accepted.
    pub async fn order(
        &self,
        request: &DeliveryRequestDocument,
    ) -> Result<DeliveriesDocument, Failure> {
        let vendor = self.vendor();
        let ordering = vendor.deliver(request);
        let ordering = ordering.map_err(|e| Failure::new(format!("order: {e}")));
        let answer = self.call("order", ordering).await;
        answer.inspect_err(|e| self.tally.failed(e))
    }

    /// Everything that was ordered, as it stands.
    pub async fn deliveries(&self) -> Result<Vec<DeliveryDocument>, Failure> {
        let (vendor, case) = (self.vendor(), self.case());
        let (mut all, mut page) = (Vec::new(), None);
        loop {
            let asking = vendor.deliveries(&case, page.as_deref());
            let asking = asking.map_err(|e| Failure::new(format!("deliveries: {e}")));
            let answer = self.call("deliveries", asking).await?;
            all.extend(answer.deliveries);
            page = answer.next_page;
            if page.is_none() {
                return Ok(all);
            }
        }
    }

    /// The case that all of it belongs to.
    pub fn case(&self) -> String {
        self.rate.case()
    }

    /// The outcome of a call, or that none came.
    async fn call<T>(
        &self,
        what: &'static str,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let began = Instant::now();
        let answer = tokio::time::timeout(CALL_MAX, call).await;
        let answer = answer.unwrap_or_else(|_| Err(Failure::new("no answer within a minute")));
        let answered = answer.is_ok();
        let mut calls = self
            .tally
            .calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        calls.push(Call {
            began,
            took: began.elapsed(),
            what,
            answered,
        });
        answer
    }

    fn keep(&self, planned: Instant, numbers: Vec<String>) -> Result<(), Failure> {
        let accepted = Instant::now();
        write_receipts(&self.receipts, &numbers)?;
        let captures = numbers.len() as u64;
        let mut batches = self.tally.batches.lock();
        let batches = batches.as_mut().map_err(Failure::new)?;
        batches.push(AcceptedBatch {
            planned,
            accepted,
            numbers,
        });
        self.tally.accepted.fetch_add(captures, Ordering::SeqCst);
        Ok(())
    }
}
