//! An HTTP proxy that loses answers after the server has done what was asked, invents refusals, is late and breaks off.
//!
//! It speaks HTTP/1.1 with connections kept open on both sides, bodies by length or in chunks, and passes on what it reads
//! byte for byte: signatures over requests stay good.

mod message;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufReader, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use message::{Body, Head, pass_body, whole_body};

/// What to do with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Pass,
    /// The server sees it this much later.
    Late(Duration),
    /// The server does it; the answer is lost.
    DropResponse,
    /// The server does it; the connection breaks in the middle of the answer.
    CutResponse,
    /// The answer comes whole, but its last bytes and the end of the connection this much later.
    SlowClose(Duration),
    /// The server never sees it; the connection breaks.
    DropRequest,
    /// The connection breaks at once, and the server sees it just before the next PUT.
    ApplyLate,
    /// The server never sees it: status and the code of an S3 error document; an empty answer without a code.
    Answer(u16, &'static str),
    /// As 503, asking for this many seconds of patience.
    Patience(u32),
    /// The client reads what the proxy's editor makes of the answer's body.
    Edit,
}

/// Requests held back by [`Action::ApplyLate`].
type Held = Mutex<Vec<Vec<u8>>>;

/// Sees method and target of a request.
pub type Decide = dyn Fn(&str, &str) -> Action + Send + Sync;

/// Sees the target of a request and the answer's body; answers another.
pub type Editor = dyn Fn(&str, Vec<u8>) -> Vec<u8> + Send + Sync;

/// Starts a proxy to `upstream` (`http://host:port`) and answers its own URL. Ends with the runtime.
///
/// # Panics
/// If `upstream` is no such address, or no port can be had.
pub async fn start(upstream: &str, decide: Arc<Decide>) -> String {
    start_on(0, upstream, decide, Arc::new(|_, body| body)).await
}

/// The same on a port of 127.0.0.1 that the caller chose, and with an editor for [`Action::Edit`].
///
/// # Panics
/// As [`start`].
pub async fn start_on(port: u16, upstream: &str, decide: Arc<Decide>, edit: Arc<Editor>) -> String {
    let upstream: SocketAddr = upstream
        .strip_prefix("http://")
        .and_then(|address| address.trim_end_matches('/').parse().ok())
        .unwrap_or_else(|| panic!("{upstream} is not http://ADDRESS:PORT"));
    let listener = TcpListener::bind(("127.0.0.1", port))
        .await
        .unwrap_or_else(|e| panic!("no port {port} for a proxy: {e}"));
    let url = listener.local_addr().map(|own| format!("http://{own}"));
    let held = Arc::new(Held::default());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (decide, edit, held) = (decide.clone(), edit.clone(), held.clone());
            tokio::spawn(async move {
                // A broken connection is what this is for.
                let _ = serve(client, upstream, &*decide, &*edit, &held).await;
            });
        }
    });
    url.unwrap_or_else(|e| panic!("a proxy without an address: {e}"))
}

/// What is passed on goes out at once: waiting for more of it would add 40 ms to what is measured behind a proxy.
async fn connect(upstream: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Requests of one connection, until one of them breaks it.
async fn serve(
    client: TcpStream,
    upstream: SocketAddr,
    decide: &Decide,
    edit: &Editor,
    held: &Held,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut client = BufReader::new(client);
    let mut kept: Option<BufReader<TcpStream>> = None;
    while let Some(request) = Head::read(&mut client).await? {
        let action = decide(&request.word(0), &request.word(1));
        if action == Action::DropRequest {
            return Ok(());
        }
        if request.header("expect").is_some() {
            client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let body = request.body_of_request()?;
        if let Some(refusal) = refusal(action) {
            pass_body(body, &mut client, &mut sink()).await?;
            client.write_all(&refusal).await?;
            continue;
        }
        match action {
            Action::ApplyLate => return hold(&request, body, &mut client, held).await,
            Action::Late(by) => sleep(by).await,
            _ => {}
        }
        if request.word(0) == "PUT" {
            apply_held(upstream, held).await?;
        }
        let mut server = match kept.take().filter(is_open) {
            Some(server) => server,
            None => BufReader::new(connect(upstream).await?),
        };
        server.write_all(&request.without("expect")).await?;
        pass_body(body, &mut client, &mut server).await?;
        let answer = Head::read_final(&mut server).await?;
        let body = answer.body_of_answer(&request)?;
        match action {
            Action::DropResponse => {
                return pass_body(body, &mut server, &mut sink()).await;
            }
            Action::CutResponse => {
                let half = answer.bytes.get(..answer.bytes.len() / 2);
                client.write_all(half.unwrap_or_default()).await?;
                return pass_body(body, &mut server, &mut sink()).await;
            }
            Action::SlowClose(by) => {
                return close_slowly(&answer, body, &mut server, &mut client, by).await;
            }
            Action::Edit => {
                let body = edit(&request.word(1), whole_body(body, &mut server).await?);
                client.write_all(&answer.with_body(&body)).await?;
                if answer.closes() || request.closes() {
                    return client.shutdown().await;
                }
                kept = Some(server);
                continue;
            }
            _ => {}
        }
        client.write_all(&answer.bytes).await?;
        pass_body(body, &mut server, &mut client).await?;
        if body == Body::UntilClose || answer.closes() || request.closes() {
            return client.shutdown().await;
        }
        kept = Some(server);
    }
    Ok(())
}

async fn close_slowly(
    answer: &Head,
    body: Body,
    server: &mut BufReader<TcpStream>,
    client: &mut BufReader<TcpStream>,
    by: Duration,
) -> io::Result<()> {
    let mut whole = answer.bytes.clone();
    pass_body(body, server, &mut whole).await?;
    let (first, last) = whole.split_at(whole.len().saturating_sub(2));
    client.write_all(first).await?;
    client.flush().await?;
    sleep(by).await;
    client.write_all(last).await?;
    client.shutdown().await
}

/// The other side has not closed a connection that nothing is awaited on.
fn is_open(connection: &BufReader<TcpStream>) -> bool {
    let read = connection.get_ref().try_read(&mut [0]);
    connection.buffer().is_empty() && read.is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock)
}

/// Keeps a request for later.
async fn hold(
    request: &Head,
    body: Body,
    client: &mut BufReader<TcpStream>,
    held: &Held,
) -> io::Result<()> {
    let mut whole = request.without("expect");
    pass_body(body, client, &mut whole).await?;
    held.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(whole);
    Ok(())
}

/// Gives the server what was held back.
async fn apply_held(upstream: SocketAddr, held: &Held) -> io::Result<()> {
    let late = std::mem::take(&mut *held.lock().unwrap_or_else(PoisonError::into_inner));
    for request in late {
        let mut server = BufReader::new(connect(upstream).await?);
        server.write_all(&request).await?;
        Head::read_final(&mut server).await?;
    }
    Ok(())
}

/// What is answered without asking the server.
fn refusal(action: Action) -> Option<Vec<u8>> {
    let (status, patience, body) = match action {
        Action::Answer(status, "") => (status, String::new(), String::new()),
        Action::Answer(status, code) => {
            let document = format!("<Error><Code>{code}</Code></Error>");
            (status, String::new(), document)
        }
        Action::Patience(seconds) => (503, format!("retry-after: {seconds}\r\n"), String::new()),
        _ => return None,
    };
    let length = body.len();
    let answer = format!("HTTP/1.1 {status} X\r\n{patience}content-length: {length}\r\n\r\n{body}");
    Some(answer.into_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Answers each request with its own body, in chunks; counts connections and requests.
    async fn echo(connections: Arc<AtomicUsize>, requests: Arc<AtomicUsize>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let requests = requests.clone();
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    while let Ok(Some(head)) = Head::read(&mut stream).await {
                        let mut body = Vec::new();
                        pass_body(head.body_of_request().unwrap(), &mut stream, &mut body)
                            .await
                            .unwrap();
                        requests.fetch_add(1, Ordering::SeqCst);
                        let text = String::from_utf8(body).unwrap();
                        let answer = format!(
                            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{text}\r\n0\r\n\r\n",
                            text.len()
                        );
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        url
    }

    async fn connect(url: &str) -> BufReader<TcpStream> {
        let address = url.strip_prefix("http://").unwrap();
        BufReader::new(TcpStream::connect(address).await.unwrap())
    }

    async fn put(
        stream: &mut BufReader<TcpStream>,
        target: &str,
        body: &str,
    ) -> io::Result<String> {
        let request = format!(
            "PUT {target} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let answer = Head::read_final(stream).await?;
        let mut text = Vec::new();
        pass_body(answer.framing()?.unwrap(), stream, &mut text).await?;
        Ok(format!(
            "{} {}",
            answer.word(1),
            String::from_utf8_lossy(&text)
        ))
    }

    #[tokio::test]
    async fn keeps_connections_and_breaks_what_it_is_told_to() {
        let (connections, requests) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let upstream = echo(connections.clone(), requests.clone()).await;
        let decide = |_: &str, target: &str| match target {
            "/drop" => Action::DropResponse,
            "/cut" => Action::CutResponse,
            "/lost" => Action::DropRequest,
            "/slow" => Action::SlowClose(Duration::from_millis(5)),
            "/late" => Action::Late(Duration::from_millis(5)),
            "/busy" => Action::Answer(503, "SlowDown"),
            "/wait" => Action::Patience(7),
            "/held" => Action::ApplyLate,
            _ => Action::Pass,
        };
        let proxy = start(&upstream, Arc::new(decide)).await;
        let mut stream = connect(&proxy).await;
        assert_eq!(
            put(&mut stream, "/a", "one").await.unwrap(),
            "200 3\r\none\r\n0\r\n\r\n"
        );
        assert!(
            put(&mut stream, "/busy", "two")
                .await
                .unwrap()
                .starts_with("503 <Error>")
        );
        assert!(
            put(&mut stream, "/late", "three")
                .await
                .unwrap()
                .contains("three")
        );
        let counts = || {
            (
                connections.load(Ordering::SeqCst),
                requests.load(Ordering::SeqCst),
            )
        };
        assert_eq!(
            counts(),
            (1, 2),
            "one connection serves all, the refused one was not seen"
        );

        assert!(put(&mut stream, "/drop", "four").await.is_err());
        assert_eq!(counts().1, 3, "the server did it");
        assert!(
            put(&mut connect(&proxy).await, "/cut", "five")
                .await
                .is_err()
        );
        assert_eq!(counts().1, 4);
        assert!(
            put(&mut connect(&proxy).await, "/lost", "six")
                .await
                .is_err()
        );
        assert_eq!(counts().1, 4, "the server never saw it");
        assert!(
            put(&mut connect(&proxy).await, "/slow", "seven")
                .await
                .unwrap()
                .contains("seven")
        );

        let mut stream = connect(&proxy).await;
        assert_eq!(put(&mut stream, "/wait", "eight").await.unwrap(), "503 ");
        assert!(
            put(&mut connect(&proxy).await, "/held", "nine")
                .await
                .is_err()
        );
        assert_eq!(counts().1, 5, "held back");
        put(&mut stream, "/b", "ten").await.unwrap();
        assert_eq!(counts().1, 7, "and seen just before the next");
    }

    #[tokio::test]
    async fn edits_what_comes_in_chunks_and_goes_on() {
        let upstream = echo(Arc::default(), Arc::default()).await;
        let decide = |_: &str, _: &str| Action::Edit;
        let edit = |target: &str, body: Vec<u8>| [target.as_bytes(), b" ", &body].concat();
        let proxy = start_on(0, &upstream, Arc::new(decide), Arc::new(edit)).await;
        let mut stream = connect(&proxy).await;
        for (target, body, wanted) in [("/a", "one", "200 /a one"), ("/b", "", "200 /b ")] {
            assert_eq!(put(&mut stream, target, body).await.unwrap(), wanted);
        }
    }
}
