//! `probity submit`: hash, upload, confirm, submit, and optionally wait for the deposit.
//!
//! The instruction follows from the files, their names, the case and the purpose alone, and its idempotency key from
//! the instruction: running the same command again finds what is uploaded already, and gets the same numbers. Only
//! the intent that was confirmed is remembered, in a small file, so that nobody is asked for a second code.

mod captures;
mod instruction;
mod memory;
mod signature;

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use probity_client::{DigestedFile, EvidenceQuery, Vendor};
use probity_proto::http::SubmittedDocument;

use self::captures::{Capture, captures_of};
use self::instruction::Instruction;
use self::memory::Memory;
use self::signature::{SignArgs, Signatory};
use crate::codes::{CodeArgs, confirmed_intent};
use crate::failure::{Failure, at};
use crate::list::everything;
use crate::profile::ProfileArg;

#[derive(Args)]
pub struct Submit {
    #[command(flatten)]
    profile: ProfileArg,
    #[command(flatten)]
    codes: CodeArgs,
    #[command(flatten)]
    signature: SignArgs,
    /// Files and folders: a file is one capture, as is each file and each sub-folder directly in a folder
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Reference of the case
    #[arg(long)]
    case: String,
    /// ownership, infringement, defence or neutral
    #[arg(long, default_value = "neutral")]
    purpose: String,
    /// Sent by an unattended system
    #[arg(long)]
    automated: bool,
    /// Captures in one instruction, 1 to 10,000
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    batch_size: u16,
    /// Uploads at once
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    uploads: u8,
    /// Where confirmed intents are remembered
    #[arg(long, default_value = ".probity-submit", value_name = "DIR")]
    memory: PathBuf,
    /// Writes one JSON line per capture: its path and its evidence number
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Waits until everything is deposited
    #[arg(long)]
    wait: bool,
    /// Gives up waiting after so many seconds without progress
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    patience: u64,
}

impl Submit {
    pub async fn run(self) -> Result<(), Failure> {
        let (_, vendor) = self.profile.vendor()?;
        let signatory = self.signature.signatory()?;
        let captures = captures_of(&self.paths)?;
        let bars = MultiProgress::new();
        let hashed = bar(&bars, "hashed", captures.len() as u64, false);
        let captures: Vec<Capture> = futures::stream::iter(captures)
            .map(|capture| async { capture.digested().await.inspect(|_| hashed.inc(1)) })
            .buffered(2)
            .try_collect()
            .await?;
        hashed.finish();
        self.upload(&vendor, &bars, &captures).await?;

        let memory = Memory::open(&self.memory)?;
        let (mut lines, mut submissions, mut refused) = (Vec::new(), Vec::new(), 0usize);
        for batch in captures.chunks(self.batch_size.into()) {
            let instruction = Instruction::of(batch, &self.case, &self.purpose, self.automated)?;
            let answer = self
                .submit_one(&vendor, &memory, &instruction, signatory.as_ref())
                .await?;
            for (capture, item) in batch.iter().zip(&answer.items) {
                if let Some(reason) = &item.reason {
                    refused += 1;
                    eprintln!("refused: {}: {reason}", capture.title);
                }
                let line = serde_json::json!({
                    "capture": capture.title, "state": item.state, "evidence": item.evidence, "reason": item.reason,
                });
                lines.push(line.to_string());
            }
            submissions.push(answer.submission);
        }
        let accepted = lines.len() - refused;
        println!(
            "accepted: {accepted} of {} captures in {} submissions",
            lines.len(),
            submissions.len()
        );
        for submission in &submissions {
            println!("submission: {submission}");
        }
        if let Some(path) = &self.out {
            std::fs::write(path, lines.join("\n") + "\n").map_err(at(path))?;
        }
        if self.wait {
            self.wait_for_deposit(&vendor, &bars, &submissions, accepted)
                .await?;
        }
        if refused > 0 {
            return Err(Failure::new(format!(
                "{refused} captures were refused, the others are accepted"
            )));
        }
        Ok(())
    }

    async fn upload(
        &self,
        vendor: &Vendor,
        bars: &MultiProgress,
        captures: &[Capture],
    ) -> Result<(), Failure> {
        let mut seen = HashSet::new();
        let files: Vec<&DigestedFile> = captures
            .iter()
            .flat_map(|c| c.files.iter().map(|f| &f.file))
            .filter(|file| file.size_bytes > 0 && seen.insert(file.digests.sha3_256))
            .collect();
        let uploaded = bar(
            bars,
            "uploaded",
            files.iter().map(|f| f.size_bytes).sum(),
            true,
        );
        futures::stream::iter(files)
            .map(|file| {
                let bar = uploaded.clone();
                async move { vendor.put_blob(file, move |bytes| bar.inc(bytes)).await }
            })
            .buffer_unordered(self.uploads.into())
            .try_for_each(|_| async { Ok(()) })
            .await?;
        uploaded.finish();
        Ok(())
    }

    async fn submit_one(
        &self,
        vendor: &Vendor,
        memory: &Memory,
        instruction: &Instruction,
        signatory: Option<&Signatory>,
    ) -> Result<SubmittedDocument, Failure> {
        let intent = match memory.intent(&instruction.sha256)? {
            Some(intent) => intent,
            None => {
                let summary = format!(
                    "submit {} captures for case {}",
                    instruction.items, self.case
                );
                let intent =
                    confirmed_intent(vendor, &self.codes, &instruction.sha256, summary).await?;
                memory.remember(&instruction.sha256, &intent)?;
                intent
            }
        };
        let signature = match signatory {
            Some(signatory) => Some(
                vendor
                    .put_bytes(&signatory.sign(&instruction.bytes)?)
                    .await?,
            ),
            None => None,
        };
        Ok(vendor
            .submit_signed(
                &instruction.bytes,
                &instruction.idempotency_key,
                Some(&intent),
                signature.as_ref(),
            )
            .await?)
    }

    async fn wait_for_deposit(
        &self,
        vendor: &Vendor,
        bars: &MultiProgress,
        submissions: &[String],
        accepted: usize,
    ) -> Result<(), Failure> {
        let progress = bar(bars, "deposited", accepted as u64, false);
        let mut patience = Instant::now();
        loop {
            let mut deposited = 0;
            for submission in submissions {
                let query = EvidenceQuery {
                    submission: Some(submission.clone()),
                    state: Some("deposited".to_owned()),
                    ..EvidenceQuery::default()
                };
                deposited += everything(vendor, query).await?.len();
            }
            if deposited as u64 > progress.position() {
                patience = Instant::now();
                progress.set_position(deposited as u64);
            }
            if deposited >= accepted {
                progress.finish();
                println!("deposited: {deposited}");
                return Ok(());
            }
            if patience.elapsed() > Duration::from_secs(self.patience) {
                return Err(Failure::new(format!(
                    "{deposited} of {accepted} deposited, and no progress"
                )));
            }
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    }
}

fn bar(bars: &MultiProgress, what: &'static str, length: u64, bytes: bool) -> ProgressBar {
    let counts = if bytes {
        "{bytes}/{total_bytes}"
    } else {
        "{pos}/{len}"
    };
    let template = format!("{{prefix:>10}} [{{bar:30}}] {counts} {{elapsed}}");
    let style =
        ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bars.add(ProgressBar::new(length).with_style(style).with_prefix(what))
}
