//! An HTTP proxy that loses answers after the store has done what was asked, and invents refusals.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What to do with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Pass,
    /// The store does it; the answer is lost.
    DropResponse,
    /// The store never sees it; the connection breaks.
    DropRequest,
    /// The store never sees it.
    Answer(u16, &'static str),
}

/// Sees method and target of a request.
pub type Decide = dyn Fn(&str, &str) -> Action + Send + Sync;

/// Starts a proxy to `upstream` (`http://host:port`) and answers its own URL. Ends with the runtime.
pub async fn start(upstream: &str, decide: Arc<Decide>) -> String {
    let upstream: SocketAddr = upstream.strip_prefix("http://").unwrap().parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let decide = decide.clone();
            tokio::spawn(async move {
                // A broken connection is what this is for.
                let _ = serve(client, upstream, &*decide).await;
            });
        }
    });
    url
}

/// One request per connection.
async fn serve(
    mut client: TcpStream,
    upstream: SocketAddr,
    decide: &Decide,
) -> std::io::Result<()> {
    let mut seen = Vec::new();
    let head_end = loop {
        if let Some(at) = seen.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        if client.read_buf(&mut seen).await? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8(seen[..head_end].to_vec()).unwrap();
    assert!(
        !head.to_ascii_lowercase().contains("\r\nexpect:"),
        "not spoken here: {head}"
    );
    let body_bytes: usize = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.trim().parse().unwrap());
    while seen.len() < head_end + 4 + body_bytes {
        if client.read_buf(&mut seen).await? == 0 {
            return Ok(());
        }
    }
    let mut words = head.split(' ');
    let action = decide(words.next().unwrap(), words.next().unwrap());
    match action {
        Action::DropRequest => return Ok(()),
        Action::Answer(status, code) => {
            let body = format!("<Error><Code>{code}</Code></Error>");
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            return client.write_all(answer.as_bytes()).await;
        }
        Action::Pass | Action::DropResponse => {}
    }
    let mut server = TcpStream::connect(upstream).await?;
    server.write_all(head.as_bytes()).await?;
    server.write_all(b"\r\nConnection: close\r\n\r\n").await?;
    server.write_all(&seen[head_end + 4..]).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    if action == Action::Pass {
        client.write_all(&answer).await?;
    }
    Ok(())
}
