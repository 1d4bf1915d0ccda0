//! What the proxy before the object store does right now, by the dose of the moment.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use probity_platform::{Random, SystemRandom};
use probity_testkit::http_proxy::{self, Action};

use super::audit::elements;

/// Answers for each request: a random number, method and target in, what happens out.
pub type Rule = dyn Fn(u32, &str, &str) -> Action + Send + Sync;

/// Lists that are edited lack what is younger.
const LISTED_AFTER: Duration = Duration::from_secs(5);

struct Now {
    rule: Option<Arc<Rule>>,
    injected: BTreeMap<&'static str, u64>,
    /// When each object of the last seconds was on its way to the store: `/bucket/key` as requests name it.
    written: HashMap<String, Instant>,
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
            written: HashMap::new(),
        };
        let faults = Self(Arc::new(Mutex::new(now)));
        let own = faults.clone();
        let decide = move |method: &str, target: &str| own.decide(method, target);
        let own = faults.clone();
        let edit = move |target: &str, body: Vec<u8>| own.without_newest(target, body);
        http_proxy::start_on(
            port,
            &format!("http://127.0.0.1:{upstream}"),
            Arc::new(decide),
            Arc::new(edit),
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
        if matches!(method, "PUT" | "POST") {
            now.note_written(target);
        }
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

    /// A list of objects as a store gives it that has not caught up with its newest ones.
    fn without_newest(&self, target: &str, body: Vec<u8>) -> Vec<u8> {
        let mut now = self.lock();
        let bucket = target.split('?').next().unwrap_or_default();
        let bucket = bucket.trim_end_matches('/');
        let is_new = |key: &str| now.is_new(&format!("{bucket}/{key}"));
        let (list, hidden) = without_objects(&body, is_new);
        *now.injected.entry("keys hidden from lists").or_default() += hidden;
        list
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Now {
    fn note_written(&mut self, target: &str) {
        let name = target.split('?').next().unwrap_or_default();
        self.written.insert(decoded(name), Instant::now());
        self.written
            .retain(|_, written| written.elapsed() < LISTED_AFTER);
    }

    fn is_new(&self, name: &str) -> bool {
        let written = self.written.get(&decoded(name));
        written.is_some_and(|written| written.elapsed() < LISTED_AFTER)
    }
}

/// An answer to ListObjectsV2 without the `Contents` of some keys, and how many they were. What is no such answer, or not
/// text, stays what it is.
fn without_objects(body: &[u8], is_hidden: impl Fn(&str) -> bool) -> (Vec<u8>, u64) {
    const CLOSE: &str = "</Contents>";
    let Ok(text) = std::str::from_utf8(body) else {
        return (body.to_vec(), 0);
    };
    let mut pieces = text.split("<Contents>");
    let mut list = pieces.next().unwrap_or_default().to_owned();
    let mut hidden = 0;
    for piece in pieces {
        let key = elements(piece, "Key").into_iter().next();
        match piece.split_once(CLOSE) {
            Some((_, after)) if key.is_some_and(|key| is_hidden(&key)) => {
                hidden += 1;
                list += after;
            }
            _ => list = list + "<Contents>" + piece,
        }
    }
    (list.into_bytes(), hidden)
}

/// Percent-encoding undone; lists are encoded where requests ask for it.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| first == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = match byte {
            Some(_) => after.get(2..).unwrap_or_default(),
            None => after,
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

const fn name(action: Action) -> Option<&'static str> {
    Some(match action {
        // What is edited is counted by what is left out.
        Action::Pass | Action::Edit => return None,
        Action::Late(_) => "late",
        Action::DropResponse => "answer lost after the store acted",
        Action::CutResponse => "answer cut",
        Action::SlowClose(_) => "slow close",
        Action::DropRequest => "connection broken",
        Action::ApplyLate => "applied after its connection broke",
        Action::Answer(409, _) => "409",
        Action::Answer(429, _) => "429",
        Action::Answer(_, _) | Action::Patience(_) => "503",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_is_not_listed() {
        let one = |key: &str| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>");
        let list = format!("<R>{}{}<M>x</M>{}</R>", one("a/1"), one("a/2"), one("b"));
        let (left, hidden) = without_objects(list.as_bytes(), |key| key == "a/2");
        assert_eq!(left, list.replace(&one("a/2"), "").into_bytes());
        assert_eq!(hidden, 1);
        let (same, hidden) = without_objects(b"<Error/>", |_| true);
        assert_eq!((same.as_slice(), hidden), (b"<Error/>".as_slice(), 0));
    }

    #[test]
    fn keys_are_known_however_they_are_written() {
        let mut now = Now {
            rule: None,
            injected: BTreeMap::new(),
            written: HashMap::new(),
        };
        now.note_written("/truth/a%2Bb/c?x-id=PutObject");
        assert!(now.is_new("/truth/a+b/c") && now.is_new("/truth/a%2Bb/c"));
        assert!(!now.is_new("/truth/a"));
        assert_eq!(decoded("50%"), "50%");
        let long_ago = Instant::now().checked_sub(LISTED_AFTER).unwrap();
        now.written.insert("/truth/old".to_owned(), long_ago);
        assert!(!now.is_new("/truth/old"));
    }
}
