//! Who appends. A matter of efficiency: two holders would only take swaps from each other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use probity_platform::objects::{Objects, Swapped, Version};
use probity_platform::{Random, Result};

use super::layout::LEASE;

const LEASE_BYTES_MAX: u64 = 1_024;
/// What a holder that goes leaves behind.
const FREE: &[u8] = b"free";

/// One process's side of the lease. A holder writes a new value at a third of its length; whoever sees the same value
/// for the whole length, by its own clock, takes over. No two clocks are ever compared.
pub struct Lease {
    work: Arc<dyn Objects>,
    random: Arc<dyn Random>,
    length: Duration,
    seen: Option<(Version, Instant)>,
    held: Option<Version>,
}

impl Lease {
    #[must_use]
    pub fn new(work: Arc<dyn Objects>, random: Arc<dyn Random>, length: Duration) -> Self {
        Self {
            work,
            random,
            length,
            seen: None,
            held: None,
        }
    }

    /// How long to wait between two calls of [`Self::acquire`].
    #[must_use]
    pub fn pause(&self) -> Duration {
        self.length / 3
    }

    /// Takes or renews the lease; answers whether this process holds it now.
    ///
    /// # Errors
    /// Those of the store; then the lease counts as lost.
    pub async fn acquire(&mut self) -> Result<bool> {
        let held = self.held.take();
        match held {
            Some(version) => self.write(Some(&version)).await,
            None => self.try_take().await,
        }
    }

    async fn try_take(&mut self) -> Result<bool> {
        let Some(object) = self.work.get(LEASE, LEASE_BYTES_MAX).await? else {
            return self.write(None).await;
        };
        let quiet = match &self.seen {
            Some((version, since)) if *version == object.version => since.elapsed() >= self.length,
            _ => {
                self.seen = Some((object.version.clone(), Instant::now()));
                false
            }
        };
        if quiet || *object.bytes == *FREE {
            return self.write(Some(&object.version)).await;
        }
        Ok(false)
    }

    async fn write(&mut self, expected: Option<&Version>) -> Result<bool> {
        let value = Bytes::from(hex::encode(self.random.bytes::<16>()));
        match self.work.swap(LEASE, expected, value).await? {
            Swapped::Swapped(version) => {
                self.held = Some(version);
                Ok(true)
            }
            Swapped::Lost => {
                self.seen = None;
                Ok(false)
            }
        }
    }

    /// Lets another process take it at once.
    pub async fn release(&mut self) {
        if let Some(version) = self.held.take() {
            self.work
                .swap(LEASE, Some(&version), Bytes::from_static(FREE))
                .await
                .ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use probity_platform::SystemRandom;
    use probity_platform::objects::MemoryObjects;

    use super::*;

    #[tokio::test]
    async fn one_holder_until_it_goes_or_falls_silent() {
        let work: Arc<dyn Objects> = Arc::new(MemoryObjects::new());
        let lease = || {
            Lease::new(
                work.clone(),
                Arc::new(SystemRandom),
                Duration::from_millis(60),
            )
        };
        let (mut one, mut two) = (lease(), lease());
        assert!(one.acquire().await.unwrap());
        assert!(!two.acquire().await.unwrap());
        assert!(one.acquire().await.unwrap());
        one.release().await;
        assert!(two.acquire().await.unwrap());
        assert!(!one.acquire().await.unwrap());
        tokio::time::sleep(Duration::from_millis(70)).await;
        assert!(one.acquire().await.unwrap(), "two fell silent");
        assert!(!two.acquire().await.unwrap(), "and learns that it lost");
    }
}
