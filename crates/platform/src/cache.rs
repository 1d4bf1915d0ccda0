//! Redis: what is cheap to forget. Nothing waits for it longer than half a second, and nothing is lost with it.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use probity_domain::{EvidenceId, SubmissionId};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{IntoConnectionInfo, Pipeline, RedisResult, cmd, pipe};
use serde::Deserialize;

use crate::config::SecretFile;
use crate::metrics::{CacheLabel, CacheMetrics, Metrics};
use crate::{Error, Result};

/// No operation takes longer, whatever happens to Redis.
const OPERATION_MS_MAX: u64 = 500;
/// What Redis answers to a write when it is at its maxmemory and evicts nothing.
const FULL: &str = "OOM";
/// How often that is said in the log.
const SAID_EVERY: Duration = Duration::from_secs(60);
/// Commands sent in one go; more are sent in several.
const PIPELINE_MAX: usize = 1_000;

/// `[redis]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://host:port/database`, without a password.
    pub url: String,
    pub username: Option<String>,
    pub password_file: Option<SecretFile>,
    /// Put before every key, so that several platforms can share one Redis.
    #[serde(default)]
    pub key_prefix: String,
}

/// A connection to Redis that comes up by itself, or none. Cheap to clone.
///
/// Every operation fails with `Unavailable` when Redis does not answer in 500 ms; callers go on without.
#[derive(Clone)]
pub struct Cache {
    connection: Option<ConnectionManager>,
    /// No operation takes longer.
    limit: Duration,
    key_prefix: String,
    metrics: CacheMetrics,
    /// When it was last said that Redis is full.
    said_full: Arc<Mutex<Option<Instant>>>,
}

impl Cache {
    /// Prepares the connection; it is made when first used and again whenever it is lost.
    ///
    /// # Errors
    /// `Malformed` for a URL or password file that does not read. Never because Redis is not there.
    pub fn new(config: &RedisConfig) -> Result<Self> {
        Self::within(config, Duration::from_millis(OPERATION_MS_MAX))
    }

    /// For a test that is about something else than a Redis that is slow because the machine is: operations may take a
    /// minute.
    ///
    /// # Errors
    /// As [`Self::new`].
    #[doc(hidden)]
    pub fn for_tests(config: &RedisConfig) -> Result<Self> {
        Self::within(config, Duration::from_secs(60))
    }

    fn within(config: &RedisConfig, limit: Duration) -> Result<Self> {
        let unusable = |e: redis::RedisError| Error::malformed(format!("redis url: {e}"));
        let info = config
            .url
            .as_str()
            .into_connection_info()
            .map_err(unusable)?;
        let mut settings = info.redis_settings().clone();
        if settings.password().is_some() {
            return Err(Error::malformed(
                "redis url: put the password into password_file",
            ));
        }
        if let Some(username) = &config.username {
            settings = settings.set_username(username);
        }
        if let Some(file) = &config.password_file {
            settings = settings.set_password(file.read()?.expose());
        }
        let client = redis::Client::open(info.set_redis_settings(settings)).map_err(unusable)?;
        let manager = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(limit))
            .set_response_timeout(Some(limit))
            .set_max_delay(Duration::from_secs(2))
            .set_number_of_retries(usize::MAX);
        let connection =
            ConnectionManager::new_lazy_with_config(client, manager).map_err(unusable)?;
        Ok(Self {
            connection: Some(connection),
            limit,
            key_prefix: config.key_prefix.clone(),
            ..Self::disabled()
        })
    }

    /// No Redis at all: every operation is `Unavailable` at once.
    #[must_use]
    pub fn disabled() -> Self {
        Self {
            connection: None,
            limit: Duration::ZERO,
            key_prefix: String::new(),
            metrics: Metrics::new().cache,
            said_full: Arc::default(),
        }
    }

    /// Counts into `metrics` from now on.
    #[must_use]
    pub fn counting_into(mut self, metrics: &Metrics) -> Self {
        self.metrics = metrics.cache.clone();
        self
    }

    /// Whether Redis answers.
    ///
    /// # Errors
    /// `Unavailable` when it does not.
    pub async fn ping(&self) -> Result<()> {
        self.run(async |mut c| cmd("PING").query_async::<String>(&mut c).await)
            .await
            .map(drop)
    }

    /// Reads a value.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let get = cmd("GET").arg(self.key(key)).to_owned();
        self.run(async |mut c| get.query_async(&mut c).await).await
    }

    /// Writes a value that Redis forgets after `ttl_ms`; without, when it wants to.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn set(&self, key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<()> {
        let mut set = cmd("SET").arg(self.key(key)).arg(value).to_owned();
        if let Some(ttl_ms) = ttl_ms {
            set.arg("PX").arg(ttl_ms.max(1));
        }
        self.run(async |mut c| set.query_async(&mut c).await).await
    }

    /// Writes a value in the place of one that stands there; `false` when none does.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn replace(&self, key: &str, value: &[u8]) -> Result<bool> {
        let set = cmd("SET")
            .arg(self.key(key))
            .arg(value)
            .arg("XX")
            .to_owned();
        let said: Option<String> = self
            .run(async |mut c| set.query_async(&mut c).await)
            .await?;
        Ok(said.is_some())
    }

    /// Writes many values.
    ///
    /// # Errors
    /// `Unavailable`; some may have been written.
    pub async fn mset(&self, entries: &[(String, Vec<u8>)]) -> Result<()> {
        for chunk in entries.chunks(PIPELINE_MAX) {
            let mut pipeline = pipe();
            for (key, value) in chunk {
                pipeline
                    .cmd("SET")
                    .arg(self.key(key))
                    .arg(value.as_slice())
                    .ignore();
            }
            self.run_pipeline::<()>(&pipeline).await?;
        }
        Ok(())
    }

    /// Removes a value.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn del(&self, key: &str) -> Result<()> {
        let del = cmd("DEL").arg(self.key(key)).to_owned();
        self.run(async |mut c| del.query_async(&mut c).await).await
    }

    /// Writes where in the log evidence numbers stand: one hash per submission, small in memory and read as a whole.
    ///
    /// # Errors
    /// `Unavailable`; some may have been written, and writing them again does no harm.
    pub async fn index_put(&self, entries: &[(EvidenceId, u64)]) -> Result<()> {
        for chunk in entries.chunks(PIPELINE_MAX) {
            let mut pipeline = pipe();
            for (id, leaf_index) in chunk {
                let command = pipeline.cmd("HSET").arg(self.index_key(&id.submission));
                command.arg(id.item).arg(*leaf_index).ignore();
            }
            self.run_pipeline::<()>(&pipeline).await?;
        }
        Ok(())
    }

    /// Where in the log these numbers stand, in the order asked; `None` means not known here, not that it is not in
    /// the log.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn index_get(&self, ids: &[EvidenceId]) -> Result<Vec<Option<u64>>> {
        let mut found = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(PIPELINE_MAX) {
            let mut pipeline = pipe();
            for id in chunk {
                pipeline
                    .cmd("HGET")
                    .arg(self.index_key(&id.submission))
                    .arg(id.item);
            }
            found.extend(self.run_pipeline::<Vec<Option<u64>>>(&pipeline).await?);
        }
        Ok(found)
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.key_prefix)
    }

    fn index_key(&self, submission: &SubmissionId) -> Vec<u8> {
        let mut key = self.key("i:").into_bytes();
        key.extend_from_slice(submission.as_bytes());
        key
    }

    async fn run_pipeline<T: redis::FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T> {
        self.run(async |mut c| pipeline.query_async(&mut c).await)
            .await
    }

    async fn run<T, F>(&self, operation: impl FnOnce(ConnectionManager) -> F) -> Result<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let connection = self
            .connection
            .clone()
            .ok_or_else(|| Error::unavailable("no redis"))?;
        match tokio::time::timeout(self.limit, operation(connection)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(e)) if is_full(&e) => {
                self.count("full");
                self.say_full();
                Err(Error::unavailable(format!("redis is full: {e}")))
            }
            Ok(Err(e)) => {
                self.count("error");
                Err(Error::unavailable(format!("redis: {e}")))
            }
            Err(_) => {
                self.count("silent");
                Err(Error::unavailable("redis does not answer"))
            }
        }
    }

    fn count(&self, reason: &'static str) {
        let label = CacheLabel { reason };
        self.metrics.failed.get_or_create(&label).inc();
    }

    /// Callers go on without, so somebody has to say it; once a minute.
    fn say_full(&self) {
        let mut said = self
            .said_full
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|at| at.elapsed() >= SAID_EVERY) {
            *said = Some(Instant::now());
            tracing::warn!("redis is full and remembers nothing new: raise its maxmemory");
        }
    }
}

/// A pipeline fails with an error for each of its commands.
fn is_full(error: &redis::RedisError) -> bool {
    let errors = error.clone().into_server_errors();
    errors.is_some_and(|errors| errors.iter().any(|(_, e)| e.code() == FULL))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn config(url: &str) -> RedisConfig {
        RedisConfig {
            url: url.to_owned(),
            username: None,
            password_file: None,
            key_prefix: String::new(),
        }
    }

    #[tokio::test]
    async fn disabled_is_unavailable() {
        let error = Cache::disabled().get("a").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
    }

    #[tokio::test(start_paused = true)]
    async fn absent_redis_costs_half_a_second_at_most() {
        // Accepts connections and never answers.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent = format!("redis://{}", listener.local_addr().unwrap());
        for url in ["redis://127.0.0.1:1", &silent] {
            let cache = Cache::new(&config(url)).unwrap();
            for _ in 0..2 {
                let began = tokio::time::Instant::now();
                assert_eq!(cache.ping().await.unwrap_err().kind, ErrorKind::Unavailable);
                // Of this clock, which goes on when nothing else does.
                assert!(began.elapsed() <= Duration::from_millis(501), "{url}");
            }
        }
    }

    #[test]
    fn passwords_in_the_url_are_refused() {
        assert!(Cache::new(&config("redis://:secret@localhost")).is_err());
        assert!(Cache::new(&config("nonsense")).is_err());
    }
}
