//! What every role is handed.

use std::fmt;
use std::sync::Arc;

use super::Shutdown;
use crate::access::Access;
use crate::bus::Bus;
use crate::cache::Cache;
use crate::edge::Readiness;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::objects::Buckets;
use crate::{Clock, Random, SystemClock, SystemRandom};

/// Connections, and time and randomness, of one process. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    pub buckets: Buckets,
    pub ledger: Ledger,
    pub bus: Bus,
    pub cache: Cache,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub access: Access,
    pub metrics: Metrics,
    pub shutdown: Shutdown,
    pub readiness: Readiness,
    /// Whose context this is; empty until it is handed to a role.
    role: &'static str,
    /// Requested when every role has returned: the ops listener outlives the drain.
    pub(crate) ended: Shutdown,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("bus", &self.bus)
            .finish_non_exhaustive()
    }
}

impl Context {
    pub(super) fn new(buckets: Buckets, bus: Bus, cache: Cache, shutdown: Shutdown) -> Self {
        Self::assemble(buckets, bus, cache, Arc::new(SystemClock), shutdown)
    }

    /// From parts, for tests: a clock that tests move, and a shutdown that only tests request.
    #[must_use]
    pub fn for_tests(buckets: Buckets, bus: Bus, cache: Cache, clock: Arc<dyn Clock>) -> Self {
        Self::assemble(buckets, bus, cache, clock, Shutdown::new())
    }

    /// The same, handed to a role.
    #[must_use]
    pub fn for_role(&self, role: &'static str) -> Self {
        Self {
            role,
            ..self.clone()
        }
    }

    /// States that the role serves: keys are read and every one of its edges is bound. What it waits for beyond that
    /// is expected by name ([`Readiness::expect`]) before this is called.
    pub fn started(&self) {
        self.readiness.set(self.role, Ok(()));
    }

    fn assemble(
        buckets: Buckets,
        bus: Bus,
        cache: Cache,
        clock: Arc<dyn Clock>,
        shutdown: Shutdown,
    ) -> Self {
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let metrics = Metrics::new();
        let ledger = Ledger::new(buckets.truth.clone(), clock.clone(), random.clone());
        let access = Access::new(ledger.clone(), clock.clone(), random.clone());
        let bus = bus.counting_into(&metrics);
        let cache = cache.counting_into(&metrics);
        let readiness = Readiness::new(shutdown.clone());
        Self {
            buckets,
            ledger,
            bus,
            cache,
            clock,
            random,
            access,
            metrics,
            shutdown,
            readiness,
            role: "",
            ended: Shutdown::new(),
        }
    }
}
