//! What this process has to look at, and when. In memory only: it is rebuilt from the orders and the ledger, so
//! nothing is lost with it (trap 43: the retry queue is not in the thing that failed).

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use probity_domain::{DeliveryId, EvidenceId, RecipientId, Timestamp};
use probity_platform::telemetry::Cause;

/// Deliveries by the time they are to be looked at.
#[derive(Debug, Default)]
pub struct Agenda {
    by_time: BTreeSet<(Timestamp, DeliveryId)>,
    times: HashMap<DeliveryId, Timestamp>,
    waiting: HashMap<EvidenceId, HashSet<DeliveryId>>,
    /// What this process goes on with by itself, and what brought it about.
    here: HashMap<DeliveryId, Cause>,
    /// How often in a row one could not go on.
    failures: HashMap<DeliveryId, u32>,
}

/// The longest wait after failures of our own.
const TROUBLE_MS_MAX: i64 = 600_000;
/// Failures in a row before the wait grows: what is away for two minutes holds up nobody longer than that.
const FAILURES_STEADY: u32 = 8;

impl Agenda {
    /// Looks at `id` at `at`, instead of when it was planned before.
    pub fn plan(&mut self, id: DeliveryId, at: Timestamp) {
        self.unplan(id);
        self.times.insert(id, at);
        self.by_time.insert((at, id));
    }

    /// Goes on with `id` at `at` in this process, because of what goes on now. It has been told already: telling the
    /// same again would be dropped as a duplicate.
    pub fn plan_here(&mut self, id: DeliveryId, at: Timestamp) {
        self.plan(id, at);
        self.here.insert(id, Cause::current());
    }

    /// Goes on with `id` here after a failure of our own: after `first_ms`, and where it fails again and again after
    /// twice as long each time, up to ten minutes.
    pub fn plan_after_failure(&mut self, id: DeliveryId, now: Timestamp, first_ms: i64) {
        let failures = self.failures.entry(id).or_default();
        *failures = failures.saturating_add(1);
        let doublings = failures.saturating_sub(FAILURES_STEADY).min(16);
        let wait_ms = first_ms.saturating_mul(1_i64 << doublings);
        self.plan_here(id, now.plus_ms(wait_ms.min(TROUBLE_MS_MAX)));
    }

    /// `id` went on: the next failure is its first.
    pub fn went_on(&mut self, id: DeliveryId) {
        self.failures.remove(&id);
    }

    /// Nothing to look at any more.
    pub fn forget(&mut self, id: DeliveryId) {
        self.went_on(id);
        self.unplan(id);
    }

    fn unplan(&mut self, id: DeliveryId) {
        self.here.remove(&id);
        if let Some(at) = self.times.remove(&id) {
            self.by_time.remove(&(at, id));
        }
    }

    /// `id` is planned.
    #[must_use]
    pub fn holds(&self, id: DeliveryId) -> bool {
        self.times.contains_key(&id)
    }

    /// Looks at `id` as soon as the evidence is deposited; the plan stays, for the hint may never come.
    pub fn wait_for(&mut self, evidence: EvidenceId, id: DeliveryId) {
        self.waiting.entry(evidence).or_default().insert(id);
    }

    /// Who waited for this evidence.
    pub fn deposited(&mut self, evidence: &EvidenceId) -> Vec<DeliveryId> {
        self.waiting
            .remove(evidence)
            .map(|ids| ids.into_iter().collect())
            .unwrap_or_default()
    }

    /// What is due, earliest first, at most `limit`, with its cause when this process goes on with it; no longer
    /// planned afterwards.
    pub fn take_due(&mut self, now: Timestamp, limit: usize) -> Vec<(DeliveryId, Option<Cause>)> {
        let mut due = Vec::new();
        while due.len() < limit
            && let Some((at, id)) = self.by_time.first().copied()
            && at <= now
        {
            let cause = self.here.remove(&id);
            self.unplan(id);
            due.push((id, cause));
        }
        due
    }

    /// How many are planned.
    #[must_use]
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Nothing is planned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }
}

/// Turns for recipients, so that one that hangs holds a few places and never all (P9), and that each gets its turn
/// however many others are busy.
#[derive(Debug)]
pub struct Lanes {
    per_recipient: usize,
    lanes: HashMap<RecipientId, Lane>,
    /// Recipients of which a delivery may start, each once, the next one first.
    turns: VecDeque<RecipientId>,
    /// Queued or running, and what brought it about.
    known: HashMap<DeliveryId, Cause>,
}

#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<DeliveryId>,
    running: usize,
    has_turn: bool,
}

/// Most deliveries in one lane; those beyond come back with the next look at the agenda.
const LANE_LENGTH_MAX: usize = 10_000;

impl Lanes {
    /// With at most `per_recipient` running for each recipient.
    #[must_use]
    pub fn new(per_recipient: usize) -> Self {
        Self {
            per_recipient,
            lanes: HashMap::new(),
            turns: VecDeque::new(),
            known: HashMap::new(),
        }
    }

    /// Queues a delivery; `false` when it is queued or running already, or the lane is full.
    pub fn enter(&mut self, recipient: &RecipientId, id: DeliveryId) -> bool {
        let lane = self.lanes.entry(recipient.clone()).or_default();
        if lane.queue.len() >= LANE_LENGTH_MAX || self.known.contains_key(&id) {
            return false;
        }
        self.known.insert(id, Cause::current());
        lane.queue.push_back(id);
        self.give_turn(recipient);
        true
    }

    /// What brought about a delivery that is queued or running.
    #[must_use]
    pub fn cause(&self, id: DeliveryId) -> Cause {
        self.known.get(&id).cloned().unwrap_or_default()
    }

    /// The deliveries that may start now, one of each recipient in turn, at most `limit`; they count as running.
    /// Whose turn it was waits behind all others, also from one call to the next.
    pub fn start(&mut self, limit: usize) -> Vec<(RecipientId, DeliveryId)> {
        let mut started = Vec::new();
        while started.len() < limit
            && let Some(recipient) = self.turns.pop_front()
        {
            let Some(lane) = self.lanes.get_mut(&recipient) else {
                continue;
            };
            lane.has_turn = false;
            if let Some(id) = lane.queue.pop_front() {
                lane.running += 1;
                started.push((recipient.clone(), id));
            }
            self.give_turn(&recipient);
        }
        started
    }

    /// Behind the others, once, while one of its deliveries may start.
    fn give_turn(&mut self, recipient: &RecipientId) {
        if let Some(lane) = self.lanes.get_mut(recipient)
            && !lane.has_turn
            && !lane.queue.is_empty()
            && lane.running < self.per_recipient
        {
            lane.has_turn = true;
            self.turns.push_back(recipient.clone());
        }
    }

    /// Nothing is queued or running.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.known.is_empty()
    }

    /// A delivery that was running is not any more.
    pub fn leave(&mut self, recipient: &RecipientId, id: DeliveryId) {
        self.known.remove(&id);
        let Some(lane) = self.lanes.get_mut(recipient) else {
            return;
        };
        lane.running = lane.running.saturating_sub(1);
        if lane.running == 0 && lane.queue.is_empty() {
            self.lanes.remove(recipient);
        } else {
            self.give_turn(recipient);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(ms)
    }

    fn id(n: u8) -> DeliveryId {
        DeliveryId::new(at(1), [n; 10])
    }

    fn court(name: &str) -> RecipientId {
        RecipientId::parse(name).unwrap()
    }

    #[test]
    fn due_in_order_once_and_replanned() {
        let mut agenda = Agenda::default();
        agenda.plan(id(1), at(30));
        agenda.plan(id(2), at(10));
        agenda.plan(id(3), at(20));
        agenda.plan(id(1), at(5));
        agenda.forget(id(3));
        assert_eq!(agenda.len(), 2);
        let mut due = |now| {
            let due = agenda.take_due(now, 10);
            due.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
        };
        assert_eq!(due(at(9)), [id(1)]);
        assert_eq!(due(at(10)), [id(2)]);
        assert!(agenda.take_due(at(100), 10).is_empty() && agenda.is_empty());
    }

    #[test]
    fn a_deposit_wakes_who_waited() {
        let mut agenda = Agenda::default();
        let evidence = crate::delivery::tests::evidence();
        agenda.wait_for(evidence, id(1));
        agenda.wait_for(evidence, id(1));
        assert_eq!(agenda.deposited(&evidence), [id(1)]);
        assert!(agenda.deposited(&evidence).is_empty());
    }

    #[test]
    fn a_court_that_hangs_holds_only_its_own_places() {
        let mut lanes = Lanes::new(2);
        for n in 0..100 {
            assert!(lanes.enter(&court("hangs"), id(n)));
        }
        assert!(!lanes.enter(&court("hangs"), id(0)), "queued twice");
        assert_eq!(lanes.start(64).len(), 2);
        lanes.enter(&court("answers"), id(200));
        assert_eq!(lanes.start(64), [(court("answers"), id(200))]);
        lanes.leave(&court("answers"), id(200));
        assert!(lanes.start(64).is_empty());
        lanes.leave(&court("hangs"), id(0));
        assert_eq!(lanes.start(64), [(court("hangs"), id(2))]);
        assert!(
            lanes.enter(&court("hangs"), id(0)),
            "may come back after it left"
        );
    }

    /// Seventeen courts with much to do and one place free at a time, as under load.
    #[test]
    fn each_court_has_its_turn_however_many_are_busy() {
        let mut lanes = Lanes::new(4);
        let courts: Vec<_> = (0..17).map(|n| court(&format!("court-{n}"))).collect();
        for (n, court) in (0..).zip(&courts) {
            for m in 0..10 {
                assert!(lanes.enter(court, id(n * 10 + m)));
            }
        }
        let mut running: VecDeque<_> = lanes.start(64).into();
        assert_eq!(running.len(), 64);
        let mut after = HashMap::<_, usize>::new();
        for _ in 0..2 * courts.len() {
            let (court, id) = running.pop_front().unwrap();
            lanes.leave(&court, id);
            let started = lanes.start(1);
            assert_eq!(started.len(), 1, "what is free is used");
            *after.entry(started[0].0.clone()).or_default() += 1;
            running.extend(started);
        }
        for court in &courts {
            assert!(after.get(court).is_some_and(|n| *n <= 3), "{after:?}");
        }
    }

    #[test]
    fn whoever_cannot_go_on_waits_longer_each_time() {
        let mut agenda = Agenda::default();
        let mut waits = |failures: usize| {
            let waited = (0..failures).map(|_| {
                agenda.plan_after_failure(id(1), at(0), 15_000);
                let waits = agenda.times[&id(1)].unix_ms();
                assert_eq!(agenda.take_due(at(waits), 9).len(), 1);
                waits
            });
            let waited: Vec<_> = waited.collect();
            agenda.went_on(id(1));
            waited
        };
        let waited = waits(15);
        assert_eq!(waited[..8], [15_000; 8]);
        assert_eq!(
            waited[8..],
            [30_000, 60_000, 120_000, 240_000, 480_000, 600_000, 600_000]
        );
        assert_eq!(waits(1), [15_000]);
        assert!(agenda.failures.is_empty());
    }
}
