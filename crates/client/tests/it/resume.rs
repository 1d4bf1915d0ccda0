//! A court's fetch over a line that breaks.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream;
use probity_client::{Court, Error, Secret};
use probity_domain::{DeliveryId, Sha256, Timestamp};
use sha2::Digest as _;

/// What the platform does with each request that comes.
#[derive(Clone, Copy)]
enum Does {
    /// Gives so many bytes, then breaks the connection.
    BreaksOffAfter(usize),
    Gives,
    /// As a version that knows no ranges.
    GivesTheWhole,
}

/// A line that brings half of a package and then nothing any more.
const BROKEN: [Does; 2] = [Does::BreaksOffAfter(1_500_000), Does::BreaksOffAfter(0)];

struct Platform {
    package: Mutex<Vec<u8>>,
    /// For the next requests, the last for all after them.
    does: Mutex<VecDeque<Does>>,
    asked: Mutex<Vec<String>>,
}

impl Platform {
    async fn serve(package: Vec<u8>, does: &[Does]) -> (Arc<Self>, Court) {
        let platform = Arc::new(Self {
            package: Mutex::new(package),
            does: Mutex::new(does.iter().copied().collect()),
            asked: Mutex::default(),
        });
        let router = Router::new()
            .route("/v1/court/deliveries/{delivery}/package", get(give))
            .with_state(platform.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, router).await });
        let court = Court::new(&url, &Secret::new("pk_x"), None).unwrap();
        (platform, court)
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    fn now_does(&self, does: Does) {
        *self.does.lock().unwrap() = VecDeque::from([does]);
    }
}

async fn give(State(platform): State<Arc<Platform>>, headers: HeaderMap) -> Response {
    assert_eq!(
        headers["probity-legal-basis"], "case 1",
        "with every request"
    );
    let text = |name| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    let range = text(header::RANGE);
    platform
        .asked
        .lock()
        .unwrap()
        .push(range.clone().unwrap_or_default());
    let mut does = platform.does.lock().unwrap();
    let does = match does.len() {
        1 => does[0],
        _ => does.pop_front().unwrap(),
    };
    let package = platform.package.lock().unwrap().clone();
    let sha256 = Sha256(sha2::Sha256::digest(&package).into()).to_hex();
    let same = text(header::IF_RANGE).is_none_or(|tag| tag == format!("\"{sha256}\""));
    let from = range.filter(|_| same && !matches!(does, Does::GivesTheWhole));
    let from = from.map(|range| {
        let from = range.strip_prefix("bytes=").unwrap().strip_suffix('-');
        from.unwrap().parse::<usize>().unwrap()
    });
    let total = package.len();
    if from.is_some_and(|from| from >= total) {
        return StatusCode::RANGE_NOT_SATISFIABLE.into_response();
    }
    let rest = package[from.unwrap_or(0)..].to_vec();
    let length = rest.len();
    let breaks_after = match does {
        Does::BreaksOffAfter(bytes) => bytes.min(length),
        _ => length,
    };
    let given = Ok(Bytes::from(rest[..breaks_after].to_vec()));
    let end = (breaks_after < length).then(|| Err(std::io::Error::other("broken off")));
    let body = Body::from_stream(stream::iter([given].into_iter().chain(end)));
    let mut answer = Response::new(body);
    let had = answer.headers_mut();
    had.insert("probity-package-sha256", sha256.parse().unwrap());
    had.insert(header::CONTENT_LENGTH, length.into());
    if let Some(from) = from {
        let range = format!("bytes {from}-{}/{total}", total - 1);
        had.insert(header::CONTENT_RANGE, range.parse().unwrap());
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    answer
}

fn package(seed: u8) -> Vec<u8> {
    (0..3_000_000u32).map(|n| (n % 251) as u8 ^ seed).collect()
}

fn id() -> DeliveryId {
    DeliveryId::new(Timestamp::from_unix_ms(1), [1; 10])
}

/// Names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let name = |entry: std::fs::DirEntry| entry.file_name().into_string().unwrap();
    entries.map(|entry| name(entry.unwrap())).collect()
}

#[tokio::test]
async fn a_broken_fetch_asks_for_what_is_missing() {
    let does = [
        Does::BreaksOffAfter(1_500_000),
        Does::BreaksOffAfter(7),
        Does::Gives,
    ];
    let (platform, court) = Platform::serve(package(0), &does).await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("p.p7m");
    let (size_bytes, _) = court.fetch(&id(), "case 1", &to).await.unwrap();
    assert_eq!(size_bytes, 3_000_000);
    assert!(std::fs::read(&to).unwrap() == package(0));
    assert_eq!(names(folder.path()), ["p.p7m"]);
    let asked = platform.asked();
    assert_eq!((asked.len(), asked[0].as_str()), (3, ""));
    let from = |asked: &String| {
        let from = asked.strip_prefix("bytes=")?.strip_suffix('-')?;
        from.parse::<u64>().ok()
    };
    let from: Vec<_> = asked[1..].iter().map(from).collect();
    assert!(Some(1_000_000) < from[0] && from[0] <= from[1], "{asked:?}");
}

#[tokio::test]
async fn a_later_run_goes_on_with_what_an_earlier_one_left() {
    let (platform, court) = Platform::serve(package(0), &BROKEN).await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("p.p7m");
    let given_up = court.fetch(&id(), "case 1", &to).await;
    assert!(matches!(given_up, Err(Error::Transport(_))), "{given_up:?}");
    let attempts = platform.asked().len();
    assert!((2..15).contains(&attempts), "bounded: {attempts}");
    let [left] = &names(folder.path())[..] else {
        panic!("what came stays")
    };
    assert!(
        left.starts_with("p.p7m.") && left.ends_with(".part"),
        "{left}"
    );
    let had = std::fs::metadata(folder.path().join(left)).unwrap().len();
    assert!((1_000_000..=1_500_000).contains(&had), "{had}");

    platform.now_does(Does::Gives);
    court.fetch(&id(), "case 1", &to).await.unwrap();
    assert_eq!(platform.asked(), [format!("bytes={had}-")]);
    assert!(std::fs::read(&to).unwrap() == package(0));
    assert_eq!(names(folder.path()), ["p.p7m"]);
}

/// Another package by now, a platform without ranges, a rest that is longer than the whole: from the beginning.
#[tokio::test]
async fn what_does_not_fit_is_begun_again() {
    for (now, does) in [(1, Does::Gives), (0, Does::GivesTheWhole)] {
        let (platform, court) = Platform::serve(package(0), &BROKEN).await;
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("p.p7m");
        court.fetch(&id(), "case 1", &to).await.unwrap_err();
        *platform.package.lock().unwrap() = package(now);
        platform.now_does(does);
        court.fetch(&id(), "case 1", &to).await.unwrap();
        assert!(std::fs::read(&to).unwrap() == package(now));
        assert_eq!(names(folder.path()), ["p.p7m"]);
    }
    let (platform, court) = Platform::serve(package(0), &[Does::Gives]).await;
    let folder = tempfile::tempdir().unwrap();
    let sha256 = Sha256(sha2::Sha256::digest(package(0)).into());
    let part = format!("p.p7m.{sha256}.part");
    std::fs::write(folder.path().join(part), package(0)).unwrap();
    let to = folder.path().join("p.p7m");
    court.fetch(&id(), "case 1", &to).await.unwrap();
    assert_eq!(platform.asked(), ["bytes=3000000-", ""]);
    assert_eq!(names(folder.path()), ["p.p7m"]);
}

/// Bytes on this machine's disk that were changed between two runs.
#[tokio::test]
async fn a_beginning_that_was_changed_is_noticed_and_thrown_away() {
    let (platform, court) = Platform::serve(package(0), &[Does::Gives]).await;
    let folder = tempfile::tempdir().unwrap();
    let sha256 = Sha256(sha2::Sha256::digest(package(0)).into());
    let part = folder.path().join(format!("p.p7m.{sha256}.part"));
    std::fs::write(part, [9; 1_000]).unwrap();
    let to = folder.path().join("p.p7m");
    let refused = court.fetch(&id(), "case 1", &to).await;
    assert!(matches!(refused, Err(Error::Digest { .. })), "{refused:?}");
    assert_eq!(platform.asked(), ["bytes=1000-"]);
    assert!(names(folder.path()).is_empty());
    court.fetch(&id(), "case 1", &to).await.unwrap();
    assert!(std::fs::read(&to).unwrap() == package(0));
}
