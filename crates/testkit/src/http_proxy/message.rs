//! HTTP/1.1 messages as a proxy passes them on: heads that stay what they are, bodies with their framing.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::io::{AsyncWriteExt, copy, copy_buf, sink};

const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How a body ends (RFC 9112 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Bytes(u64),
    Chunks,
    UntilClose,
}

/// Start line and headers, with the empty line that ends them.
pub(super) struct Head {
    pub(super) bytes: Vec<u8>,
    text: String,
}

impl Head {
    /// `None` when the connection ends before a first byte.
    pub(super) async fn read(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            if from.read_until(b'\n', &mut bytes).await? == 0 {
                return if bytes.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
            if bytes.len() > HEAD_BYTES_MAX {
                return Err(invalid("a head over 64 KiB"));
            }
        }
        let text =
            String::from_utf8(bytes.clone()).map_err(|_| invalid("a head that is no text"))?;
        Ok(Some(Self { bytes, text }))
    }

    /// The answer after any `100 Continue`.
    pub(super) async fn read_final(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Self> {
        loop {
            let head = Self::read(from)
                .await?
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            if !head.word(1).starts_with('1') {
                return Ok(head);
            }
        }
    }

    /// A word of the start line.
    pub(super) fn word(&self, place: usize) -> String {
        let line = self.text.lines().next().unwrap_or_default();
        line.split(' ').nth(place).unwrap_or_default().to_owned()
    }

    pub(super) fn header(&self, wanted: &str) -> Option<String> {
        let mut fields = self
            .text
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'));
        let (_, value) = fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
        Some(value.trim().to_ascii_lowercase())
    }

    /// The head with one header left out.
    pub(super) fn without(&self, unwanted: &str) -> Vec<u8> {
        let lines = self.text.split_inclusive("\r\n");
        let kept = lines.filter(|line| {
            let name = line.split(':').next().unwrap_or_default();
            !name.eq_ignore_ascii_case(unwanted)
        });
        kept.collect::<String>().into_bytes()
    }

    /// The same answer with another body, framed by its length.
    pub(super) fn with_body(&self, body: &[u8]) -> Vec<u8> {
        let framing = ["content-length", "transfer-encoding"];
        let lines = self.text.split_inclusive("\r\n");
        let kept = lines.filter(|line| {
            let name = line.split(':').next().unwrap_or_default();
            *line != "\r\n" && !framing.iter().any(|f| name.eq_ignore_ascii_case(f))
        });
        let mut whole = kept.collect::<String>();
        whole += &format!("content-length: {}\r\n\r\n", body.len());
        [whole.as_bytes(), body].concat()
    }

    pub(super) fn closes(&self) -> bool {
        self.header("connection")
            .is_some_and(|value| value == "close")
    }

    pub(super) fn framing(&self) -> io::Result<Option<Body>> {
        if self
            .header("transfer-encoding")
            .is_some_and(|value| value.contains("chunked"))
        {
            return Ok(Some(Body::Chunks));
        }
        let length = self.header("content-length").map(|value| value.parse());
        let length = length
            .transpose()
            .map_err(|_| invalid("a length that is no number"))?;
        Ok(length.map(Body::Bytes))
    }

    pub(super) fn body_of_request(&self) -> io::Result<Body> {
        Ok(self.framing()?.unwrap_or(Body::Bytes(0)))
    }

    pub(super) fn body_of_answer(&self, request: &Self) -> io::Result<Body> {
        if request.word(0) == "HEAD" || ["204", "304"].contains(&self.word(1).as_str()) {
            return Ok(Body::Bytes(0));
        }
        Ok(self.framing()?.unwrap_or(Body::UntilClose))
    }
}

pub(super) async fn pass_body<R, W>(body: Body, from: &mut R, to: &mut W) -> io::Result<()>
where
    R: AsyncBufRead + Unpin,
    W: AsyncWrite + Unpin,
{
    match body {
        Body::Bytes(length) => exactly(length, from, to).await?,
        Body::UntilClose => drop(copy_buf(from, to).await?),
        Body::Chunks => pass_chunks(from, to).await?,
    }
    to.flush().await
}

/// A body without its framing.
pub(super) async fn whole_body<R: AsyncBufRead + Unpin>(
    body: Body,
    from: &mut R,
) -> io::Result<Vec<u8>> {
    let mut whole = Vec::new();
    if body != Body::Chunks {
        pass_body(body, from, &mut whole).await?;
        return Ok(whole);
    }
    loop {
        let line = pass_line(from, &mut sink()).await?;
        let length = chunk_length(&line)?;
        if length == 0 {
            while pass_line(from, &mut sink()).await? != "\r\n" {}
            return Ok(whole);
        }
        exactly(length, from, &mut whole).await?;
        exactly(2, from, &mut sink()).await?;
    }
}

fn chunk_length(line: &str) -> io::Result<u64> {
    let digits = line.split(';').next().unwrap_or_default().trim();
    u64::from_str_radix(digits, 16).map_err(|_| invalid("a chunk without length"))
}

async fn pass_chunks<R, W>(from: &mut R, to: &mut W) -> io::Result<()>
where
    R: AsyncBufRead + Unpin,
    W: AsyncWrite + Unpin,
{
    loop {
        let line = pass_line(from, to).await?;
        let length = chunk_length(&line)?;
        if length == 0 {
            while pass_line(from, to).await? != "\r\n" {}
            return Ok(());
        }
        exactly(length.saturating_add(2), from, to).await?;
    }
}

async fn pass_line<R, W>(from: &mut R, to: &mut W) -> io::Result<String>
where
    R: AsyncBufRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut line = String::new();
    if from.read_line(&mut line).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    to.write_all(line.as_bytes()).await?;
    Ok(line)
}

async fn exactly<R, W>(length: u64, from: &mut R, to: &mut W) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    match copy(&mut from.take(length), to).await? {
        passed if passed == length => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
