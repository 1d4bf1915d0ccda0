use std::sync::atomic::{AtomicUsize, Ordering};

use probity_domain::Timestamp;

use super::*;
use crate::clock::ManualClock;
use crate::objects::{Fault, MemoryObjects, Objects as _, Verb};
use crate::{ErrorKind, SystemRandom};

struct Setup {
    access: Access,
    /// Another process on the same ledger.
    elsewhere: Access,
    clock: Arc<ManualClock>,
    truth: Arc<MemoryObjects>,
}

fn setup() -> Setup {
    let clock = Arc::new(ManualClock::at(Timestamp::from_unix_ms(1_795_000_000_000)));
    let truth = Arc::new(MemoryObjects::new());
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let ledger = Ledger::new(truth.clone(), clock.clone(), random.clone());
    Setup {
        access: Access::new(ledger.clone(), clock.clone(), random.clone()),
        elsewhere: Access::new(ledger, clock.clone(), random),
        clock,
        truth,
    }
}

fn vendor() -> CallerRole {
    CallerRole::parse("vendor", Some("acme"), Some("acme-ltd"), None).unwrap()
}

#[tokio::test]
async fn issued_credentials_open_and_nothing_else_does() {
    let s = setup();
    let (id, secret) = s.access.issue(vendor(), "role:test", "test").await.unwrap();
    let token = secret.expose();
    assert!(token.starts_with(&format!("pk_{id}_")));
    assert_eq!(token.len(), 3 + 36 + 1 + 43);
    let caller = s.access.authenticate_bearer(token).await.unwrap();
    assert_eq!(caller.credential, id);
    assert_eq!(caller.require_vendor().unwrap().0.as_str(), "acme");
    assert_eq!(
        caller.require_court().unwrap_err().kind,
        ErrorKind::Forbidden
    );
    assert!(caller.require_officer().is_err() && caller.require_operator().is_err());

    let (_, other) = s.access.issue(vendor(), "role:test", "test").await.unwrap();
    let mixed = format!("{}{}", &token[..40], &other.expose()[40..]);
    let unknown = CredentialId::new(s.clock.now(), [9; 10]);
    let foreign = format!("pk_{unknown}_{}", &token[40..]);
    let longer = format!("{token}A");
    let upper = token.to_uppercase();
    for bad in [
        "",
        "pk_",
        &token[..82],
        &longer,
        &mixed,
        &foreign,
        &upper,
        "pk_\u{fc}",
    ] {
        let error = s.access.authenticate_bearer(bad).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unauthenticated, "{bad}");
        assert_eq!(error.detail, refused().detail);
    }
}

#[tokio::test]
async fn no_secret_is_stored() {
    let s = setup();
    let (id, secret) = s
        .access
        .issue(CallerRole::Officer, "role:test", "test")
        .await
        .unwrap();
    let key = format!("ledger/credential/{id}/00000000");
    let stored = s.truth.get(&key, 9999).await.unwrap().unwrap().bytes;
    let half = &secret.expose()[40..];
    assert!(!String::from_utf8(stored.to_vec()).unwrap().contains(half));
    assert_eq!(format!("{secret:?}"), "[secret]");
}

#[tokio::test]
async fn revoked_here_at_once_and_elsewhere_in_five_seconds() {
    let s = setup();
    let (id, secret) = s.access.issue(vendor(), "role:test", "test").await.unwrap();
    s.access.authenticate_bearer(secret.expose()).await.unwrap();
    s.elsewhere
        .authenticate_bearer(secret.expose())
        .await
        .unwrap();
    s.access
        .revoke(id, "role:test", "test", "lost")
        .await
        .unwrap();
    s.access
        .revoke(id, "role:test", "test", "again")
        .await
        .unwrap();
    assert!(s.access.authenticate_bearer(secret.expose()).await.is_err());
    s.clock.advance_ms(5_000);
    assert!(
        s.elsewhere
            .authenticate_bearer(secret.expose())
            .await
            .is_err()
    );
    let never = CredentialId::new(s.clock.now(), [1; 10]);
    let error = s
        .access
        .revoke(never, "role:test", "test", "x")
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn known_and_unknown_ids_cost_the_same_reads_once() {
    let s = setup();
    let (_, secret) = s.access.issue(vendor(), "role:test", "test").await.unwrap();
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = reads.clone();
    s.truth.set_faults(move |verb, _| {
        if verb == Verb::Get {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        None
    });
    s.access.authenticate_bearer(secret.expose()).await.unwrap();
    let known = reads.swap(0, Ordering::SeqCst);
    s.access.authenticate_bearer(secret.expose()).await.unwrap();
    assert_eq!(reads.swap(0, Ordering::SeqCst), 0);
    let unknown = CredentialId::new(s.clock.now(), [9; 10]);
    let foreign = format!("pk_{unknown}_{}", &secret.expose()[40..]);
    assert!(s.access.authenticate_bearer(&foreign).await.is_err());
    assert_eq!(reads.swap(0, Ordering::SeqCst), known);
    assert!(s.access.authenticate_bearer(&foreign).await.is_err());
    assert_eq!(reads.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_silent_ledger_is_unavailable_and_not_remembered() {
    let s = setup();
    let (_, secret) = s.access.issue(vendor(), "role:test", "test").await.unwrap();
    s.truth.set_faults(|_, _| Some(Fault::Refuse));
    let error = s
        .access
        .authenticate_bearer(secret.expose())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    s.truth.clear_faults();
    s.access.authenticate_bearer(secret.expose()).await.unwrap();
}

#[tokio::test]
async fn headers_are_read_strictly() {
    let s = setup();
    let (_, secret) = s
        .access
        .issue(CallerRole::Operator, "role:test", "test")
        .await
        .unwrap();
    let headers = |values: &[String]| {
        let mut map = HeaderMap::new();
        for value in values {
            map.append(AUTHORIZATION, value.parse().unwrap());
        }
        map
    };
    let good = format!("Bearer {}", secret.expose());
    assert!(
        s.access
            .authenticate(&headers(std::slice::from_ref(&good)))
            .await
            .is_ok()
    );
    assert!(
        s.access
            .authenticate(&headers(&[good.replace("Bearer", "bearer")]))
            .await
            .is_ok()
    );
    for bad in [
        vec![],
        vec![good.clone(), good.clone()],
        vec![good.replace("Bearer", "Basic")],
    ] {
        let error = s.access.authenticate(&headers(&bad)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unauthenticated);
    }
}

#[test]
fn roles_round_trip_and_take_only_what_is_theirs() {
    for role in [
        vendor(),
        CallerRole::parse("court", None, None, Some("court-1")).unwrap(),
        CallerRole::Officer,
        CallerRole::Operator,
        CallerRole::Auditor,
    ] {
        assert_eq!(
            CallerRole::from_event(&role.issued_event(String::new())).unwrap(),
            role
        );
    }
    assert!(CallerRole::parse("vendor", Some("acme"), None, None).is_err());
    assert!(CallerRole::parse("officer", Some("acme"), None, None).is_err());
    assert!(CallerRole::parse("root", None, None, None).is_err());
}

#[tokio::test]
async fn the_extractor_lets_nobody_in_unasked() {
    use axum::body::Body;
    use axum::routing::get;
    use http::{Request, StatusCode};
    use tower::ServiceExt as _;

    #[derive(Clone)]
    struct State(Access);

    impl FromRef<State> for Access {
        fn from_ref(state: &State) -> Self {
            state.0.clone()
        }
    }

    let s = setup();
    let (id, secret) = s
        .access
        .issue(CallerRole::Auditor, "role:test", "test")
        .await
        .unwrap();
    let handler = async |Authenticated(caller): Authenticated| caller.actor();
    let router = axum::Router::new()
        .route("/", get(handler))
        .with_state(State(s.access.clone()));
    let ask = |credential: Option<&str>| {
        let request = Request::get("/");
        let request = match credential {
            Some(credential) => request.header(AUTHORIZATION, format!("Bearer {credential}")),
            None => request,
        };
        router.clone().oneshot(request.body(Body::empty()).unwrap())
    };
    assert_eq!(ask(None).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        ask(Some("pk_x")).await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
    let answer = ask(Some(secret.expose())).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let body = axum::body::to_bytes(answer.into_body(), 1000)
        .await
        .unwrap();
    assert_eq!(body, format!("credential:{id}").as_bytes());
}
