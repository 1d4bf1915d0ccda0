//! The real executable on real servers: ready, drained by SIGTERM, brought down by a role that fails.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use probity_testkit::{World, free_port, wait_until};
use tokio::process::{Child, Command};

use crate::config::probityd;

const PATIENCE: Duration = Duration::from_secs(60);

/// A configuration on the test's servers, with the sections given.
fn configuration(folder: &Path, world: &World, ops_port: u16, sections: &str) -> PathBuf {
    let s3 = world.s3().settings(folder);
    std::fs::write(
        folder.join("code-key"),
        "00112233445566778899aabbccddeeff".repeat(2),
    )
    .unwrap();
    let path = folder.join("probity.toml");
    let text = format!(
        r#"
[process]
name = "test"
ops_listen = "127.0.0.1:{ops_port}"
log = "pretty"
[nats]
url = "{nats}"
[redis]
url = "{redis}"
[s3]
{s3}
{sections}
"#,
        nats = world.nats_url(),
        redis = world.redis_url(),
    );
    std::fs::write(&path, text).unwrap();
    path
}

fn start(roles: &[&str], config: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_probityd"))
        .arg("run")
        .args(roles)
        .arg("--config")
        .arg(config)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn status(url: &str) -> Option<u16> {
    reqwest::get(url)
        .await
        .ok()
        .map(|response| response.status().as_u16())
}

fn terminate(child: &Child) {
    let pid = child.id().unwrap().to_string();
    let killed = std::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status()
        .unwrap();
    assert!(killed.success());
}

#[tokio::test]
async fn becomes_ready_and_drains_on_sigterm() {
    let world = World::shared().await;
    let folder = tempfile::tempdir().unwrap();
    let (ops, edge, grpc) = (free_port(), free_port(), free_port());
    let sections = format!(
        "[signing]\n[intake]\nlisten = \"127.0.0.1:{edge}\"\ngrpc_listen = \"127.0.0.1:{grpc}\"\n"
    );
    let config = configuration(folder.path(), world, ops, &sections);
    let path = config.to_str().unwrap().to_owned();
    assert!(
        probityd(&["prepare-store", "--config", &path])
            .status
            .success()
    );
    let officer = probityd(&["bootstrap-officer", "--config", &path]);
    let secret = String::from_utf8(officer.stdout).unwrap();
    assert!(
        secret.starts_with("pk_") && secret.lines().count() == 1,
        "{secret}"
    );

    let mut child = start(&["signing", "intake"], &config);
    let base = format!("http://127.0.0.1:{ops}");
    wait_until("readiness", PATIENCE, async || {
        status(&format!("{base}/readyz")).await == Some(200)
    })
    .await;
    // Ready means that every edge answers, without a second try.
    let channel = tonic::transport::Endpoint::new(format!("http://127.0.0.1:{grpc}")).unwrap();
    channel.connect().await.unwrap();
    assert_eq!(
        status(&format!("http://127.0.0.1:{edge}/nothing-is-here")).await,
        Some(404)
    );
    assert_eq!(status(&format!("{base}/livez")).await, Some(200));
    let metrics = reqwest::get(format!("{base}/metrics"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        metrics.contains("probity_http_in_flight") && metrics.ends_with("# EOF\n"),
        "{metrics}"
    );

    terminate(&child);
    let ended = tokio::time::timeout(Duration::from_secs(30), child.wait()).await;
    assert!(ended.expect("drained within 30 s").unwrap().success());
}

#[tokio::test]
async fn a_role_that_fails_brings_the_process_down_with_the_reason() {
    let world = World::shared().await;
    let folder = tempfile::tempdir().unwrap();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sections = format!(
        "[signing]\n[intake]\nlisten = \"{}\"\n",
        taken.local_addr().unwrap()
    );
    let config = configuration(folder.path(), world, free_port(), &sections);
    assert!(
        probityd(&["prepare-store", "--config", config.to_str().unwrap()])
            .status
            .success()
    );
    let child = start(&["signing", "intake"], &config);
    let ended = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let ended = ended.expect("ended by itself").unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        !ended.status.success() && said.contains("conflict: intake:"),
        "{said}"
    );
}
