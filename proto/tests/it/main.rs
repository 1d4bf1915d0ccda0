//! Yesterday's bytes of everything that is stored or told: read by today's code, and written again the same.
#![expect(clippy::unwrap_used, reason = "tests")]

mod documents;
mod events;
mod hints;

use probity_testkit::Golden;

fn golden(name: &str, today: Vec<u8>) -> Vec<u8> {
    Golden::of(env!("CARGO_MANIFEST_DIR")).read(name, || today)
}
