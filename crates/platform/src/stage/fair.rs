//! Fair order: work is taken ahead, put into lanes, and each lane has its turn. So whoever has much work waiting does
//! not keep those who have little.
//!
//! What is taken ahead is held by this process though nobody works on it yet, unlike in other stages; so the window is
//! kept small, its hints are reported to be in progress, and they are handed back at shutdown.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Things waiting, each in its lane.
pub(super) struct Window<T> {
    lanes: Mutex<Lanes<T>>,
    size: usize,
    /// Something was put in.
    pub filled: Notify,
    /// Something was taken out.
    pub emptied: Notify,
}

struct Lanes<T> {
    lanes: HashMap<String, VecDeque<T>>,
    /// Lanes that are not empty, the next one first.
    turns: VecDeque<String>,
    waiting: usize,
}

impl<T> Window<T> {
    /// For about `size` things.
    pub(super) fn new(size: usize) -> Self {
        let lanes = Lanes {
            lanes: HashMap::new(),
            turns: VecDeque::new(),
            waiting: 0,
        };
        Self {
            lanes: Mutex::new(lanes),
            size,
            filled: Notify::new(),
            emptied: Notify::new(),
        }
    }

    /// How many more may be put in.
    pub(super) fn room(&self) -> usize {
        self.size.saturating_sub(self.lanes().waiting)
    }

    /// At the end of its lane, or at its beginning.
    pub(super) fn put(&self, lane: String, thing: T, first: bool) {
        let mut lanes = self.lanes();
        lanes.waiting += 1;
        let queue = lanes.lanes.entry(lane.clone()).or_default();
        let was_empty = queue.is_empty();
        match first {
            true => queue.push_front(thing),
            false => queue.push_back(thing),
        }
        if was_empty {
            lanes.turns.push_back(lane);
        }
        drop(lanes);
        self.filled.notify_one();
    }

    /// Up to `max` things, one of each lane in turn.
    pub(super) fn take(&self, max: usize) -> Vec<T> {
        let mut taken = Vec::new();
        let mut lanes = self.lanes();
        while taken.len() < max
            && let Some(lane) = lanes.turns.pop_front()
        {
            let Some(queue) = lanes.lanes.get_mut(&lane) else {
                continue;
            };
            taken.extend(queue.pop_front());
            if queue.is_empty() {
                lanes.lanes.remove(&lane);
            } else {
                lanes.turns.push_back(lane);
            }
        }
        lanes.waiting = lanes.waiting.saturating_sub(taken.len());
        let is_left = lanes.waiting > 0;
        drop(lanes);
        if !taken.is_empty() {
            self.emptied.notify_one();
        }
        // Another worker may have slept through this one's wakening.
        if is_left {
            self.filled.notify_one();
        }
        taken
    }

    /// What `of` says of each thing that waits.
    pub(super) fn each<R>(&self, of: impl Fn(&T) -> R) -> Vec<R> {
        self.lanes().lanes.values().flatten().map(of).collect()
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes<T>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lane_has_its_turn() {
        let window = Window::new(10);
        for n in 0..6 {
            window.put("much".to_owned(), n, false);
        }
        for n in 10..12 {
            window.put("little".to_owned(), n, false);
        }
        assert_eq!(window.room(), 2);
        assert_eq!(window.take(3), [0, 10, 1]);
        assert_eq!(window.each(|n| *n).len(), 5);
        window.put("late".to_owned(), 20, false);
        window.put("much".to_owned(), 30, true);
        assert_eq!(window.take(9), [11, 30, 20, 2, 3, 4, 5]);
        assert!(window.take(1).is_empty());
        assert_eq!(window.room(), 10);
    }
}
