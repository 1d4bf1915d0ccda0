//! Finding the server executables.

use std::env;
use std::path::{Path, PathBuf};

/// Absolute path of the executable `name`: from the folder in `PROBITY_TOOLS`, from
/// `.probity/tools/bin` of the checkout, or from `PATH`, in this order.
///
/// # Panics
/// If it is nowhere, saying how to get it.
#[must_use]
pub fn tool(name: &str) -> PathBuf {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.probity/tools/bin");
    let named = env::var_os("PROBITY_TOOLS").map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    named
        .into_iter()
        .chain([checkout])
        .chain(env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| {
            panic!(
                "{name} is neither in PROBITY_TOOLS nor .probity/tools/bin nor PATH: run `make tools`"
            )
        })
}
