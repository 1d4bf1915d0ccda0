//! What goes past a court's gate, counted by delivery.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, Method, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use probity_proto::http::SignedReceiptDocument;
use sha2::{Digest as _, Sha256};

use crate::chaos::calls::Call;
use crate::chaos::gate::Exchange;

/// One package in a court's hands.
#[derive(Debug, Clone, Default)]
pub struct Handed {
    /// How often it came whole.
    pub times: u64,
    /// Numbers of the evidence that it was said to be.
    pub evidence: BTreeSet<String>,
    /// Receipt and signature, base64: a court signs one for each time it takes a package for a new one.
    pub receipts: BTreeSet<(String, String)>,
}

/// What one court was given and what it gave back.
#[derive(Debug, Default)]
pub struct Watch(Mutex<Seen>);

#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// By delivery.
    pub packages: BTreeMap<String, Handed>,
    /// Whole, and other bytes than their digest says.
    pub wrong: u64,
    pub broken_off: u64,
    pub calls: Vec<Call>,
}

impl Watch {
    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// A call of delivery's at the court.
    pub fn push(&self, exchange: &Exchange) {
        let Some(delivery) = exchange.path.strip_prefix("/deliveries/") else {
            return;
        };
        let mut seen = self.lock();
        seen.note("push", exchange);
        let Some(body) = &exchange.body else {
            seen.broken_off += 1;
            return;
        };
        let announced = text(&exchange.headers, "content-digest");
        if announced
            != Some(&format!(
                "sha-256=:{}:",
                STANDARD.encode(Sha256::digest(body))
            ))
        {
            seen.wrong += 1;
            return;
        }
        let package = seen.packages.entry(delivery.to_owned()).or_default();
        package.times += 1;
        let evidence = text(&exchange.headers, "probity-evidence-number").unwrap_or_default();
        package.evidence.insert(evidence.to_owned());
        if let Some(answer) = exchange.answer.as_ref().filter(|a| a.status.is_success()) {
            package.receipts.extend(receipt(&answer.body));
        }
    }

    /// A call of the court's at delivery.
    pub fn pull(&self, exchange: &Exchange) {
        let Some(path) = exchange.path.strip_prefix("/v1/court/deliveries") else {
            return;
        };
        let mut seen = self.lock();
        let Some((delivery, what)) = path.trim_start_matches('/').split_once('/') else {
            seen.note("list", exchange);
            return;
        };
        let is_fetch = exchange.method == Method::GET && what == "package";
        seen.note(if is_fetch { "fetch" } else { "acknowledge" }, exchange);
        if !is_fetch {
            // Given when it is handed in, whatever is heard of it.
            let package = seen.packages.entry(delivery.to_owned()).or_default();
            let receipt = exchange.body.as_ref().and_then(|body| receipt(body));
            package.receipts.extend(receipt);
        } else if let Some(answer) = &exchange.answer
            && answer.status == StatusCode::OK
        {
            let digest = hex::encode(Sha256::digest(&answer.body));
            if text(&answer.headers, "probity-package-sha256") == Some(&digest) {
                seen.packages.entry(delivery.to_owned()).or_default().times += 1;
            } else {
                seen.wrong += 1;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn note(&mut self, what: &'static str, exchange: &Exchange) {
        let answer = exchange.answer.as_ref();
        self.calls.push(Call {
            began: exchange.began,
            took: exchange.began.elapsed(),
            what,
            answered: answer.is_some_and(|answer| answer.status.is_success()),
        });
    }

    /// Whole packages, and how many of them had come before.
    pub fn times(&self) -> (u64, u64) {
        let times: u64 = self.packages.values().map(|package| package.times).sum();
        let came = self.packages.values().filter(|package| package.times > 0);
        (times, times - came.count() as u64)
    }

    pub fn failed_calls(&self) -> u64 {
        let failed = self.calls.iter().filter(|call| !call.answered);
        failed.count() as u64
    }

    /// Packages that the court took for new ones after the first time, and evidence that came as another delivery's.
    pub fn visible_again(&self) -> u64 {
        let receipts = self.packages.values().map(|package| &package.receipts);
        let again: usize = receipts.map(|given| given.len().saturating_sub(1)).sum();
        let evidence = self.packages.values().flat_map(|package| &package.evidence);
        let (mut numbers, mut known) = (BTreeSet::new(), 0);
        for number in evidence {
            known += usize::from(!numbers.insert(number));
        }
        (again + known) as u64
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn receipt(body: &[u8]) -> Option<(String, String)> {
    let document: SignedReceiptDocument = serde_json::from_slice(body).ok()?;
    Some((document.receipt, document.signature))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::Bytes;

    use super::*;
    use crate::chaos::gate::Answer;

    fn pushed(delivery: &str, evidence: &str, digest_of: &str, receipt: &str) -> Exchange {
        let mut headers = HeaderMap::new();
        let digest = STANDARD.encode(Sha256::digest(digest_of));
        headers.insert(
            "content-digest",
            format!("sha-256=:{digest}:").parse().unwrap(),
        );
        headers.insert("probity-evidence-number", evidence.parse().unwrap());
        let receipt = format!(r#"{{"receipt":"{receipt}","signature":"s"}}"#);
        Exchange {
            began: Instant::now(),
            method: Method::POST,
            path: format!("/deliveries/{delivery}"),
            headers,
            body: Some(Bytes::from_static(b"package")),
            answer: Some(Answer {
                status: StatusCode::OK,
                headers: HeaderMap::new(),
                body: Bytes::from(receipt),
            }),
        }
    }

    #[test]
    fn a_push_again_is_counted_and_seen_once() {
        let watch = Watch::default();
        for delivery in ["a", "b", "a"] {
            watch.push(&pushed(delivery, delivery, "package", delivery));
        }
        let seen = watch.seen();
        assert_eq!((seen.times(), seen.visible_again()), ((3, 1), 0));
        // A court that does not know it again signs another receipt.
        watch.push(&pushed("a", "a", "package", "another"));
        assert_eq!(watch.seen().visible_again(), 1);
        watch.push(&pushed("c", "b", "package", "c"));
        assert_eq!(watch.seen().visible_again(), 2);
    }

    #[test]
    fn what_is_not_whole_is_no_push() {
        let watch = Watch::default();
        watch.push(&pushed("a", "a", "another package", "a"));
        let mut broken = pushed("a", "a", "package", "a");
        broken.body = None;
        broken.answer = None;
        watch.push(&broken);
        let seen = watch.seen();
        assert_eq!((seen.wrong, seen.broken_off, seen.times()), (1, 1, (0, 0)));
        assert_eq!(seen.calls.iter().filter(|call| call.answered).count(), 1);
    }

    #[test]
    fn fetches_and_receipts_of_a_court_that_pulls() {
        let watch = Watch::default();
        let path = |end: &str| format!("/v1/court/deliveries{end}");
        let call = |method, path, body: &'static [u8], headers| Exchange {
            began: Instant::now(),
            method,
            path,
            headers: HeaderMap::new(),
            body: Some(Bytes::from_static(br#"{"receipt":"r","signature":"s"}"#)),
            answer: Some(Answer {
                status: StatusCode::OK,
                headers,
                body: Bytes::from_static(body),
            }),
        };
        let mut headers = HeaderMap::new();
        let digest = hex::encode(Sha256::digest(b"package"));
        headers.insert("probity-package-sha256", digest.parse().unwrap());
        watch.pull(&call(Method::GET, path(""), b"{}", HeaderMap::new()));
        watch.pull(&call(
            Method::GET,
            path("/a/package"),
            b"package",
            headers.clone(),
        ));
        watch.pull(&call(Method::GET, path("/b/package"), b"other", headers));
        watch.pull(&call(
            Method::POST,
            path("/a/receipt"),
            b"{}",
            HeaderMap::new(),
        ));
        let seen = watch.seen();
        assert_eq!(
            (seen.times(), seen.wrong, seen.visible_again()),
            ((1, 0), 1, 0)
        );
        assert_eq!(seen.packages["a"].receipts.len(), 1);
        let calls: Vec<_> = seen.calls.iter().map(|call| call.what).collect();
        assert_eq!(calls, ["list", "fetch", "fetch", "acknowledge"]);
    }
}
