//! The parts of a package, parsed; arithmetic done, nothing judged.

use probity_pki::asic::Manifest;
use probity_pki::package::{
    EVENT_MANIFEST, EVENT_SIGNATURE, SEAL_MANIFEST, SEAL_SIGNATURE, STATEMENT, SUBMITTER_MANIFEST,
    SUBMITTER_SIGNATURE,
};
use probity_pki::statement::Statement;

use crate::diagnostic::Diagnostic;
use crate::signature::Signed;
use crate::text::Text;

/// Something that may be there.
pub enum Part<T> {
    Absent,
    /// It is there, but not what its standard asks for.
    Unreadable(Text),
    Read(T),
}

/// What the documents of a package say.
pub struct Parts {
    pub event_manifest: Part<Manifest>,
    pub event: Part<Signed>,
    pub seal_manifest: Part<Manifest>,
    pub seal: Part<Signed>,
    pub submitter_manifest: Part<Manifest>,
    pub submitter: Part<Signed>,
    pub statement: Part<Statement>,
}

impl Parts {
    pub fn of(diagnostic: &Diagnostic) -> Self {
        let manifest = |name| Part::of(diagnostic, name, Manifest::parse);
        let signed = |name, content| {
            // A signature over nothing fails by itself.
            let content = diagnostic.document(content).unwrap_or_default();
            Part::of(diagnostic, name, |bytes| Signed::read(bytes, content))
        };
        Self {
            event_manifest: manifest(EVENT_MANIFEST),
            event: signed(EVENT_SIGNATURE, EVENT_MANIFEST),
            seal_manifest: manifest(SEAL_MANIFEST),
            seal: signed(SEAL_SIGNATURE, SEAL_MANIFEST),
            submitter_manifest: manifest(SUBMITTER_MANIFEST),
            submitter: signed(SUBMITTER_SIGNATURE, SUBMITTER_MANIFEST),
            statement: Part::of(diagnostic, STATEMENT, Statement::parse),
        }
    }
}

impl<T> Part<T> {
    pub fn of(
        diagnostic: &Diagnostic,
        name: &str,
        parse: impl FnOnce(&[u8]) -> probity_pki::Result<T>,
    ) -> Self {
        match (diagnostic.document(name), diagnostic.member(name)) {
            (Some(bytes), _) => match parse(bytes) {
                Ok(read) => Self::Read(read),
                Err(e) => Self::Unreadable(Text::error_in(name, &e)),
            },
            (None, Some(member)) => Self::Unreadable(member.damaged.clone().unwrap_or_else(|| {
                Text::new(
                    format!("{name} could not be read"),
                    format!("{name} 无法读取"),
                )
            })),
            (None, None) => Self::Absent,
        }
    }

    pub const fn read(&self) -> Option<&T> {
        match self {
            Self::Read(read) => Some(read),
            Self::Absent | Self::Unreadable(_) => None,
        }
    }

    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}
