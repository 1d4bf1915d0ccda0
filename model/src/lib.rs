//! A model of how the log's head is moved, small enough that every interleaving is tried.
//!
//! Each action mirrors a step of `services/storage/src/log/writer.rs`, and only that:
//!
//! | action | code |
//! |---|---|
//! | [`Action::ReadHead`] | `Writer::recover`: `read_head` |
//! | [`Action::Decide`] | `follow` and `recover_without_head`: `published_after`, `stored_checkpoint`, `read_staged`, `newest`, `left_behind` with what it verifies |
//! | [`Action::Stage`] | `commit` leaves out what is there already; `extend`: `work.put(&staged, …)` |
//! | [`Action::Swap`] | `extend`: `work.swap(HEAD, …)`: the commit |
//! | [`Action::WriteEntries`], [`Action::WriteTiles`], [`Action::WriteCheckpoint`] | `publish`, in its order; each is a create-only PUT into `truth`, and `take_back` where other entries stand |
//! | [`Action::Crash`] | death, an answer that never came, or an error, before or after any of these: `commit` has taken the state, so the next one recovers |
//! | [`Action::LoseWork`] | bucket `work` comes back empty; whoever wrote is down |
//! | [`Action::RollBack`] | an older copy of the head comes back; whoever wrote is down |
//! | [`Action::Forge`] | whoever may write into `truth` puts entries behind all that is published, where nothing stands yet |
//!
//! There is no lease: every writer may act at any time, which is more than any lease allows. A writer that is not
//! scheduled for long is the one whose lease went stale. An unknown outcome needs no action of its own: it is the step
//! done, or not done, and then [`Action::Crash`].
//!
//! Histories stand for roots: two trees have the same root when they have the same entries. One bundle is modelled; that
//! entries fill bundles changes the keys they lie under, not the order of writes. Where somebody forges, the store keeps
//! versions, so that what is his may be written over; where nobody does, nothing ever is.

mod state;

use std::collections::BTreeSet;

use stateright::{Model, Property};

pub use state::{At, Entry, FORGED, Head, History, State};
use state::{Wrote, write_checkpoint, write_entries, write_tiles};

/// What is wrong with the protocol, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Defect {
    /// The head is put, not swapped.
    SwapUnconditionally,
    /// Entries and tiles are written before the head is swapped: the first design.
    TruthBeforeSwap,
    /// The checkpoint is published before what it promises.
    CheckpointFirst,
    /// A number is appended though it is there.
    NoDuplicateCheck,
    /// A head without its checkpoint is gone on from, not rolled forward.
    NoRollForward,
    /// Entries that a lost commit left behind are not taken up.
    LeaveBehind,
    /// A head is not compared with newer checkpoints.
    BelieveOldHead,
    /// Behind a head whose checkpoint is there and the newest, nothing is looked for. An old copy of the head, put back
    /// after a commit that had written entries and no checkpoint, then stops the log for good.
    BelieveQuietHead,
    /// Entries that lie behind are taken up unread.
    BelieveLeftBehind,
    /// Other bytes are never written over.
    LeaveForged,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    ReadHead(usize),
    Decide(usize),
    Stage(usize, History),
    Swap(usize),
    WriteEntries(usize),
    WriteTiles(usize),
    WriteCheckpoint(usize),
    Crash(usize),
    LoseWork,
    RollBack,
    Forge,
}

/// How large the world is, and its defects.
#[derive(Debug, Clone)]
pub struct Protocol {
    pub writers: usize,
    pub entries: Entry,
    pub crashes: u8,
    pub losses: u8,
    pub forgeries: u8,
    pub defects: BTreeSet<Defect>,
}

pub const NO_FORK: &str = "checkpoints are beginnings of one history";
pub const PROMISED_IS_THERE: &str = "nothing is visible before it is there";
pub const ONCE: &str = "an entry stands once";
pub const NOT_FORGED: &str = "nothing is published that nobody verified";
pub const NOT_LOST: &str = "what was committed stays";
pub const NEVER_STUCK: &str = "no writer meets other bytes than its own";
pub const ALL_PUBLISHED: &str = "when nobody has anything left to do, everything is published";
pub const ALL_CAN_BE_PUBLISHED: &str = "everything can be published";

impl Protocol {
    fn has(&self, defect: Defect) -> bool {
        self.defects.contains(&defect)
    }

    /// Batches that vendors may bring: each missing entry alone, and all of them.
    fn batches(&self, known: &History) -> Vec<History> {
        let is_fresh = |entry: &Entry| self.has(Defect::NoDuplicateCheck) || !known.contains(entry);
        let room = usize::from(self.entries).saturating_sub(known.len());
        let missing: History = (1..=self.entries).filter(is_fresh).take(room).collect();
        let mut batches: Vec<History> = missing.iter().map(|entry| vec![*entry]).collect();
        if missing.len() > 1 {
            batches.push(missing);
        }
        batches
    }

    fn decide(&self, state: &mut State, head: Option<Head>) -> At {
        let Some(head) = head else {
            return self.without_head(state, None);
        };
        let size = head.history.len();
        let has_newer = state.checkpoints.range(size + 1..).next().is_some();
        if has_newer && !self.has(Defect::BelieveOldHead) {
            return self.without_head(state, Some(head));
        }
        if let Some(published) = state.checkpoints.get(&size).cloned() {
            let has_behind = !self.left_behind(state, size).is_empty();
            if has_behind && !self.has(Defect::BelieveQuietHead) {
                return self.without_head(state, Some(head));
            }
            return At::Ready(published, head);
        }
        if self.has(Defect::NoRollForward) {
            let tree = state.checkpoints.get(&head.previous).cloned();
            return At::Ready(tree.unwrap_or_default(), head);
        }
        match state.staged.contains_key(&head.staged) {
            true => At::Publishing { head, done: 0 },
            false => self.without_head(state, Some(head)),
        }
    }

    /// From the newest checkpoint, and what lies behind it.
    fn without_head(&self, state: &mut State, head: Option<Head>) -> At {
        let tree = state.published();
        let new = match self.has(Defect::LeaveBehind) {
            true => History::new(),
            false => self.left_behind(state, tree.len()),
        };
        self.stage(state, &tree, new, head)
    }

    /// A commit leaves one segment, whose entries can be verified.
    fn left_behind(&self, state: &State, size: usize) -> History {
        let left = state.segments.get(&size).cloned().unwrap_or_default();
        let holds = self.has(Defect::BelieveLeftBehind) || !left.contains(&FORGED);
        if holds { left } else { History::new() }
    }

    fn stage(&self, state: &mut State, tree: &History, new: History, head: Option<Head>) -> At {
        let next = Head {
            history: [tree.as_slice(), &new].concat(),
            previous: tree.len(),
            staged: state.unused_name(),
        };
        state.staged.insert(next.staged, new);
        if self.has(Defect::TruthBeforeSwap) {
            let entries = write_entries(state, &next, false);
            let tiles = write_tiles(state, &next, false);
            if (entries, tiles) != (Wrote::Done, Wrote::Done) {
                return At::Stuck;
            }
        }
        At::Staged { head, next }
    }

    fn swap(&self, state: &mut State, expected: Option<Head>, next: Head) -> At {
        if state.head != expected && !self.has(Defect::SwapUnconditionally) {
            return At::Idle;
        }
        state.undone |= !next.history.starts_with(&state.committed);
        state.committed.clone_from(&next.history);
        state.older = state.head.replace(next.clone());
        At::Publishing {
            head: next,
            done: 0,
        }
    }

    fn has_published_all(&self, state: &State) -> bool {
        let published = state.published();
        (1..=self.entries).all(|entry| published.contains(&entry))
    }

    /// The three writes in their order.
    fn writes(&self) -> [fn(usize) -> Action; 3] {
        let (entries, tiles, checkpoint) = (
            Action::WriteEntries as fn(usize) -> Action,
            Action::WriteTiles as fn(usize) -> Action,
            Action::WriteCheckpoint as fn(usize) -> Action,
        );
        match self.has(Defect::CheckpointFirst) {
            true => [checkpoint, entries, tiles],
            false => [entries, tiles, checkpoint],
        }
    }

    fn publish(
        &self,
        state: &mut State,
        who: usize,
        write: fn(&mut State, &Head, bool) -> Wrote,
    ) -> Option<At> {
        let takes_back = self.forgeries > 0 && !self.has(Defect::LeaveForged);
        let At::Publishing { head, done } = state.writers.get(who)?.clone() else {
            return None;
        };
        Some(match (write(state, &head, takes_back), done) {
            (Wrote::Stuck, _) => At::Stuck,
            (Wrote::Lost, _) => At::Idle,
            (Wrote::Done, 2) => {
                let tree = head.history.clone();
                state.staged.remove(&head.staged);
                At::Ready(tree, head)
            }
            (Wrote::Done, _) => At::Publishing {
                head,
                done: done + 1,
            },
        })
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            writers: vec![At::Idle; self.writers],
            crashes_left: self.crashes,
            losses_left: self.losses,
            forgeries_left: self.forgeries,
            ..State::default()
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (who, at) in state.writers.iter().enumerate() {
            match at {
                At::Idle => actions.push(Action::ReadHead(who)),
                At::Looked(_) => actions.push(Action::Decide(who)),
                At::Ready(tree, _) => {
                    let batches = self.batches(tree).into_iter();
                    actions.extend(batches.map(|batch| Action::Stage(who, batch)));
                }
                At::Staged { .. } => actions.push(Action::Swap(who)),
                At::Publishing { done, .. } => {
                    let next = self.writes().get(usize::from(*done)).copied();
                    actions.extend(next.map(|write| write(who)));
                }
                At::Stuck => {}
            }
            if state.crashes_left > 0 && !matches!(at, At::Idle | At::Stuck) {
                actions.push(Action::Crash(who));
            }
        }
        let behind = state.published().len();
        if state.forgeries_left > 0 && !state.segments.contains_key(&behind) {
            actions.push(Action::Forge);
        }
        if state.losses_left > 0 {
            actions.push(Action::LoseWork);
            if state.older.is_some() {
                actions.push(Action::RollBack);
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let (who, at) = match action {
            Action::ReadHead(who) => (who, At::Looked(state.head.clone())),
            Action::Decide(who) => match last.writers.get(who)? {
                At::Looked(head) => (who, self.decide(&mut state, head.clone())),
                _ => return None,
            },
            Action::Stage(who, batch) => match last.writers.get(who)? {
                At::Ready(tree, head) => {
                    (who, self.stage(&mut state, tree, batch, Some(head.clone())))
                }
                _ => return None,
            },
            Action::Swap(who) => match last.writers.get(who)?.clone() {
                At::Staged { head, next } => (who, self.swap(&mut state, head, next)),
                _ => return None,
            },
            Action::WriteEntries(who) => (who, self.publish(&mut state, who, write_entries)?),
            Action::WriteTiles(who) => (who, self.publish(&mut state, who, write_tiles)?),
            Action::WriteCheckpoint(who) => (who, self.publish(&mut state, who, write_checkpoint)?),
            Action::Crash(who) => {
                state.crashes_left -= 1;
                (who, At::Idle)
            }
            Action::LoseWork => {
                state.kill_all();
                (state.head, state.older) = (None, None);
                state.staged.clear();
                return Some(state);
            }
            Action::Forge => {
                state.forgeries_left -= 1;
                let behind = state.published().len();
                state.segments.insert(behind, vec![FORGED]);
                return Some(state);
            }
            Action::RollBack => {
                state.kill_all();
                state.head = state.older.take();
                state.sweep();
                return Some(state);
            }
        };
        *state.writers.get_mut(who)? = at;
        state.sweep();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NO_FORK, |_, state: &State| state.has_no_fork()),
            Property::always(PROMISED_IS_THERE, |_, state: &State| {
                state.has_what_it_promises()
            }),
            Property::always(ONCE, |_, state: &State| !state.has_doubles()),
            Property::always(NOT_FORGED, |_, state: &State| !state.has_forged()),
            Property::always(NOT_LOST, |_, state: &State| !state.undone),
            Property::always(NEVER_STUCK, |_, state: &State| {
                !state.writers.contains(&At::Stuck)
            }),
            // Every run is finite: crashes and losses are counted, and every other action leads on to a longer log. So
            // a run that ends with everything published, always, is one that gets there.
            Property::always(ALL_PUBLISHED, |model: &Self, state: &State| {
                let mut left = Vec::new();
                model.actions(state, &mut left);
                !left.is_empty() || model.has_published_all(state)
            }),
            Property::sometimes(ALL_CAN_BE_PUBLISHED, Self::has_published_all),
        ]
    }
}
