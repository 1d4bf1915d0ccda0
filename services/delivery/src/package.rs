//! A package's bytes as a stream, in bounded memory whatever its size (P11): container, measure, encryption.
//!
//! The container comes out byte for byte the same each time it is streamed, so that a large one is read twice, once
//! to know its length and digest and once to encrypt it, and never lies anywhere in plaintext.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, stream};
use probity_domain::{Sha3_256, Sha256};
use probity_pki::asic::{ContainerWriter, Packing};
use probity_pki::envelope::{EnvelopeRandom, PARTS_MAX, PartsEncryptor};
use probity_pki::package::{SUBMITTER_INSTRUCTION, artifact_member};
use probity_pki::statement::StatedArtifact;
use probity_pki::x509::Certificate;
use probity_platform::objects::{ByteStream, Objects};
use probity_platform::{Error, Random, Result};
use probity_proto::stored::blob_key;
use sha2::Digest as _;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use crate::assemble::Sealed;
use crate::error::kept;

/// Artifacts are packed in pieces of this size, however they arrive: the container depends on nothing else.
const PIECE_BYTES: usize = 64 * 1024;
/// Pieces under way between writer and reader.
const PIECES_AHEAD: usize = 8;
/// Packages up to this size are kept in memory between measuring and encrypting.
const IN_MEMORY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The container. Every artifact's digest is checked on the way; a wrong one ends the stream with an error.
#[must_use]
pub fn container(sealed: Arc<Sealed>, truth: Arc<dyn Objects>) -> ByteStream {
    let (out, pieces) = mpsc::channel(PIECES_AHEAD);
    tokio::spawn(async move {
        if let Err(e) = write(&sealed, &*truth, &out).await {
            // When nobody reads any more there is nobody to tell.
            let _ = out.send(Err(e)).await;
        }
    });
    Box::pin(ReceiverStream::new(pieces))
}

type Out = mpsc::Sender<Result<Bytes>>;
type Zip = ContainerWriter<Vec<u8>>;

async fn write(sealed: &Sealed, truth: &dyn Objects, out: &Out) -> Result<()> {
    let mut zip = ContainerWriter::new(Vec::new(), sealed.sealed_at).map_err(kept)?;
    for (name, bytes) in &sealed.fixed {
        zip.add_bytes(name, bytes).map_err(kept)?;
    }
    drain(&mut zip, out).await?;
    let instruction = sealed.instruction.map(|sha3_256| Streamed {
        member: SUBMITTER_INSTRUCTION.to_owned(),
        size_bytes: None,
        sha3_256,
        packing: Packing::Deflated,
    });
    let artifacts = sealed.artifacts.iter().map(Streamed::from);
    for streamed in instruction.into_iter().chain(artifacts) {
        let key = blob_key(&sealed.tenant, &streamed.sha3_256);
        write_streamed(&mut zip, &streamed, &key, truth, out).await?;
    }
    for (name, bytes) in &sealed.seal {
        zip.add_bytes(name, bytes).map_err(kept)?;
    }
    let rest = zip.finish().map_err(kept)?;
    send(rest.into(), out).await
}

/// A member whose bytes lie in the store under their digest.
struct Streamed {
    member: String,
    /// As stated, where it is.
    size_bytes: Option<u64>,
    sha3_256: Sha3_256,
    packing: Packing,
}

impl From<&StatedArtifact> for Streamed {
    fn from(artifact: &StatedArtifact) -> Self {
        Self {
            member: artifact_member(&artifact.name),
            size_bytes: Some(artifact.size_bytes),
            sha3_256: artifact.sha3_256,
            packing: packing(artifact),
        }
    }
}

async fn write_streamed(
    zip: &mut Zip,
    streamed: &Streamed,
    key: &str,
    truth: &dyn Objects,
    out: &Out,
) -> Result<()> {
    let gone = || Error::internal(format!("{key}: the bytes are gone"));
    let (size_bytes, mut bytes) = truth.get_streamed(key).await?.ok_or_else(gone)?;
    if let Some(stated) = streamed.size_bytes.filter(|stated| *stated != size_bytes) {
        return Err(Error::internal(format!(
            "{key}: {size_bytes} bytes, not {stated}"
        )));
    }
    let mut digest = sha3::Sha3_256::new();
    let mut piece = BytesMut::with_capacity(2 * PIECE_BYTES);
    zip.start_member(&streamed.member, Some(size_bytes), streamed.packing)
        .map_err(kept)?;
    while let Some(arrived) = bytes.next().await {
        let arrived = arrived?;
        digest.update(&arrived);
        piece.extend_from_slice(&arrived);
        while piece.len() >= PIECE_BYTES {
            zip.write(&piece.split_to(PIECE_BYTES)).map_err(kept)?;
            drain(zip, out).await?;
        }
    }
    zip.write(&piece).map_err(kept)?;
    zip.finish_member().map_err(kept)?;
    if Sha3_256(digest.finalize().into()) != streamed.sha3_256 {
        return Err(Error::internal(format!(
            "{key}: the bytes are not those of this digest"
        )));
    }
    drain(zip, out).await
}

/// Text is worth compressing; images, video and archives are compressed already.
fn packing(artifact: &StatedArtifact) -> Packing {
    const TEXT: [&str; 4] = [
        "application/json",
        "application/xml",
        "application/javascript",
        "image/svg+xml",
    ];
    let media_type = artifact.media_type.as_str();
    if media_type.starts_with("text/") || TEXT.contains(&media_type) {
        Packing::Deflated
    } else {
        Packing::Plain
    }
}

async fn drain(zip: &mut Zip, out: &Out) -> Result<()> {
    let ready = std::mem::take(zip.get_mut());
    send(ready.into(), out).await
}

async fn send(bytes: Bytes, out: &Out) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    out.send(Ok(bytes))
        .await
        .map_err(|_| Error::unavailable("nobody reads the package any more"))
}

/// A container's length and digest, and its bytes while they are few.
pub struct Measured {
    pub size_bytes: u64,
    pub sha3_256: Sha3_256,
    kept: Option<Bytes>,
}

/// Reads a container to its end.
///
/// # Errors
/// Those of the stream.
pub async fn measure(mut container: ByteStream) -> Result<Measured> {
    let mut digest = sha3::Sha3_256::new();
    let (mut size_bytes, mut few) = (0, Some(BytesMut::new()));
    while let Some(piece) = container.next().await {
        let piece = piece?;
        digest.update(&piece);
        size_bytes += piece.len() as u64;
        few = few
            .filter(|kept| kept.len() + piece.len() <= IN_MEMORY_BYTES_MAX)
            .map(|mut kept| {
                kept.extend_from_slice(&piece);
                kept
            });
    }
    Ok(Measured {
        size_bytes,
        sha3_256: Sha3_256(digest.finalize().into()),
        kept: few.map(BytesMut::freeze),
    })
}

impl Measured {
    /// The container again: from memory, or made anew.
    #[must_use]
    pub fn again(&self, sealed: &Arc<Sealed>, truth: &Arc<dyn Objects>) -> ByteStream {
        match &self.kept {
            Some(bytes) => {
                let bytes = bytes.clone();
                Box::pin(stream::once(async move { Ok(bytes) }))
            }
            None => container(sealed.clone(), truth.clone()),
        }
    }
}

/// An encrypted package on its way: its length is known from the start, its digest at the end.
pub struct Encrypted {
    pub size_bytes: u64,
    /// Length of each envelope, in their order.
    pub part_bytes: Vec<u64>,
    pub body: ByteStream,
    /// Comes when `body` was read to its end.
    pub sha256: oneshot::Receiver<Sha256>,
}

/// Encrypts a container of known length to a recipient whose certificate was checked, `piece_bytes` of it in each
/// envelope.
///
/// # Errors
/// `Malformed` for more than so many envelopes carry; `Internal` for a certificate that does not take it.
pub fn encrypt(
    recipient: &Certificate,
    content_bytes: u64,
    piece_bytes: u64,
    content: ByteStream,
    random: &dyn Random,
) -> Result<Encrypted> {
    let mut header = Vec::new();
    let mut fresh = || EnvelopeRandom::from_bytes(&random.bytes());
    let encryptor = PartsEncryptor::new(
        recipient,
        content_bytes,
        piece_bytes,
        &mut fresh,
        &mut header,
    );
    let encryptor = encryptor.map_err(|e| match e {
        probity_pki::Error::TooLarge { limit, .. } => Error::malformed(format!(
            "the package is larger than {limit} bytes, which {PARTS_MAX} envelopes may carry"
        )),
        other => Error::internal(other),
    })?;
    let part_bytes = encryptor.part_bytes().to_vec();
    let (digested, sha256) = oneshot::channel();
    let state = Encrypting {
        content,
        encryptor: Some(encryptor),
        header,
        digest: sha2::Sha256::new(),
        digested: Some(digested),
    };
    let body = stream::try_unfold(state, |state| state.next());
    Ok(Encrypted {
        size_bytes: part_bytes.iter().sum(),
        part_bytes,
        body: Box::pin(body),
        sha256,
    })
}

struct Encrypting {
    content: ByteStream,
    /// Gone once the last tag is written.
    encryptor: Option<PartsEncryptor>,
    header: Vec<u8>,
    digest: sha2::Sha256,
    digested: Option<oneshot::Sender<Sha256>>,
}

impl Encrypting {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        let Some(mut encryptor) = self.encryptor.take() else {
            if let Some(digested) = self.digested.take() {
                // Whoever does not wait for it does not need it.
                let _ = digested.send(Sha256(self.digest.finalize().into()));
            }
            return Ok(None);
        };
        let mut out = std::mem::take(&mut self.header);
        match self.content.next().await {
            Some(piece) => {
                encryptor.write(&piece?, &mut out).map_err(kept)?;
                self.encryptor = Some(encryptor);
            }
            None => encryptor.finish(&mut out).map_err(kept)?,
        }
        self.digest.update(&out);
        Ok(Some((out.into(), self)))
    }
}
