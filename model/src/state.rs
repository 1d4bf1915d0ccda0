//! What the two buckets and the writers hold.

use std::collections::{BTreeMap, BTreeSet};

/// An evidence number.
pub type Entry = u8;
/// What somebody has put there who is no writer, and nobody can verify.
pub const FORGED: Entry = 0;
/// The entries of a tree, in order.
pub type History = Vec<Entry>;

/// `log/head`: the note of a size, the size before, and the name of the staged entries, which no two heads share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Head {
    pub history: History,
    pub previous: usize,
    pub staged: u8,
}

/// Where a writer is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum At {
    /// It knows nothing.
    Idle,
    /// It has read the head.
    Looked(Option<Head>),
    /// It knows the tree, and the head it stands under.
    Ready(History, Head),
    /// New entries are staged for a head that is to follow on this one.
    Staged { head: Option<Head>, next: Head },
    /// The head is its own, or was found without its checkpoint; so many of the three writes are done.
    Publishing { head: Head, done: u8 },
    /// Other bytes stand where its own must go.
    Stuck,
}

/// Both buckets, the writers, and what can still go wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct State {
    pub head: Option<Head>,
    /// The head before the last swap.
    pub older: Option<Head>,
    /// Staged entries, by name.
    pub staged: BTreeMap<u8, History>,
    /// Entries, by the place of the first.
    pub segments: BTreeMap<usize, History>,
    /// Edge tiles, by size.
    pub tiles: BTreeMap<usize, History>,
    pub checkpoints: BTreeMap<usize, History>,
    pub writers: Vec<At>,
    pub crashes_left: u8,
    pub losses_left: u8,
    pub forgeries_left: u8,
    /// What was committed since bucket `work` was last lost or rolled back.
    pub committed: History,
    /// A head was replaced by one that does not go on from it.
    pub undone: bool,
}

/// What a write into `truth` comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrote {
    Done,
    /// Other bytes stand there, and the head is another's by now.
    Lost,
    /// Other bytes stand there, to stay.
    Stuck,
}

/// Create-only: the same bytes again are as good as the first time.
fn create(objects: &mut BTreeMap<usize, History>, key: usize, bytes: &[Entry]) -> bool {
    objects.entry(key).or_insert_with(|| bytes.to_vec()) == bytes
}

/// Entries behind all that is published may be written over, by whoever holds the head.
pub(crate) fn write_entries(state: &mut State, head: &Head, takes_back: bool) -> Wrote {
    let new = head.history.get(head.previous..).unwrap_or_default();
    if new.is_empty() || create(&mut state.segments, head.previous, new) {
        return Wrote::Done;
    }
    if !takes_back {
        return Wrote::Stuck;
    }
    if state.head.as_ref() != Some(head) {
        return Wrote::Lost;
    }
    if state.published().len() > head.previous {
        return Wrote::Stuck;
    }
    state.segments.insert(head.previous, new.to_vec());
    Wrote::Done
}

pub(crate) fn write_tiles(state: &mut State, head: &Head, _: bool) -> Wrote {
    match create(&mut state.tiles, head.history.len(), &head.history) {
        true => Wrote::Done,
        false => Wrote::Stuck,
    }
}

pub(crate) fn write_checkpoint(state: &mut State, head: &Head, _: bool) -> Wrote {
    match create(&mut state.checkpoints, head.history.len(), &head.history) {
        true => Wrote::Done,
        false => Wrote::Stuck,
    }
}

impl State {
    /// Every head that somebody may still compare with or read.
    fn heads(&self) -> impl Iterator<Item = &Head> {
        let known = self.writers.iter().flat_map(|at| match at {
            At::Looked(head) => [head.as_ref(), None],
            At::Ready(_, head) | At::Publishing { head, .. } => [Some(head), None],
            At::Staged { head, next } => [head.as_ref(), Some(next)],
            At::Idle | At::Stuck => [None, None],
        });
        known.flatten().chain(&self.head).chain(&self.older)
    }

    /// Names are random in the code; here one that nobody knows any more may come again, which keeps the world small.
    pub(crate) fn unused_name(&self) -> u8 {
        let used: BTreeSet<u8> = self.heads().map(|head| head.staged).collect();
        (0..u8::MAX)
            .find(|name| !used.contains(name))
            .unwrap_or(u8::MAX)
    }

    /// Staged entries that no head names are rubbish.
    pub(crate) fn sweep(&mut self) {
        let used: BTreeSet<u8> = self.heads().map(|head| head.staged).collect();
        self.staged.retain(|name, _| used.contains(name));
    }

    /// Whoever wrote is down.
    pub(crate) fn kill_all(&mut self) {
        self.losses_left -= 1;
        self.writers.iter_mut().for_each(|at| *at = At::Idle);
        self.committed = self.published();
    }

    pub(crate) fn published(&self) -> History {
        let newest = self.checkpoints.last_key_value();
        newest
            .map(|(_, history)| history.clone())
            .unwrap_or_default()
    }

    pub(crate) fn has_no_fork(&self) -> bool {
        let newest = self.published();
        let mut all = self.checkpoints.iter();
        all.all(|(size, history)| history.len() == *size && newest.starts_with(history))
    }

    /// Entries and tiles of every checkpoint lie there, and a reader who believes the head's word finds a checkpoint.
    pub(crate) fn has_what_it_promises(&self) -> bool {
        let mut entries = History::new();
        while let Some(segment) = self.segments.get(&entries.len()) {
            entries.extend(segment);
        }
        let is_there = |history: &History| {
            history.is_empty()
                || entries.starts_with(history) && self.tiles.get(&history.len()) == Some(history)
        };
        let read_by_head = self
            .head
            .as_ref()
            .is_none_or(|head| head.previous == 0 || self.checkpoints.contains_key(&head.previous));
        read_by_head && self.checkpoints.values().all(is_there)
    }

    pub(crate) fn has_forged(&self) -> bool {
        let mut all = self.checkpoints.values();
        all.any(|history| history.contains(&FORGED))
    }

    pub(crate) fn has_doubles(&self) -> bool {
        self.checkpoints
            .values()
            .any(|history| history.iter().collect::<BTreeSet<_>>().len() != history.len())
    }
}
