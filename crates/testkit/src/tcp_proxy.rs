//! A TCP proxy whose line can be cut, frozen and made slow: what a network does between a client and a server that are both well.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

const PIECE_BYTES: usize = 16 * 1024;

/// How the line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    Good,
    /// Connections break, new ones break at once.
    Cut,
    /// Connections stay, nothing passes: a partition.
    Frozen,
    /// Each piece, at most 16 KiB, is this late.
    Late(Duration),
}

/// Listens until it is dropped.
#[derive(Debug)]
pub struct TcpProxy {
    line: watch::Sender<Line>,
}

impl TcpProxy {
    /// Passes connections from 127.0.0.1:`port` to 127.0.0.1:`upstream`.
    ///
    /// # Panics
    /// If the port is taken.
    pub async fn start(port: u16, upstream: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .unwrap_or_else(|e| panic!("no port {port} for a proxy: {e}"));
        let (line, state) = watch::channel(Line::Good);
        tokio::spawn(async move {
            let mut ends = state.clone();
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    // The sender is gone: so is the proxy.
                    Err(_) = ends.wait_for(|_| false) => return,
                };
                if let Ok((client, _)) = accepted {
                    tokio::spawn(serve(client, upstream, state.clone()));
                }
            }
        });
        Self { line }
    }

    /// Makes the line so, for connections that stand as for new ones.
    pub fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

async fn serve(mut client: TcpStream, upstream: u16, line: watch::Receiver<Line>) {
    if *line.borrow() == Line::Cut {
        return;
    }
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", upstream)).await else {
        return;
    };
    // Waiting for more would add 40 ms to what is measured behind the proxy.
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    // The first side to end or break ends both, as a reset does.
    tokio::select! {
        _ = pump(from_client, to_server, line.clone()) => {}
        _ = pump(from_server, to_client, line) => {}
    }
}

async fn pump<R, W>(mut from: R, mut to: W, mut line: watch::Receiver<Line>) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = tokio::select! {
            _ = line.wait_for(|now| *now == Line::Cut) => return Err(broken()),
            length = from.read(&mut piece) => length?,
        };
        // How the line is now that there is something to pass on, not how it was when that was waited for.
        let now = line.wait_for(|now| *now != Line::Frozen).await;
        let now = *now.map_err(|_| broken())?;
        if now == Line::Cut {
            return Err(broken());
        }
        if length == 0 {
            return to.shutdown().await;
        }
        if let Line::Late(by) = now {
            sleep(by).await;
        }
        to.write_all(piece.get(..length).unwrap_or_default())
            .await?;
    }
}

fn broken() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::free_port;

    async fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        port
    }

    #[tokio::test]
    async fn freezes_thaws_and_cuts() {
        let port = free_port();
        let proxy = TcpProxy::start(port, echo().await).await;
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let mut got = [0; 4];
        stream.write_all(b"good").await.unwrap();
        stream.read_exact(&mut got).await.unwrap();
        proxy.set(Line::Frozen);
        stream.write_all(b"late").await.unwrap();
        let silent = tokio::time::timeout(Duration::from_millis(50), stream.read_exact(&mut got));
        assert!(silent.await.is_err(), "nothing passes a frozen line");
        proxy.set(Line::Late(Duration::from_millis(1)));
        stream.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"late");
        proxy.set(Line::Cut);
        let end = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut got));
        assert!(matches!(end.await, Ok(Ok(0) | Err(_))), "the line is cut");
    }
}
