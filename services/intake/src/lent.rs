//! A request's body that is lent out and comes back when its borrower is done with it, so that what it left unread can
//! be read to its end.

use axum::body::Body;
use futures::StreamExt as _;
use probity_platform::Error;
use probity_platform::objects::ByteStream;

/// A body that was not needed is read to its end up to this length, so that its sender gets to see the answer.
const DRAINED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Comes back when the borrower is done.
pub(crate) struct Rest(tokio::sync::oneshot::Receiver<axum::body::BodyDataStream>);

struct Lent(
    Option<(
        axum::body::BodyDataStream,
        tokio::sync::oneshot::Sender<axum::body::BodyDataStream>,
    )>,
);

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some((body, owner)) = self.0.take() {
            // The request may be gone already.
            owner.send(body).ok();
        }
    }
}

/// Lends a body to whoever stores it.
pub(crate) fn lend(body: Body) -> (ByteStream, Rest) {
    let (owner, rest) = tokio::sync::oneshot::channel();
    let lent = Lent(Some((body.into_data_stream(), owner)));
    let bytes = futures::stream::unfold(lent, |mut lent| async move {
        let piece = match &mut lent.0 {
            Some((body, _)) => body.next().await?,
            None => return None,
        };
        Some((
            piece.map_err(|e| Error::malformed(format!("the body broke off: {e}"))),
            lent,
        ))
    });
    (Box::pin(bytes), Rest(rest))
}

impl Rest {
    /// Reads what is left of a body of `size_bytes`; `false` when that is too much.
    pub(crate) async fn drain(self, size_bytes: u64) -> bool {
        if size_bytes > DRAINED_BYTES_MAX {
            return false;
        }
        let Ok(mut body) = self.0.await else {
            return false;
        };
        while let Some(Ok(_)) = body.next().await {}
        true
    }
}
