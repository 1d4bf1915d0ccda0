//! Committing, and finding out where a log stands. The order of writes is told in [`super`].

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use probity_domain::EvidenceId;
use probity_pki::tlog::{Checkpoint, LogKey};
use probity_platform::objects::{Created, Swapped, Version};
use probity_platform::{Error, ErrorKind, Random, Result};

use super::entries::{BUNDLE_BYTES_MAX, load_tree};
use super::head::{Head, encode_staged, find_head, read_staged};
use super::layout::{HEAD, checkpoint_key, staged_key};
use super::left::Verify;
use super::published::{Log, Published};
use super::tree::{Entry, Grown, Tree};

/// Tiles written at once.
const WRITES_AT_ONCE: usize = 8;

/// Appends to the log. Any number of writers may exist; the swap of the head makes them one.
pub struct Writer {
    pub(super) log: Arc<Log>,
    key: Arc<LogKey>,
    random: Arc<dyn Random>,
    /// Judges what a lost commit left behind.
    pub(super) verify: Option<Arc<dyn Verify>>,
    /// `None` when the log has to be looked at again.
    state: Option<State>,
    /// Published by recovery: whoever committed it may not have told anybody.
    recovered: Vec<(EvidenceId, u64)>,
}

struct State {
    tree: Tree,
    head: Version,
    staged: String,
}

/// Where the entries of a batch stand, in its order, and what recovery published before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    pub placed: Vec<u64>,
    pub recovered: Vec<(EvidenceId, u64)>,
}

impl Writer {
    /// Holds the log's key; looks at the log when first used. Takes up nothing that a lost commit left behind, unless it is
    /// told who judges that.
    #[must_use]
    pub fn new(log: Arc<Log>, key: impl Into<Arc<LogKey>>, random: Arc<dyn Random>) -> Self {
        Self {
            log,
            key: key.into(),
            random,
            verify: None,
            state: None,
            recovered: Vec::new(),
        }
    }

    /// Takes up what a lost commit left behind if this judge lets it.
    #[must_use]
    pub fn verifying(mut self, verify: Arc<dyn Verify>) -> Self {
        self.verify = Some(verify);
        self
    }

    /// Appends what is not in the log yet and publishes it. A number that is there stays where it is.
    ///
    /// # Errors
    /// `Conflict` when another writer committed first: nothing was changed, try again. Transient kinds: the entries may
    /// have been committed; trying again finds them. `Internal` when the store holds something else than this log.
    pub async fn commit(&mut self, batch: &[Entry]) -> Result<Committed> {
        let state = match self.state.take() {
            Some(state) => state,
            None => self.recover().await?,
        };
        if let Err(e) = self.log.prove_new(batch).await {
            self.state = Some(state);
            return Err(e);
        }
        let mut fresh: Vec<Entry> = Vec::new();
        let mut places: HashMap<EvidenceId, u64> = HashMap::new();
        let mut placed = Vec::with_capacity(batch.len());
        for entry in batch {
            let next = state.tree.size + fresh.len() as u64;
            let leaf = match self.log.leaf(entry.evidence) {
                Some(leaf) => leaf,
                None => *places.entry(entry.evidence).or_insert_with(|| {
                    fresh.push(entry.clone());
                    next
                }),
            };
            placed.push(leaf);
        }
        let state = match fresh.is_empty() {
            true => state,
            false => {
                let next = self.extend(&state.tree, Some(&state.head), &fresh).await?;
                // Best effort: what is left over is cleared by the bucket's lifecycle rule.
                self.log.work.remove(&state.staged).await.ok();
                next
            }
        };
        self.state = Some(state);
        Ok(Committed {
            placed,
            recovered: std::mem::take(&mut self.recovered),
        })
    }

    /// Stages, swaps, writes, publishes.
    async fn extend(&self, tree: &Tree, head: Option<&Version>, new: &[Entry]) -> Result<State> {
        let grown = tree.grow(new)?;
        let (size, root) = (grown.tree.size, grown.tree.root);
        let note = Checkpoint {
            origin: self.key.name().to_owned(),
            size,
            root,
        }
        .sign(&self.key)
        .map_err(Error::internal)?;
        let nonce = hex::encode(self.random.bytes::<16>());
        let staged = staged_key(size, &nonce);
        let (put, went_on) = tokio::join!(
            self.log.work.put(&staged, encode_staged(new)?),
            self.log.published_after(tree.size),
        );
        put?;
        // An old copy of the head, put back, would let a writer that slept since then win the swap: its tiles would
        // stand where those of the published log belong.
        if went_on?.is_some() {
            self.log.work.remove(&staged).await.ok();
            return Err(Error::conflict("the log was published beyond this head"));
        }
        let text = String::from_utf8(note.clone()).map_err(Error::internal)?;
        let next = Head::new(size, text, tree.size, staged.clone(), nonce);
        match self.log.work.swap(HEAD, head, next.to_bytes()?).await? {
            Swapped::Swapped(head) => {
                let published = Published {
                    size,
                    root,
                    note: note.into(),
                };
                let tree = self
                    .publish(tree.size, &head, grown, published, new)
                    .await?;
                Ok(State { tree, head, staged })
            }
            Swapped::Lost => {
                self.log.work.remove(&staged).await.ok();
                Err(Error::conflict("another writer moved the log's head"))
            }
        }
    }

    /// Brings `truth` up to a committed head. Doing it again writes the same bytes.
    async fn publish(
        &self,
        first: u64,
        head: &Version,
        grown: Grown,
        published: Published,
        new: &[Entry],
    ) -> Result<Tree> {
        // One after the other: what a lost commit left behind has no gaps, so that it can be taken up.
        for (key, bytes) in &grown.entries {
            self.create(first, head, key, bytes).await?;
        }
        let tiles: Vec<_> = grown
            .tiles
            .iter()
            .map(|(key, bytes)| self.create(first, head, key, bytes))
            .collect();
        stream::iter(tiles)
            .buffer_unordered(WRITES_AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        self.create_checkpoint(first, head, &published).await?;
        let numbers: Vec<EvidenceId> = new.iter().map(|entry| entry.evidence).collect();
        self.log.take_up(first, &numbers);
        self.log.show(published).await?;
        Ok(grown.tree)
    }

    async fn create(&self, first: u64, head: &Version, key: &str, bytes: &Bytes) -> Result<()> {
        match self.log.truth.create(key, bytes.clone()).await? {
            Created::Created => Ok(()),
            Created::Exists(_) => self.take_back(first, head, key, bytes).await,
        }
    }

    /// What is no checkpoint may stand in its place: it was forged before, or damaged since.
    async fn create_checkpoint(
        &self,
        first: u64,
        head: &Version,
        published: &Published,
    ) -> Result<()> {
        let (key, note) = (checkpoint_key(published.size), &published.note);
        let created = self.log.truth.create(&key, note.clone()).await?;
        let Created::Exists(there) = created else {
            return Ok(());
        };
        let read = self.log.read_note(there);
        if read.is_ok_and(|read| read.size == published.size) {
            return Err(fork(&key));
        }
        self.take_back(first, head, &key, note).await
    }

    /// Writes over other bytes than the commit's, which are not published: nothing of the log stands behind what is, so
    /// somebody put them there, or a commit whose entries did not hold left them. They stay as a version.
    ///
    /// Only as long as the head is this commit's and nothing is published behind `first`: whoever slept through a head
    /// that was put back would else write over what another has published. Between that look and the write the object
    /// must not change.
    async fn take_back(&self, first: u64, head: &Version, key: &str, bytes: &Bytes) -> Result<()> {
        let (truth, work) = (&*self.log.truth, &*self.log.work);
        if !truth.keeping().await?.versions {
            return Err(fork(key));
        }
        let there = match truth.get(key, BUNDLE_BYTES_MAX).await {
            // Larger than anything of the log.
            Err(e) if e.kind == ErrorKind::Malformed => None,
            read => Some(read?.map(|object| object.version)),
        };
        let holds = find_head(work).await?.is_some_and(|(_, now)| now == *head);
        if !holds {
            return Err(Error::conflict("another writer moved the log's head"));
        }
        if self.log.published_after(first).await?.is_some() {
            return Err(fork(key));
        }
        tracing::error!(key, "what stood there was not the log's: written over");
        match there {
            Some(there) => match truth.swap(key, there.as_ref(), bytes.clone()).await? {
                Swapped::Swapped(_) => Ok(()),
                Swapped::Lost => Err(Error::conflict(format!("{key} changed meanwhile"))),
            },
            None => truth.put(key, bytes.clone()).await,
        }
    }

    /// Finds out where the log stands, and finishes what a writer before this one began.
    async fn recover(&mut self) -> Result<State> {
        let (reason, version) = match find_head(&*self.log.work).await? {
            None => return self.recover_without_head(None).await,
            Some((Err(reason), version)) => (reason, version),
            Some((Ok(head), version)) => match self.follow(head, &version).await? {
                Ok(state) => return Ok(state),
                Err(reason) => (reason.to_owned(), version),
            },
        };
        tracing::error!(reason, "the log's head is not gone by");
        self.recover_without_head(Some(&version)).await
    }

    /// Goes by the head; the inner error says why nobody should.
    async fn follow(
        &mut self,
        head: Head,
        version: &Version,
    ) -> Result<core::result::Result<State, &'static str>> {
        if self.log.published_after(head.size).await?.is_some() {
            return Ok(Err("it is older than the log's checkpoints"));
        }
        if let Some(Ok(published)) = self.log.stored_checkpoint(head.size).await? {
            let tree = load_tree(&*self.log.truth, published.size, published.root).await?;
            self.log.show(published).await?;
            // An old copy of the head, put back while the newest commit had written entries and no checkpoint, is no
            // older than any checkpoint: what it does not know of tells.
            if !self.left_behind(&tree).await?.is_empty() {
                return Ok(Err("entries lie behind it"));
            }
            return Ok(Ok(State {
                tree,
                head: version.clone(),
                staged: head.staged,
            }));
        }
        // Nothing is published between the two sizes of a head; if something is, an old copy of it was built upon.
        let beside = self.log.published_after(head.previous_size).await?;
        if beside.is_some() {
            return Ok(Err("the log was published beside it"));
        }
        let published = match self.log.read_note(Bytes::from(head.checkpoint)) {
            Ok(published) if published.size == head.size => published,
            _ => return Ok(Err("it holds no checkpoint of its size")),
        };
        let new = match read_staged(&*self.log.work, &head.staged).await {
            Ok(Some(new)) => new,
            Ok(None) => return Ok(Err("its staged entries are gone")),
            Err(e) if e.kind.is_transient() => return Err(e),
            Err(_) => return Ok(Err("its staged entries do not read")),
        };
        let tree = self.tree_of(head.previous_size).await?;
        let grown = tree.grow(&new)?;
        if (grown.tree.size, grown.tree.root) != (published.size, published.root) {
            return Ok(Err("its staged entries do not lead to it"));
        }
        tracing::info!(
            from = tree.size,
            to = published.size,
            "rolling the log forward"
        );
        let tree = self
            .publish(tree.size, version, grown, published, &new)
            .await?;
        self.remember(head.previous_size, &new);
        Ok(Ok(State {
            tree,
            head: version.clone(),
            staged: head.staged,
        }))
    }

    /// The head is lost, or behind: goes on from the newest checkpoint, and from the entries that lie behind it.
    async fn recover_without_head(&mut self, head: Option<&Version>) -> Result<State> {
        let tree = match self.log.newest().await? {
            Some(newest) => self.tree_of(newest.size).await?,
            None => Tree::empty(),
        };
        let left = self.left_behind(&tree).await?;
        tracing::info!(
            size = tree.size,
            left = left.len(),
            "recovering the log's head"
        );
        let state = self.extend(&tree, head, &left).await?;
        self.remember(tree.size, &left);
        Ok(state)
    }

    async fn tree_of(&self, size: u64) -> Result<Tree> {
        let published = match (self.log.checkpoint(size).await?, size) {
            (Some(published), _) => published,
            (None, 0) => return Ok(Tree::empty()),
            (None, _) => return Err(Error::internal(format!("no checkpoint of size {size}"))),
        };
        let tree = load_tree(&*self.log.truth, published.size, published.root).await?;
        self.log.show(published).await?;
        Ok(tree)
    }

    fn remember(&mut self, first: u64, entries: &[Entry]) {
        let numbers = entries.iter().map(|entry| entry.evidence);
        self.recovered.extend(numbers.zip(first..));
    }
}

fn fork(key: &str) -> Error {
    tracing::error!(key, "the log would fork: other bytes stand there");
    Error::internal(format!("the log would fork at {key}"))
}
