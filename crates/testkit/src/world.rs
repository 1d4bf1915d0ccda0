//! The servers a test runs against.

use std::path::PathBuf;

use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::nats::Nats;
use crate::redis::Redis;
use crate::s3::{Minio, S3Access};
use crate::server::{Server, ask};

/// Running servers; they end when this is dropped or the process ends. Methods that need a server
/// which was not asked for panic.
pub struct World {
    nats: Option<Part>,
    redis: Option<Part>,
    /// `None` with an access means a store that somebody else runs.
    minio: Option<Part>,
    s3: Option<S3Access>,
    /// Last, so that the servers are dead before their folder goes.
    _folder: TempDir,
}

struct Part {
    port: u16,
    server: Mutex<Server>,
}

impl Part {
    fn new(server: Server) -> Self {
        Self {
            port: server.port(),
            server: Mutex::new(server),
        }
    }
}

/// Which servers to start.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct WorldBuilder {
    nats: bool,
    nats_config: String,
    redis: bool,
    s3: bool,
}

impl WorldBuilder {
    /// A nats-server with JetStream.
    pub const fn nats(mut self) -> Self {
        self.nats = true;
        self
    }

    /// Further lines for the configuration of nats-server, such as `authorization { … }`.
    pub fn nats_config(mut self, lines: impl Into<String>) -> Self {
        self.nats_config = lines.into();
        self
    }

    /// A redis-server.
    pub const fn redis(mut self) -> Self {
        self.redis = true;
        self
    }

    /// An S3 server.
    pub const fn s3(mut self) -> Self {
        self.s3 = true;
        self
    }

    /// Starts them and returns when all are ready.
    ///
    /// # Panics
    /// If an executable is missing (`make tools` brings them) or a server does not come up.
    pub async fn start(self) -> World {
        let folder = TempDir::with_prefix("probity-testkit-")
            .unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let given = if self.s3 {
            S3Access::from_environment()
        } else {
            None
        };
        let start_nats = async {
            if self.nats {
                let config = self.nats_config;
                Some(Server::start(Box::new(Nats { config }), folder.path()).await)
            } else {
                None
            }
        };
        let start_redis = async {
            if self.redis {
                Some(Server::start(Box::new(Redis), folder.path()).await)
            } else {
                None
            }
        };
        let start_minio = async {
            if !self.s3 || given.is_some() {
                return None;
            }
            let minio = Minio::new();
            let access = minio.access(0);
            let server = Server::start(Box::new(minio), folder.path()).await;
            let endpoint = format!("http://127.0.0.1:{}", server.port());
            Some((S3Access { endpoint, ..access }, server))
        };
        let (nats, redis, minio) = tokio::join!(start_nats, start_redis, start_minio);
        let (s3, minio) = match minio {
            Some((access, server)) => (Some(access), Some(Part::new(server))),
            None => (given, None),
        };
        let (nats, redis) = (nats.map(Part::new), redis.map(Part::new));
        World {
            nats,
            redis,
            minio,
            s3,
            _folder: folder,
        }
    }
}

static SHARED: OnceCell<World> = OnceCell::const_new();

impl World {
    /// A world with everything in it, of the caller's own.
    pub async fn start() -> Self {
        Self::builder().nats().redis().s3().start().await
    }

    /// A world with nothing in it yet.
    pub fn builder() -> WorldBuilder {
        WorldBuilder::default()
    }

    /// The world that all tests of this process share, with everything in it. Never stop or wipe
    /// anything here: start an own world for that.
    pub async fn shared() -> &'static Self {
        SHARED.get_or_init(Self::start).await
    }

    /// Such as `nats://127.0.0.1:19222`.
    #[must_use]
    pub fn nats_url(&self) -> String {
        format!("nats://127.0.0.1:{}", part(&self.nats, "NATS").port)
    }

    /// Such as `redis://127.0.0.1:19379/`.
    #[must_use]
    pub fn redis_url(&self) -> String {
        format!("redis://127.0.0.1:{}/", part(&self.redis, "Redis").port)
    }

    /// How to reach the S3 server.
    #[must_use]
    pub fn s3(&self) -> S3Access {
        self.s3
            .clone()
            .unwrap_or_else(|| panic!("this world was started without S3"))
    }

    /// Ends nats-server in good order (SIGTERM); clients lose their connections.
    pub async fn stop_nats(&self) {
        lock(&self.nats, "NATS").await.stop().await;
    }

    /// Ends nats-server at once (SIGKILL).
    pub async fn kill_nats(&self) {
        lock(&self.nats, "NATS").await.kill();
    }

    /// The folder where nats-server keeps its streams: to be changed while it is stopped.
    pub async fn nats_store(&self) -> PathBuf {
        lock(&self.nats, "NATS").await.data()
    }

    /// Ends nats-server at once and deletes its streams, consumers and messages.
    pub async fn wipe_nats(&self) {
        lock(&self.nats, "NATS").await.wipe();
    }

    /// Starts nats-server on its old port, with what its store still holds.
    pub async fn start_nats(&self) {
        start(&self.nats, "NATS").await;
    }

    /// Makes nats-server silent without closing anything (SIGSTOP).
    pub async fn freeze_nats(&self) {
        lock(&self.nats, "NATS").await.freeze();
    }

    /// Lets a frozen nats-server go on.
    pub async fn thaw_nats(&self) {
        lock(&self.nats, "NATS").await.thaw();
    }

    /// Empties Redis.
    pub async fn flush_redis(&self) {
        let flushed = ask(part(&self.redis, "Redis").port, b"FLUSHALL\r\n", "+OK").await;
        assert!(
            matches!(flushed, Ok(true)),
            "redis not flushed: {flushed:?}"
        );
    }

    /// Lets Redis hold no more than this: it refuses writes beyond, and evicts nothing.
    pub async fn limit_redis(&self, bytes: u64) {
        let command = format!("CONFIG SET maxmemory {bytes}\r\n");
        let limited = ask(part(&self.redis, "Redis").port, command.as_bytes(), "+OK").await;
        assert!(
            matches!(limited, Ok(true)),
            "redis not limited: {limited:?}"
        );
    }

    /// Ends Redis; all it held is gone.
    pub async fn stop_redis(&self) {
        lock(&self.redis, "Redis").await.stop().await;
    }

    /// Starts Redis on its old port, empty.
    pub async fn start_redis(&self) {
        start(&self.redis, "Redis").await;
    }

    /// Makes Redis silent without closing anything (SIGSTOP).
    pub async fn freeze_redis(&self) {
        lock(&self.redis, "Redis").await.freeze();
    }

    /// Lets a frozen Redis go on.
    pub async fn thaw_redis(&self) {
        lock(&self.redis, "Redis").await.thaw();
    }

    /// Ends the S3 server (SIGKILL); what it acknowledged stays.
    pub async fn stop_s3(&self) {
        lock(&self.minio, "S3 of its own").await.kill();
    }

    /// Starts the S3 server on its old port with its old data.
    pub async fn start_s3(&self) {
        start(&self.minio, "S3 of its own").await;
    }

    /// Makes the S3 server silent without closing anything (SIGSTOP).
    pub async fn freeze_s3(&self) {
        lock(&self.minio, "S3 of its own").await.freeze();
    }

    /// Lets a frozen S3 server go on.
    pub async fn thaw_s3(&self) {
        lock(&self.minio, "S3 of its own").await.thaw();
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("s3", &self.s3)
            .finish_non_exhaustive()
    }
}

fn part<'a>(part: &'a Option<Part>, what: &str) -> &'a Part {
    part.as_ref()
        .unwrap_or_else(|| panic!("this world was started without {what}"))
}

async fn lock<'a>(of: &'a Option<Part>, what: &str) -> MutexGuard<'a, Server> {
    part(of, what).server.lock().await
}

async fn start(of: &Option<Part>, what: &str) {
    if let Err(reason) = lock(of, what).await.start_again().await {
        panic!("{reason}");
    }
}
