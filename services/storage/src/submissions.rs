//! Submissions as they lie in `truth`, the last few kept in memory: the records of one arrive together.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use probity_domain::{Submission, SubmissionId};
use probity_platform::objects::Objects;
use probity_platform::{Error, Result};
use probity_proto::stored::{SUBMISSION_BYTES_MAX, read_submission, submission_key};

/// Kept in memory at once.
const SUBMISSIONS_MAX: usize = 512;
const ITEMS_MAX: usize = 50_000;

/// Reads submissions.
pub struct Submissions {
    truth: Arc<dyn Objects>,
    recent: Mutex<VecDeque<Arc<Submission>>>,
}

impl Submissions {
    #[must_use]
    pub fn new(truth: Arc<dyn Objects>) -> Self {
        Self {
            truth,
            recent: Mutex::default(),
        }
    }

    /// A submission.
    ///
    /// # Errors
    /// `NotFound` when there is none, `Internal` when it does not read, those of the store.
    pub async fn read(&self, id: SubmissionId) -> Result<Arc<Submission>> {
        if let Some(known) = self.known(id) {
            return Ok(known);
        }
        let submission = Arc::new(load(&*self.truth, id).await?);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.push_front(submission.clone());
        let mut items: usize = recent.iter().map(|s| s.items.len()).sum();
        while recent.len() > SUBMISSIONS_MAX || (items > ITEMS_MAX && recent.len() > 1) {
            items -= recent.pop_back().map_or(0, |gone| gone.items.len());
        }
        Ok(submission)
    }

    fn known(&self, id: SubmissionId) -> Option<Arc<Submission>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent
            .iter()
            .find(|submission| submission.id == id)
            .cloned()
    }
}

/// Reads a submission from the store.
pub(crate) async fn load(truth: &dyn Objects, id: SubmissionId) -> Result<Submission> {
    load_sized(truth, id)
        .await
        .map(|(submission, _)| submission)
}

/// A submission, and its size in bytes.
pub(crate) async fn load_sized(truth: &dyn Objects, id: SubmissionId) -> Result<(Submission, u64)> {
    let object = truth.get(&submission_key(id), SUBMISSION_BYTES_MAX).await?;
    let object = object.ok_or_else(|| Error::not_found(format!("submission {id}")))?;
    let submission = read_submission(&object.bytes).map_err(Error::internal)?;
    Ok((submission, object.bytes.len() as u64))
}
