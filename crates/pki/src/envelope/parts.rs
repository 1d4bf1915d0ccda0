//! A package in parts: envelopes one after another. DER says where each ends, so nothing frames them, and
//! whoever knows their lengths opens them one by one with OpenSSL and joins what comes out.

use std::collections::VecDeque;

use super::{CONTENT_BYTES_MAX, Encryptor, EnvelopeRandom, PARTS_MAX, WHAT};
use crate::x509::Certificate;
use crate::{Error, Result};

/// Encrypts one content of known length in parts, each an envelope under an ephemeral key, a content
/// key and a nonce of its own. What the calls append to `out`, in order, is the package.
pub struct PartsEncryptor {
    current: Encryptor,
    /// Those after it, behind their headers.
    waiting: VecDeque<(Vec<u8>, Encryptor)>,
    part_bytes: Vec<u64>,
}

impl PartsEncryptor {
    /// Agrees on the keys of all parts and appends the first header. Every part carries
    /// `piece_bytes` of the content, the last one what is left. `random` is drawn once for each.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for more than [`PARTS_MAX`] pieces; otherwise as [`Encryptor::new`].
    pub fn new(
        recipient: &Certificate,
        content_bytes: u64,
        piece_bytes: u64,
        random: &mut dyn FnMut() -> EnvelopeRandom,
        out: &mut Vec<u8>,
    ) -> Result<Self> {
        let mut waiting = VecDeque::new();
        for piece in pieces(content_bytes, piece_bytes)? {
            let mut header = Vec::new();
            let encryptor = Encryptor::new(recipient, piece, &random(), &mut header)?;
            waiting.push_back((header, encryptor));
        }
        let part_bytes = waiting.iter().map(|(_, e)| e.envelope_bytes()).collect();
        let (header, current) = waiting.pop_front().ok_or_else(too_long)?;
        out.extend_from_slice(&header);
        Ok(Self {
            current,
            waiting,
            part_bytes,
        })
    }

    /// Length of each envelope in bytes, in their order, known from the start.
    #[must_use]
    pub fn part_bytes(&self) -> &[u64] {
        &self.part_bytes
    }

    /// Encrypts the next bytes, which may reach over the ends of parts.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the content is longer than announced.
    pub fn write(&mut self, mut content: &[u8], out: &mut Vec<u8>) -> Result<()> {
        loop {
            let left = usize::try_from(self.current.left()).unwrap_or(usize::MAX);
            let (now, later) = content.split_at(left.min(content.len()));
            self.current.write(now, out)?;
            if later.is_empty() {
                return Ok(());
            }
            content = later;
            let (header, next) = self.waiting.pop_front().ok_or_else(too_long)?;
            std::mem::replace(&mut self.current, next).finish(out)?;
            out.extend_from_slice(&header);
        }
    }

    /// Appends the last tag.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the content is shorter than announced.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<()> {
        if !self.waiting.is_empty() {
            return Err(Error::malformed(WHAT, "content is shorter than announced"));
        }
        self.current.finish(out)
    }
}

fn too_long() -> Error {
    Error::malformed(WHAT, "content is longer than announced")
}

/// Lengths of the pieces of a content; one of nothing for an empty one.
fn pieces(content_bytes: u64, piece_bytes: u64) -> Result<impl Iterator<Item = u64>> {
    let limit = piece_bytes.min(CONTENT_BYTES_MAX) * PARTS_MAX;
    if content_bytes > limit {
        return Err(Error::TooLarge {
            what: "package",
            limit,
        });
    }
    let piece_bytes = piece_bytes.max(1);
    let count = content_bytes.div_ceil(piece_bytes).max(1);
    Ok((0..count).map(move |n| (content_bytes - n * piece_bytes).min(piece_bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(content_bytes: u64, piece_bytes: u64) -> Option<Vec<u64>> {
        pieces(content_bytes, piece_bytes)
            .ok()
            .map(Iterator::collect)
    }

    #[test]
    fn pieces_add_up_and_are_few() {
        assert_eq!(cut(0, 10), Some(vec![0]));
        assert_eq!(cut(10, 10), Some(vec![10]));
        assert_eq!(cut(11, 10), Some(vec![10, 1]));
        assert_eq!(cut(10 * PARTS_MAX, 10).unwrap().len() as u64, PARTS_MAX);
        assert_eq!(cut(10 * PARTS_MAX + 1, 10), None);
        assert_eq!(cut(0, 0), Some(vec![0]));
        assert_eq!(cut(1, 0), None);
        let most = CONTENT_BYTES_MAX * PARTS_MAX;
        assert_eq!(cut(most + 1, u64::MAX), None, "no envelope is that large");
    }
}
