//! Registries as event streams: `ledger/<kind>/<id>/<seq>`, create-only, folded into state.

use std::sync::Arc;

use probity_proto::ledger::{Envelope, LedgerEvent};

use crate::objects::Objects;
use crate::{Clock, Result};

/// Appends to and reads event streams in bucket `truth`.
#[derive(Clone)]
pub struct Ledger {
    truth: Arc<dyn Objects>,
    clock: Arc<dyn Clock>,
}

/// The events of one stream so far; its length is the sequence number the next event gets.
#[derive(Debug, Clone)]
pub struct History<E> {
    pub id: String,
    pub events: Vec<Envelope<E>>,
}

/// What became of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    Appended,
    /// Another writer was first: read again and decide again.
    Lost,
}

impl Ledger {
    /// On bucket `truth`.
    #[must_use]
    pub fn new(truth: Arc<dyn Objects>, clock: Arc<dyn Clock>) -> Self {
        Self { truth, clock }
    }

    /// Reads a stream; empty when nothing was ever written. At most 10,000 events.
    pub async fn read<E: LedgerEvent>(&self, id: &str) -> Result<History<E>>;

    /// Appends one event at the end of what `history` saw, create-only. Adds it to `history` when appended.
    pub async fn append<E: LedgerEvent>(&self, history: &mut History<E>, actor: &str, cause: &str, event: E) -> Result<Appended>;

    /// Reads, decides, appends, and does so again when another writer was first (bounded): `decide` sees the history
    /// and answers the event to append, or `None` for nothing to do. Answers the history as it stands afterwards.
    pub async fn update<E, F>(&self, id: &str, actor: &str, cause: &str, decide: F) -> Result<History<E>>
    where
        E: LedgerEvent,
        F: Fn(&History<E>) -> Result<Option<E>> + Send + Sync;

    /// Ids of a kind greater than `after`, in order, at most `limit`.
    pub async fn ids<E: LedgerEvent>(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>>;
}
