//! A store that answers fewer keys than were asked for: to the port's callers a short page is the last, so the adapter must
//! go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::future;
use probity_platform::objects::Buckets;
use probity_platform::{ErrorKind, SystemRandom};
use probity_testkit::http_proxy::{self, Action};

use crate::port::conforms;
use crate::store;

/// The real store's buckets, whose listings `edit` answers differently.
async fn edited(edit: impl Fn(&str, &str) -> String + Send + Sync + 'static) -> Buckets {
    let (mut config, _keys) = store::fresh().await;
    let decide = |method: &str, target: &str| match method {
        "GET" if target.contains("list-type=2") || target.contains("versions") => Action::Edit,
        _ => Action::Pass,
    };
    let edit = move |target: &str, body: Vec<u8>| {
        let page = String::from_utf8(body).unwrap();
        edit(target, &page).into_bytes()
    };
    let upstream = config.endpoint.clone();
    config.endpoint = http_proxy::start_on(0, &upstream, Arc::new(decide), Arc::new(edit)).await;
    config.open(Arc::new(SystemRandom)).unwrap()
}

const END: &str = "</ListBucketResult>";

/// The page with its first `keys` alone, the last of which it names for going on when `token` says so.
fn shortened(page: &str, keys: usize, token: Token) -> String {
    let (head, contents) = page.split_once("<Contents>").unwrap_or((page, ""));
    let kept: Vec<_> = contents
        .split_inclusive("</Contents>")
        .filter(|object| object.contains("<Key>"))
        .take(keys)
        .map(|object| format!("<Contents>{}", object.trim_start_matches("<Contents>")))
        .collect();
    let head = head.replace("<IsTruncated>false", "<IsTruncated>true");
    let head = match head.split_once("<NextContinuationToken>") {
        Some((before, token)) => {
            let (_, after) = token.split_once("</NextContinuationToken>").unwrap();
            format!("{before}{after}")
        }
        None => head,
    };
    let named = |after: &str| {
        let token = STANDARD.encode(after);
        format!("<NextContinuationToken>{token}</NextContinuationToken>")
    };
    let token = match (token, kept.last()) {
        (Token::None, _) => String::new(),
        (Token::Of(key), _) => named(key),
        (Token::OfLastKey, last) => {
            let key = last.and_then(|l| l.split_once("<Key>")?.1.split_once("</Key>"));
            named(key.unwrap().0)
        }
    };
    format!("{}{token}{}{END}", head.replace(END, ""), kept.concat())
}

#[derive(Clone, Copy)]
enum Token {
    None,
    Of(&'static str),
    /// As MinIO makes them.
    OfLastKey,
}

fn objects(page: &str) -> usize {
    page.matches("<Contents>").count()
}

/// Everything the port promises, on a store that never gives more than three keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_pages_are_put_together() {
    for token in [Token::None, Token::OfLastKey] {
        let Buckets { work, .. } = edited(move |_, page| match objects(page) {
            0..=3 => page.to_owned(),
            _ => shortened(page, 3, token),
        })
        .await;
        conforms(work).await;
    }
}

/// The first version of a page that has several, which it names for going on.
fn first_version(page: &str) -> String {
    let end = "</Version>";
    let parts: Vec<_> = page.split_inclusive(end).collect();
    let [first, _, .., last] = &parts[..] else {
        return page.to_owned();
    };
    let named = |name: &str| {
        let (_, value) = first.rsplit_once(&format!("<{name}>")).unwrap();
        value.split_once('<').unwrap().0.to_owned()
    };
    let markers = format!(
        "<NextKeyMarker>{}</NextKeyMarker><NextVersionIdMarker>{}</NextVersionIdMarker>",
        named("Key"),
        named("VersionId")
    );
    let first = first.replace("<IsTruncated>false", "<IsTruncated>true");
    format!("{first}{markers}{last}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_version_is_removed_however_short_the_pages() {
    let Buckets { truth, .. } = edited(|target, page| match target.contains("versions") {
        true => first_version(page),
        false => page.to_owned(),
    })
    .await;
    for bytes in ["1", "2", "3"] {
        truth.put("v/1", Bytes::from(bytes)).await.unwrap();
    }
    let page = truth.list_versions("v/1", None, 10).await.unwrap().unwrap();
    assert_eq!((page.versions.len(), page.next.is_some()), (1, true));
    truth.remove_for_good("v/1").await.unwrap();
    let left = truth.list_versions("v/1", None, 10).await.unwrap().unwrap();
    assert_eq!(left.versions, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_page_is_gone_beyond_or_refused() {
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    let Buckets { work, .. } = edited(move |target, page| {
        let first = !target.contains("continuation-token");
        let stands = target.contains("prefix=stands");
        let circles = target.contains("prefix=circles");
        count.fetch_add(1, Ordering::SeqCst);
        match first {
            _ if stands => shortened(page, 0, Token::None),
            _ if circles => shortened(page, 0, Token::Of("circles/")),
            true => shortened(page, 0, Token::Of("moves/")),
            false => page.to_owned(),
        }
    })
    .await;
    let keys = ["moves/1", "moves/2", "stands/1", "circles/1"];
    future::try_join_all(keys.map(|key| work.put(key, Bytes::new())))
        .await
        .unwrap();
    let listed = work.list("moves/", None, 1000).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|l| l.key.as_str()).collect();
    assert_eq!(listed, ["moves/1", "moves/2"]);
    for (prefix, requests) in [("stands/", 1), ("circles/", 2)] {
        asked.store(0, Ordering::SeqCst);
        let error = work.list(prefix, None, 1000).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert_eq!(asked.load(Ordering::SeqCst), requests, "{prefix}");
    }
}
