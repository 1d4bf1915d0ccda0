use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use probity_testkit::{World, wait_until};

fn port(url: &str) -> u16 {
    let digits = url.trim_end_matches('/').rsplit(':').next().unwrap();
    digits.parse().unwrap()
}

fn redis(port: u16, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream
        .write_all(format!("{command}\r\n").as_bytes())
        .unwrap();
    let mut answer = [0; 64];
    let length = stream.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[tokio::test]
async fn everything_comes_up_once_per_process() {
    let world = World::shared().await;
    assert!(TcpStream::connect(("127.0.0.1", port(&world.nats_url()))).is_ok());
    assert!(TcpStream::connect(("127.0.0.1", port(&world.redis_url()))).is_ok());
    assert!(world.s3().endpoint.starts_with("http"));
    assert_eq!(World::shared().await.nats_url(), world.nats_url());
}

#[tokio::test]
async fn nats_returns_on_the_same_port_after_stop_kill_and_wipe() {
    let world = World::builder().nats().start().await;
    let url = world.nats_url();
    let up = || TcpStream::connect(("127.0.0.1", port(&url))).is_ok();
    world.stop_nats().await;
    assert!(!up());
    world.start_nats().await;
    assert!(up());
    world.kill_nats().await;
    assert!(!up());
    world.start_nats().await;
    world.wipe_nats().await;
    assert!(!up());
    world.start_nats().await;
    assert!(up());
    assert_eq!(world.nats_url(), url);
}

#[tokio::test]
async fn redis_forgets_when_flushed_and_when_stopped() {
    let world = World::builder().redis().start().await;
    let port = port(&world.redis_url());
    assert_eq!(redis(port, "SET k v"), "+OK\r\n");
    world.flush_redis().await;
    assert_eq!(redis(port, "EXISTS k"), ":0\r\n");
    assert_eq!(redis(port, "SET k v"), "+OK\r\n");
    world.stop_redis().await;
    world.start_redis().await;
    assert_eq!(redis(port, "EXISTS k"), ":0\r\n");
}

#[tokio::test]
async fn a_dropped_world_leaves_no_server_behind() {
    let world = World::builder().redis().start().await;
    let port = port(&world.redis_url());
    drop(world);
    wait_until("the port to be free", Duration::from_secs(60), || {
        std::future::ready(TcpStream::connect(("127.0.0.1", port)).is_err())
    })
    .await;
}
