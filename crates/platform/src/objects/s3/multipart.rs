//! Large objects, in parts, in bounded memory.

use std::time::Duration;

use aws_sdk_s3::primitives::{ByteStream as SdkByteStream, SdkBody};
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bytes::{Bytes, BytesMut};
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt};

use super::S3Objects;
use super::outcome::Failure;
use super::write::checksum_of;
use crate::objects::{ByteStream, Created, Objects, PART_BYTES, collect, wrong_length};
use crate::{Error, Result};

/// Parts on their way at once; one more is being filled.
const PARTS_IN_FLIGHT_MAX: usize = 3;
/// How long an upload that has failed waits for them before it is aborted.
const ARRIVE_MAX: Duration = Duration::from_secs(10);
/// S3's limit.
const PARTS_MAX: u64 = 10_000;
/// Metadata that names the upload an object came from: how a lost answer is told from a lost race.
const UPLOAD_MARK: &str = "probity-upload";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    None,
    Absent,
}

struct Upload {
    id: String,
    mark: String,
}

impl S3Objects {
    /// Uploads a stream; `false` when the condition did not hold.
    pub(super) async fn upload(
        &self,
        key: &str,
        size_bytes: u64,
        body: ByteStream,
        condition: Condition,
    ) -> Result<bool> {
        if size_bytes <= PART_BYTES as u64 {
            let bytes = collect(body, size_bytes).await?;
            return match condition {
                Condition::None => self.put(key, bytes).await.map(|()| true),
                Condition::Absent => Ok(self.create(key, bytes).await? == Created::Created),
            };
        }
        self.upload_in_parts(key, size_bytes, body, condition).await
    }

    pub(super) async fn upload_in_parts(
        &self,
        key: &str,
        size_bytes: u64,
        body: ByteStream,
        condition: Condition,
    ) -> Result<bool> {
        if size_bytes.div_ceil(PART_BYTES as u64) > PARTS_MAX {
            return Err(Error::malformed(format!(
                "{key}: {size_bytes} bytes are too many"
            )));
        }
        let upload = self.begin(key).await?;
        let parts = match self.send_parts(key, &upload, size_bytes, body).await {
            Ok(parts) => parts,
            Err(e) => {
                self.abort(key, &upload).await;
                return Err(e);
            }
        };
        self.complete(key, &upload, parts, condition).await
    }

    async fn begin(&self, key: &str) -> Result<Upload> {
        let mark = hex::encode(self.random.bytes::<16>());
        let algorithm = self.send_checksums.then_some(ChecksumAlgorithm::Sha256);
        let answer = self
            .repeat(&format!("begin upload {key}"), || {
                let request = self
                    .client()
                    .create_multipart_upload()
                    .bucket(&self.bucket)
                    .key(key);
                let request = request.set_checksum_algorithm(algorithm.clone());
                let (mode, until) = self.retained(key).unzip();
                let request = request
                    .set_object_lock_mode(mode)
                    .set_object_lock_retain_until_date(until);
                self.send(0, request.metadata(UPLOAD_MARK, &mark).send())
            })
            .await?;
        let id = answer.upload_id().map(str::to_owned).ok_or_else(|| {
            Error::unavailable(format!("begin upload {key}: the store names no upload"))
        })?;
        Ok(Upload { id, mark })
    }

    async fn send_parts(
        &self,
        key: &str,
        upload: &Upload,
        size_bytes: u64,
        mut body: ByteStream,
    ) -> Result<Vec<CompletedPart>> {
        let mut in_flight = FuturesUnordered::new();
        let mut done = Vec::new();
        let filled = async {
            let mut filling = BytesMut::with_capacity(PART_BYTES);
            let mut seen_bytes = 0u64;
            let mut number = 0;
            loop {
                // Parts on their way move on while the source is waited for.
                let piece = loop {
                    tokio::select! {
                        Some(part) = in_flight.next() => done.push(part?),
                        piece = body.next() => break piece.transpose()?,
                    }
                };
                let ended = piece.is_none();
                let mut rest = piece.unwrap_or_default();
                seen_bytes += rest.len() as u64;
                if seen_bytes > size_bytes {
                    return Err(wrong_length(size_bytes));
                }
                loop {
                    let taken = rest.split_to(rest.len().min(PART_BYTES - filling.len()));
                    filling.extend_from_slice(&taken);
                    let last = ended && !filling.is_empty();
                    if filling.len() < PART_BYTES && !last {
                        break;
                    }
                    number += 1;
                    let part = std::mem::replace(&mut filling, BytesMut::with_capacity(PART_BYTES));
                    in_flight.push(self.send_part(key, upload, number, part.freeze()));
                    if in_flight.len() >= PARTS_IN_FLIGHT_MAX {
                        done.extend(in_flight.try_next().await?);
                    }
                }
                if ended {
                    break;
                }
            }
            if seen_bytes != size_bytes {
                return Err(wrong_length(size_bytes));
            }
            while let Some(part) = in_flight.try_next().await? {
                done.push(part);
            }
            Ok(())
        };
        if let Err(e) = filled.await {
            // A part that arrives after the abort may stay for ever: those on their way come first.
            let arrive = async { while in_flight.next().await.is_some() {} };
            let _ = tokio::time::timeout(ARRIVE_MAX, arrive).await;
            return Err(e);
        }
        done.sort_by_key(|part| part.part_number);
        Ok(done)
    }

    async fn send_part(
        &self,
        key: &str,
        upload: &Upload,
        number: i32,
        bytes: Bytes,
    ) -> Result<CompletedPart> {
        let checksum = self.send_checksums.then(|| checksum_of(&bytes));
        let answer = self
            .repeat(&format!("upload part {number} of {key}"), || {
                let request = self.client().upload_part().bucket(&self.bucket).key(key);
                let request = request.upload_id(&upload.id).part_number(number);
                let body = SdkByteStream::new(SdkBody::from(bytes.clone()));
                let request = request.set_checksum_sha256(checksum.clone()).body(body);
                self.send(bytes.len() as u64, request.send())
            })
            .await?;
        let part = CompletedPart::builder()
            .part_number(number)
            .set_checksum_sha256(checksum);
        Ok(part.set_e_tag(answer.e_tag().map(str::to_owned)).build())
    }

    async fn complete(
        &self,
        key: &str,
        upload: &Upload,
        parts: Vec<CompletedPart>,
        condition: Condition,
    ) -> Result<bool> {
        let what = format!("complete upload {key}");
        let size_parts = parts.len() as u64;
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts))
            .build();
        let mut maybe_done = false;
        let mut tries = 0;
        loop {
            let request = self
                .client()
                .complete_multipart_upload()
                .bucket(&self.bucket)
                .key(key);
            let request = match condition {
                Condition::None => request,
                Condition::Absent => request.if_none_match("*"),
            };
            let request = request
                .upload_id(&upload.id)
                .multipart_upload(parts.clone());
            // The store may copy the parts together before it answers.
            let sent = self
                .send(size_parts * PART_BYTES as u64 / 8, request.send())
                .await;
            let Err(failure) = sent else { return Ok(true) };
            tries += 1;
            maybe_done |= matches!(failure, Failure::Lost(_));
            match failure {
                // `Absent` is NoSuchUpload: completed by an earlier try, or aborted by somebody.
                Failure::Precondition | Failure::Absent | Failure::Lost(_) => {
                    match self.mark_of(key).await {
                        Ok(Some(mark)) if mark == upload.mark => return Ok(true),
                        Ok(Some(_)) if matches!(failure, Failure::Precondition) => {
                            self.abort(key, upload).await;
                            return Ok(false);
                        }
                        Ok(_) if matches!(failure, Failure::Absent) => {
                            return Err(self.vanished(&what, maybe_done));
                        }
                        Ok(_) => {}
                        Err(e) if maybe_done => return Err(Error::unknown_outcome(e.detail)),
                        Err(e) => return Err(e),
                    }
                }
                Failure::Conflict | Failure::Refused(_) => {}
                Failure::TooLarge(_) | Failure::Unknown(_) | Failure::Fatal(_) => {
                    // It says nothing of the try whose answer was lost.
                    if maybe_done && self.is_completed(key, upload).await {
                        return Ok(true);
                    }
                    return self.give_up(key, upload, failure, maybe_done).await;
                }
            }
            if !self.again(tries, &failure).await {
                return self.give_up(key, upload, failure, maybe_done).await;
            }
        }
    }

    async fn is_completed(&self, key: &str, upload: &Upload) -> bool {
        let mark = self.mark_of(key).await;
        mark.is_ok_and(|mark| mark.as_ref() == Some(&upload.mark))
    }

    async fn give_up(
        &self,
        key: &str,
        upload: &Upload,
        failure: Failure,
        maybe_done: bool,
    ) -> Result<bool> {
        // Nothing is cleaned up after an unknown outcome (trap 8): a lifecycle rule does it.
        if !maybe_done {
            self.abort(key, upload).await;
        }
        Err(self.given_up(&format!("complete upload {key}"), failure, maybe_done))
    }

    fn vanished(&self, what: &str, maybe_done: bool) -> Error {
        let detail = format!("store, bucket {}, {what}: the upload is gone", self.bucket);
        if maybe_done {
            Error::unknown_outcome(detail)
        } else {
            Error::unavailable(detail)
        }
    }

    /// Which upload the object under `key` came from; empty when from none.
    async fn mark_of(&self, key: &str) -> Result<Option<String>> {
        self.repeat(&format!("read back {key}"), || async {
            let request = self
                .client()
                .head_object()
                .bucket(&self.bucket)
                .key(key)
                .send();
            match self.send(0, request).await {
                Ok(answer) => {
                    let mark = answer.metadata().and_then(|m| m.get(UPLOAD_MARK)).cloned();
                    Ok(Some(mark.unwrap_or_default()))
                }
                Err(Failure::Absent) => Ok(None),
                Err(failure) => Err(failure),
            }
        })
        .await
    }

    /// Frees the parts. What this misses a lifecycle rule of the bucket removes.
    async fn abort(&self, key: &str, upload: &Upload) {
        let request = self
            .client()
            .abort_multipart_upload()
            .bucket(&self.bucket)
            .key(key);
        if let Err(failure) = self.send(0, request.upload_id(&upload.id).send()).await {
            tracing::warn!(key, ?failure, "parts of an aborted upload are left behind");
        }
    }
}
