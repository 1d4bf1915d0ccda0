//! Instructions under work: each with its facts and its event key, shared by the hints that are parts of it.

use std::collections::HashMap;
use std::sync::Arc;

use probity_domain::{SubmissionId, Timestamp};
use probity_platform::{Clock, Result};
use tokio::sync::{Mutex, OnceCell};

use crate::{EventKey, Instruction};

/// A signature made now is time-stamped within this time, or made again.
const MARGIN_MS: i64 = 10 * 60_000;

/// An instruction ready to be signed.
pub struct Session {
    pub instruction: Instruction,
    pub key: EventKey,
}

/// A bounded set of sessions. Letting go of one wipes its key, once the signatures under way with it are made.
pub struct Keyring {
    clock: Arc<dyn Clock>,
    reuse_ms: i64,
    instructions_max: usize,
    items_max: usize,
    slots: Mutex<HashMap<SubmissionId, Slot>>,
}

struct Slot {
    made_at: Timestamp,
    used_at: Timestamp,
    session: Arc<OnceCell<Session>>,
}

impl Keyring {
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, config: &crate::Config) -> Self {
        Self {
            clock,
            reuse_ms: i64::from(config.certificate_reuse_s) * 1_000,
            instructions_max: config.instructions_max.max(1),
            items_max: config.items_max.max(1),
            slots: Mutex::default(),
        }
    }

    /// The session of an instruction: the one there is, or the one `open` makes. Of several that ask at once, one opens.
    ///
    /// # Errors
    /// Those of `open`; the next to ask tries again.
    pub async fn session<F, Fut>(&self, id: SubmissionId, open: F) -> Result<Arc<OnceCell<Session>>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Session>>,
    {
        let cell = self.slot(id).await;
        cell.get_or_try_init(open).await?;
        Ok(cell)
    }

    async fn slot(&self, id: SubmissionId) -> Arc<OnceCell<Session>> {
        let now = self.clock.now();
        let mut slots = self.slots.lock().await;
        self.let_go(&mut slots, now);
        let fresh = || Slot {
            made_at: now,
            used_at: now,
            session: Arc::default(),
        };
        let slot = slots.entry(id).or_insert_with(fresh);
        slot.used_at = now;
        let cell = slot.session.clone();
        self.make_room(&mut slots, id);
        cell
    }

    /// Lets go of every session whose time is up.
    pub async fn sweep(&self) {
        let mut slots = self.slots.lock().await;
        self.let_go(&mut slots, self.clock.now());
    }

    /// How many keys are in memory now.
    pub async fn held(&self) -> usize {
        self.slots.lock().await.len()
    }

    fn let_go(&self, slots: &mut HashMap<SubmissionId, Slot>, now: Timestamp) {
        slots.retain(|_, slot| {
            let young = now.ms_since(slot.made_at) < self.reuse_ms;
            young
                && slot
                    .session
                    .get()
                    .is_none_or(|s| s.key.is_usable(now, MARGIN_MS))
        });
    }

    /// The longest unused go first, never the one that was just asked for.
    fn make_room(&self, slots: &mut HashMap<SubmissionId, Slot>, keep: SubmissionId) {
        let items = |slot: &Slot| {
            slot.session
                .get()
                .map_or(0, |s| s.instruction.submission.items.len())
        };
        let mut held: usize = slots.values().map(items).sum();
        while slots.len() > self.instructions_max || held > self.items_max {
            let oldest = slots
                .iter()
                .filter(|(id, _)| **id != keep)
                .min_by_key(|(_, s)| s.used_at);
            let Some(oldest) = oldest.map(|(id, _)| *id) else {
                return;
            };
            if let Some(gone) = slots.remove(&oldest) {
                held -= items(&gone);
            }
        }
    }
}
