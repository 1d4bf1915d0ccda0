//! What the proxy before the object store does right now, by the dose of the moment.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use probity_platform::{Random, SystemRandom};
use probity_testkit::http_proxy::{self, Action};

/// Answers for each request: a random number, method and target in, what happens out.
pub type Rule = dyn Fn(u32, &str, &str) -> Action + Send + Sync;

struct Now {
    rule: Option<Arc<Rule>>,
    injected: BTreeMap<&'static str, u64>,
}

/// The proxy's rule, changed while it runs.
#[derive(Clone)]
pub struct StoreFaults(Arc<Mutex<Now>>);

impl StoreFaults {
    /// Listens on `port` before the store at `upstream`, and passes everything on.
    pub async fn start(port: u16, upstream: u16) -> Self {
        let now = Now {
            rule: None,
            injected: BTreeMap::new(),
        };
        let faults = Self(Arc::new(Mutex::new(now)));
        let own = faults.clone();
        let decide = move |method: &str, target: &str| own.decide(method, target);
        http_proxy::start_on(
            port,
            &format!("http://127.0.0.1:{upstream}"),
            Arc::new(decide),
        )
        .await;
        faults
    }

    /// From now on requests are treated by this rule; the number is 0 to 99.
    pub fn set(&self, rule: impl Fn(u32, &str, &str) -> Action + Send + Sync + 'static) {
        self.lock().rule = Some(Arc::new(rule));
    }

    /// From now on everything passes.
    pub fn calm(&self) {
        self.lock().rule = None;
    }

    /// How many requests were treated how.
    pub fn injected(&self) -> BTreeMap<&'static str, u64> {
        self.lock().injected.clone()
    }

    fn decide(&self, method: &str, target: &str) -> Action {
        let mut now = self.lock();
        let Some(rule) = &now.rule else {
            return Action::Pass;
        };
        let random: &dyn Random = &SystemRandom;
        let [a, b] = random.bytes::<2>();
        let action = rule(u32::from(u16::from_be_bytes([a, b])) % 100, method, target);
        if let Some(name) = name(action) {
            *now.injected.entry(name).or_default() += 1;
        }
        action
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn name(action: Action) -> Option<&'static str> {
    Some(match action {
        Action::Pass => return None,
        Action::Late(_) => "late",
        Action::DropResponse => "answer lost after the store acted",
        Action::CutResponse => "answer cut",
        Action::SlowClose(_) => "slow close",
        Action::DropRequest => "connection broken",
        Action::ApplyLate => "done late, the connection broken",
        Action::Answer(409, _) => "409",
        Action::Answer(429, _) => "429",
        Action::Answer(_, _) | Action::Patience(_) => "503",
    })
}
