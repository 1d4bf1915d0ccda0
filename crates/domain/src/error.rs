//! What a value that cannot be built says about itself.

/// Longest reason that quotes a stranger, in characters.
pub const REASON_CHARS_MAX: usize = 300;

/// A value was refused at construction; `what` names the field, `reason` says which rule it broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {reason}")]
pub struct Malformed {
    pub what: &'static str,
    pub reason: String,
}

impl Malformed {
    /// Names the thing and the broken rule.
    pub fn new(what: &'static str, reason: impl Into<String>) -> Self {
        Self {
            what,
            reason: reason.into(),
        }
    }

    /// The same with a reason of at most [`REASON_CHARS_MAX`] characters. Whatever quotes what a stranger sent goes
    /// through here before it is kept, answered or logged: its length is the stranger's choice.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let mut ends = self.reason.char_indices().skip(REASON_CHARS_MAX - 1);
        if let (Some((last, _)), Some(_)) = (ends.next(), ends.next()) {
            self.reason.truncate(last);
            self.reason.push('…');
            self.reason.shrink_to_fit();
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_cut_between_characters() {
        let bounded = |reason: String| Malformed::new("item", reason).bounded().reason;
        for character in ["a", "证", "\u{202e}", "\0"] {
            let whole = character.repeat(REASON_CHARS_MAX);
            assert_eq!(bounded(whole.clone()), whole);
            let cut = bounded(character.repeat(REASON_CHARS_MAX + 1));
            assert_eq!(cut.chars().count(), REASON_CHARS_MAX);
            assert!(cut.starts_with(character) && cut.ends_with('…'));
        }
        assert_eq!(bounded(String::new()), "");
    }
}
