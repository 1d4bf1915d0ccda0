//! Randomness, handed in.

/// Fills buffers with random bytes. Roles hold `Arc<dyn Random>`.
pub trait Random: Send + Sync + 'static {
    /// Fills the whole buffer.
    fn fill(&self, out: &mut [u8]);
}

impl dyn Random {
    /// `N` random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[expect(
        clippy::panic,
        reason = "a machine without randomness must not sign, number or encrypt anything"
    )]
    fn fill(&self, out: &mut [u8]) {
        if let Err(e) = getrandom::fill(out) {
            panic!("the operating system gives no randomness: {e}");
        }
    }
}
