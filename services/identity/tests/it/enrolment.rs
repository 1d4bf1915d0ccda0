//! Applications, decisions, agreements, credentials.

use http::Method;
use serde_json::{Value, json};

use crate::world::{TEXT, World};

#[tokio::test]
async fn no_credential_without_a_verified_identity() {
    let world = World::start().await;
    assert_eq!(world.credential("acme-legal", "acme").await.0, 403);
    let application = World::application("acme-legal", "acme");
    let (status, standing) = world
        .call(Method::POST, "/v1/parties", None, &application)
        .await;
    assert_eq!(
        (status.as_u16(), standing["state"].as_str().unwrap()),
        (200, "applied")
    );
    assert_eq!(world.credential("acme-legal", "acme").await.0, 403);
    let path = "/v1/parties/acme-legal/decision";
    let bare = json!({"verified": true, "method": "officer", "document_sha3_256": [], "note": ""});
    assert_eq!(world.post(path, &world.officer, bare).await.0, 400);
    let refused =
        json!({"verified": false, "method": "officer", "document_sha3_256": [], "note": "forged"});
    assert_eq!(world.post(path, &world.officer, refused).await.0, 200);
    assert_eq!(world.credential("acme-legal", "acme").await.0, 403);
    let seen = json!({"verified": true, "method": "officer", "document_sha3_256": ["ab".repeat(32)], "note": ""});
    let (_, decided) = world.post(path, &world.officer, seen).await;
    assert_eq!(decided["decision"]["document_sha3_256"][0], "ab".repeat(32));
    assert_eq!(world.credential("acme-legal", "other").await.0, 403);
    assert_eq!(world.credential("acme-legal", "acme").await.0, 200);
    assert_eq!(world.credential("nobody", "acme").await.0, 403);
}

#[tokio::test]
async fn applications_are_strict_and_first_come() {
    let world = World::start().await;
    let good = World::application("acme-legal", "acme");
    let apply = |body: Value| {
        let world = &world;
        async move { world.call(Method::POST, "/v1/parties", None, &body).await }
    };
    for (field, value) in [
        ("declared_true", json!(false)),
        ("handler", Value::Null),
        ("surplus", json!(1)),
        ("party", json!("../../x")),
        ("name", json!("a\u{0}b")),
        ("email", json!("x")),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        let (status, problem) = apply(bad).await;
        assert_eq!(status, 400, "{field}");
        assert_eq!(problem["type"], "urn:probity:problem:malformed");
    }
    assert_eq!(apply(good.clone()).await.0, 200);
    assert_eq!(apply(good.clone()).await.0, 200);
    let mut other = good;
    other["name"] = json!("Mallory");
    assert_eq!(apply(other).await.0, 409);
}

#[tokio::test]
async fn applications_are_bounded_per_address() {
    let world = World::start().await;
    let mut answers = Vec::new();
    for n in 0..40 {
        let application = World::application(&format!("p{n}"), "acme");
        answers.push(
            world
                .call(Method::POST, "/v1/parties", None, &application)
                .await
                .0
                .as_u16(),
        );
    }
    assert_eq!(answers.iter().filter(|s| **s == 200).count(), 30);
    assert_eq!(answers.last(), Some(&429));
}

#[tokio::test]
async fn the_sandbox_says_that_it_verified_nothing() {
    let world = World::start().await;
    world
        .call(
            Method::POST,
            "/v1/parties",
            None,
            &World::application("demo", "acme"),
        )
        .await;
    let decision = |method: &str| json!({"verified": true, "method": method, "document_sha3_256": [], "note": "x"});
    assert_eq!(
        world
            .post(
                "/v1/parties/demo/decision",
                &world.officer,
                decision("magic")
            )
            .await
            .0,
        400
    );
    let (status, decided) = world
        .post(
            "/v1/parties/demo/decision",
            &world.officer,
            decision("sandbox"),
        )
        .await;
    assert_eq!(
        (status.as_u16(), decided["state"].as_str().unwrap()),
        (200, "verified")
    );
    assert_eq!(decided["decision"]["verifier"], "provider:sandbox");
    assert!(
        decided["decision"]["note"]
            .as_str()
            .unwrap()
            .contains("nothing was verified")
    );
    assert_eq!(
        world
            .post(
                "/v1/parties/ghost/decision",
                &world.officer,
                decision("sandbox")
            )
            .await
            .0,
        404
    );
}

#[tokio::test]
async fn who_may_do_what() {
    let world = World::start().await;
    let vendor = world.vendor("acme-legal", "acme").await;
    let stranger = world.vendor("rival", "rival-inc").await;
    let decision =
        json!({"verified": true, "method": "sandbox", "document_sha3_256": [], "note": ""});
    assert_eq!(
        world
            .post("/v1/parties/acme-legal/decision", &vendor, decision)
            .await
            .0,
        403
    );
    let agreement = json!({"agreement": "a", "version": "1", "text": "t"});
    assert_eq!(
        world.post("/v1/agreements", &vendor, agreement).await.0,
        403
    );
    assert_eq!(
        world
            .post("/v1/credentials", &vendor, json!({"role": "officer"}))
            .await
            .0,
        403
    );
    assert_eq!(
        world
            .post(
                "/v1/intents",
                &world.officer,
                json!({"instruction_sha256": "a", "summary": "s"})
            )
            .await
            .0,
        403
    );
    assert_eq!(world.get("/v1/parties/acme-legal", &stranger).await.0, 404);
    let (_, own) = world.get("/v1/parties/acme-legal", &vendor).await;
    assert!(own["state"] == "verified" && own["application"].is_null());
    let (_, full) = world.get("/v1/parties/acme-legal", &world.officer).await;
    assert_eq!(full["application"]["identifier"], "91110000");
    assert_eq!(
        world.get("/v1/parties/acme-legal", "pk_nonsense").await.0,
        401
    );
    assert_eq!(
        world
            .call(Method::GET, "/v1/parties/acme-legal", None, &Value::Null)
            .await
            .0,
        401
    );
}

#[tokio::test]
async fn acceptance_proves_text_party_time_and_place() {
    let world = World::start().await;
    let vendor = world.vendor("acme-legal", "acme").await;
    let stranger = world.vendor("rival", "rival-inc").await;
    let path = "/v1/parties/acme-legal/acceptances";
    let accept = |digest: &str| json!({"agreement": "electronic-form", "version": "2026.1", "sha3_256": digest});
    assert_eq!(
        world.post(path, &vendor, accept(&"ab".repeat(32))).await.0,
        404
    );
    let agreement = json!({"agreement": "electronic-form", "version": "2026.1", "text": TEXT});
    let (_, published) = world
        .post("/v1/agreements", &world.officer, agreement.clone())
        .await;
    assert_eq!(
        world
            .post("/v1/agreements", &world.officer, agreement.clone())
            .await
            .0,
        200
    );
    let mut changed = agreement;
    changed["text"] = json!("You agree to everything.");
    assert_eq!(
        world
            .post("/v1/agreements", &world.officer, changed)
            .await
            .0,
        409
    );
    let (_, text) = world
        .call(
            Method::GET,
            "/v1/agreements/electronic-form/2026.1",
            None,
            &Value::Null,
        )
        .await;
    assert_eq!(text["text"], TEXT);

    let digest = published["sha3_256"].as_str().unwrap();
    assert_eq!(
        world.post(path, &vendor, accept(&"ab".repeat(32))).await.0,
        400
    );
    assert_eq!(world.post(path, &stranger, accept(digest)).await.0, 404);
    let (status, standing) = world.post(path, &vendor, accept(digest)).await;
    assert_eq!(status, 200);
    let (_, again) = world.post(path, &vendor, accept(digest)).await;
    assert_eq!(standing, again);
    assert_eq!(standing["agreement"], "electronic-form.2026.1");
    let acceptance = &standing["acceptances"][0];
    assert_eq!(acceptance["from_address"], "198.51.100.9");
    assert!(
        acceptance["by"]
            .as_str()
            .unwrap()
            .starts_with("credential:")
    );

    let version = "/v1/agreements/electronic-form/2026.1";
    assert_eq!(
        world
            .call(Method::DELETE, version, Some(&world.officer), &Value::Null)
            .await
            .0,
        204
    );
    let third = world.vendor("late", "acme").await;
    assert_eq!(
        world
            .post("/v1/parties/late/acceptances", &third, accept(digest))
            .await
            .0,
        409
    );
}

#[tokio::test]
async fn revoked_credentials_open_nothing() {
    let world = World::start().await;
    let vendor = world.vendor("acme-legal", "acme").await;
    let (_, second) = world.credential("acme-legal", "acme").await;
    let id = second["credential"].as_str().unwrap();
    let secret = second["secret"].as_str().unwrap();
    let path = format!("/v1/credentials/{id}");
    assert_eq!(
        world
            .call(Method::DELETE, &path, Some(&vendor), &Value::Null)
            .await
            .0,
        403
    );
    assert_eq!(
        world
            .call(Method::DELETE, &path, Some(secret), &Value::Null)
            .await
            .0,
        204
    );
    assert_eq!(world.get("/v1/parties/acme-legal", secret).await.0, 401);
    assert_eq!(world.get("/v1/parties/acme-legal", &vendor).await.0, 200);
    assert_eq!(
        world
            .call(Method::DELETE, &path, Some(&world.officer), &Value::Null)
            .await
            .0,
        204
    );
}
