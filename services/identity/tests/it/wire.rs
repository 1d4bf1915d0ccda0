//! Over a real socket: the address recorded is the peer's.

use std::sync::Arc;

use probity_platform::bus::{Bus, BusConfig};
use probity_platform::cache::Cache;
use probity_platform::edge::{self, Limits};
use probity_platform::objects::{Buckets, MemoryObjects};
use probity_platform::startup::Context;
use probity_proto::ledger::PartyEvent;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::world::World;

#[tokio::test]
async fn the_peers_address_is_recorded_and_its_claims_are_not() {
    let world = World::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let store = Arc::new(MemoryObjects::new());
    let buckets = Buckets {
        truth: store.clone(),
        work: store,
    };
    // Nobody listens there: identity works without the bus.
    let bus = Bus::connect(&BusConfig::plain("nats://127.0.0.1:1"), "identity")
        .await
        .unwrap();
    let ctx = Context::for_tests(buckets, bus, Cache::disabled(), world.clock.clone());
    let router = world.router();
    tokio::spawn(async move {
        edge::serve_http_on(listener, router, &ctx, "identity", Limits::default()).await
    });
    let body = World::application("acme-legal", "acme").to_string();
    let request = format!(
        "POST /v1/parties HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-forwarded-for: 203.0.113.1\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let history = world.ledger.read::<PartyEvent>("acme-legal").await.unwrap();
    assert_eq!(history.events[0].cause, "application from 127.0.0.1");
}
