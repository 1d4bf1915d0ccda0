//! A token that stands still keeps nobody but those who want its signature, and anybody's questions keep out nobody.

use std::sync::Arc;
use std::time::Duration;

use probity_issuance::OcspResponder;
use probity_pki::keys::Signer;
use probity_pki::ocsp::make_request;
use probity_pki::x509::Profile;
use probity_platform::keys::StallingKey;
use probity_testkit::wait_until;

use crate::{HOUR_MS, NOW, World, made, request};

const PATIENCE: Duration = Duration::from_secs(60);

/// On one thread: were it blocked, nobody would ever let the key go.
#[tokio::test]
async fn everything_else_goes_on_while_the_key_stands_still() {
    let world = World::new().await;
    world.issuer.crls.refresh().await.unwrap();
    world.apply("org", "organization", Some(true)).await;
    let id = world.submit("org").await;
    world.key.stall(true);
    let issuer = world.issuer.clone();
    let issuing =
        tokio::spawn(async move { issuer.issue_event_certificate(&request(id, "org")).await });
    wait_until("the CA's key", PATIENCE, async || world.key.waiting() == 1).await;
    // A list that is due waits for the same key.
    world.clock.advance_ms(2 * HOUR_MS);
    let crls = world.issuer.crls.clone();
    let listing = tokio::spawn(async move { crls.refresh().await });
    wait_until("the list", PATIENCE, async || world.key.waiting() == 2).await;
    world.key.stall(false);
    issuing.await.unwrap().unwrap();
    listing.await.unwrap().unwrap();
}

#[tokio::test]
async fn ocsp_says_try_later_when_too_many_wait() {
    const TRY_LATER: [u8; 5] = [0x30, 3, 0x0a, 1, 3];
    let world = World::new().await;
    world.issuer.crls.refresh().await.unwrap();
    let by: (_, &dyn Signer) = (world.issuer.authority.certificate(), &*world.key);
    let (certificate, key) = made(NOW, Profile::OcspResponder, Some(by));
    let key = Arc::new(StallingKey::new(key));
    let responder = OcspResponder::new(
        world.issuer.clone(),
        Box::new(key.clone()),
        certificate,
        HOUR_MS,
    );
    let responder = Arc::new(responder.unwrap());
    let ask = |nonce: u8| {
        let (responder, issuer) = (
            responder.clone(),
            world.issuer.authority.certificate().clone(),
        );
        let asked = make_request(&issuer, world.seal.serial(), Some(&[nonce; 16])).unwrap();
        async move { responder.answer(&asked).await.unwrap().der }
    };
    key.stall(true);
    let cores = std::thread::available_parallelism().unwrap().get();
    let places = 4 * cores;
    let waiting: Vec<_> = (0..places).map(|n| tokio::spawn(ask(n as u8))).collect();
    wait_until("all places", PATIENCE, async || key.waiting() == places).await;
    assert_eq!(ask(200).await, TRY_LATER);
    key.stall(false);
    for answer in waiting {
        assert_ne!(answer.await.unwrap(), TRY_LATER);
    }
    assert_ne!(ask(201).await, TRY_LATER);
}
