//! What waits for signatures, and whose it is: the queue's back-pressure, as intake hands it on.
//!
//! Each hint has a place in the stream, and the stream says which is the oldest that is not done with. So this process
//! knows how many captures of those it told are still waiting, and whose they are, without asking anybody. Captures are
//! counted because they are what takes time: a hint means one of them or two hundred.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use probity_domain::TenantId;
use probity_platform::bus::{Bus, Queue};
use probity_platform::{Error, Result};
use probity_proto::subjects::SUBMITTED;
use probity_proto::v1::Submitted;

use crate::submit::ITEMS_PER_HINT;

/// The queue before signing.
pub struct Backlog {
    queue: Queue,
    /// Captures that may wait.
    captures_max: u64,
    /// Those of one tenant.
    tenant_max: u64,
    told: Mutex<Told>,
}

/// Hints of this process by their place in the stream, oldest first, and the captures they mean.
#[derive(Default)]
struct Told {
    order: VecDeque<(u64, TenantId, u64)>,
    captures: u64,
    by_tenant: HashMap<TenantId, u64>,
    /// The oldest place that was not done with when last looked.
    first_sequence: u64,
}

impl Backlog {
    /// Takes no more while `captures_max` wait, or as many hints of anybody's, and none of a tenant of whose captures
    /// `tenant_max` wait.
    #[must_use]
    pub fn new(bus: Bus, captures_max: u64, tenant_max: u64) -> Self {
        Self {
            queue: Queue::new(bus, SUBMITTED, captures_max),
            captures_max,
            tenant_max,
            told: Mutex::default(),
        }
    }

    /// The queue itself, to be watched.
    pub const fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Whether a tenant's next instruction may come.
    ///
    /// # Errors
    /// `Unavailable` while the queue is full, `TooMany` while too much of this tenant's waits in it.
    pub fn check(&self, tenant: &TenantId) -> Result<()> {
        let behind =
            |what| Error::unavailable(format!("signing is behind: {what}; try again later"));
        self.queue.check().map_err(|e| behind(e.detail))?;
        let Some(measured) = self.queue.measured() else {
            return Ok(());
        };
        let mut told = self.told();
        told.forget_before(measured.first_sequence);
        // One old hint that is tried again and again keeps the places of all after it: the stream's own count is an
        // upper bound of anybody's.
        let most = measured.messages.saturating_mul(ITEMS_PER_HINT.into());
        let (all, own) = (told.captures.min(most), told.of(tenant).min(most));
        if all >= self.captures_max {
            return Err(behind(format!("{all} captures wait")));
        }
        if own >= self.tenant_max {
            return Err(Error::too_many(format!(
                "{own} of your captures wait for signatures; try again later"
            )));
        }
        Ok(())
    }

    /// Tells signing.
    ///
    /// # Errors
    /// Those of [`Bus::tell`].
    pub async fn tell(&self, id: &str, hint: &Submitted) -> Result<()> {
        let sequence = self.queue.tell(id, hint).await?;
        if let Ok(tenant) = TenantId::parse(&hint.tenant) {
            let captures = hint
                .last_item
                .saturating_sub(hint.first_item)
                .saturating_add(1);
            self.told().note(sequence, tenant, captures.into());
        }
        Ok(())
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Places remembered; beyond it the oldest are forgotten as if they were done with.
const REMEMBERED_MAX: usize = 100_000;

impl Told {
    fn note(&mut self, sequence: u64, tenant: TenantId, captures: u64) {
        if self.order.len() >= REMEMBERED_MAX {
            self.forget_oldest();
        }
        *self.by_tenant.entry(tenant.clone()).or_default() += captures;
        self.captures += captures;
        self.order.push_back((sequence, tenant, captures));
    }

    fn forget_before(&mut self, first_sequence: u64) {
        // A stream that was made anew counts from one again.
        if first_sequence < self.first_sequence {
            *self = Self::default();
        }
        self.first_sequence = first_sequence;
        while self
            .order
            .front()
            .is_some_and(|(sequence, ..)| *sequence < first_sequence)
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, tenant, captures)) = self.order.pop_front() else {
            return;
        };
        self.captures -= captures;
        if let Some(count) = self.by_tenant.get_mut(&tenant) {
            *count -= captures;
            if *count == 0 {
                self.by_tenant.remove(&tenant);
            }
        }
    }

    fn of(&self, tenant: &TenantId) -> u64 {
        self.by_tenant.get(tenant).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_until_the_stream_is_past_them() {
        let [a, b] = ["a", "b"].map(|name| TenantId::parse(name).unwrap());
        let mut told = Told::default();
        for (sequence, tenant, captures) in [(1, &a, 200), (2, &a, 7), (3, &b, 9), (4, &a, 1)] {
            told.note(sequence, tenant.clone(), captures);
        }
        assert_eq!((told.of(&a), told.of(&b), told.captures), (208, 9, 217));
        told.forget_before(3);
        assert_eq!((told.of(&a), told.of(&b), told.captures), (1, 9, 10));
        told.forget_before(5);
        assert!(told.by_tenant.is_empty() && told.order.is_empty());
        told.note(9, a.clone(), 5);
        told.forget_before(1);
        assert_eq!((told.of(&a), told.captures), (0, 0), "a new stream");
    }
}
