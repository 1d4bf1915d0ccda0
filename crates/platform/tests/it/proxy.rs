//! An HTTP proxy that loses answers after the store has done what was asked, and invents refusals.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

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
    /// The connection breaks at once, and the store sees it just before the next PUT.
    ApplyLate,
    /// The store never sees it. With a code it is an error, without one an empty answer.
    Answer(u16, &'static str),
    /// As 503, asking for this many seconds of patience.
    Patience(u32),
}

/// Requests held back by [`Action::ApplyLate`].
type Held = Mutex<Vec<Vec<u8>>>;

/// Sees method and target of a request.
pub type Decide = dyn Fn(&str, &str) -> Action + Send + Sync;

/// Starts a proxy to `upstream` (`http://host:port`) and answers its own URL. Ends with the runtime.
pub async fn start(upstream: &str, decide: Arc<Decide>) -> String {
    let upstream: SocketAddr = upstream.strip_prefix("http://").unwrap().parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let held = Arc::new(Held::default());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (decide, held) = (decide.clone(), held.clone());
            tokio::spawn(async move {
                // A broken connection is what this is for.
                let _ = serve(client, upstream, &*decide, &held).await;
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
    held: &Held,
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
    let method = words.next().unwrap();
    let action = decide(method, words.next().unwrap());
    let mut request = head.clone().into_bytes();
    request.extend_from_slice(b"\r\nConnection: close\r\n\r\n");
    request.extend_from_slice(&seen[head_end + 4..]);
    match action {
        Action::ApplyLate => {
            held.lock().unwrap().push(request);
            return Ok(());
        }
        Action::Patience(seconds) => {
            let answer = format!(
                "HTTP/1.1 503 X\r\nretry-after: {seconds}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            return client.write_all(answer.as_bytes()).await;
        }
        Action::DropRequest => return Ok(()),
        Action::Answer(status, code) => {
            let body = match code {
                "" => String::new(),
                code => format!("<Error><Code>{code}</Code></Error>"),
            };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            return client.write_all(answer.as_bytes()).await;
        }
        Action::Pass | Action::DropResponse => {}
    }
    if method == "PUT" {
        let late = std::mem::take(&mut *held.lock().unwrap());
        for request in late {
            forward(upstream, &request).await?;
        }
    }
    let answer = forward(upstream, &request).await?;
    if action == Action::Pass {
        client.write_all(&answer).await?;
    }
    Ok(())
}

async fn forward(upstream: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(upstream).await?;
    server.write_all(request).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    Ok(answer)
}
