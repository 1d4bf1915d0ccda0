//! A verdict for machines and for people.

mod details;
mod json;
mod page;

use std::fmt::Write as _;

pub use details::render;
pub use json::VERDICT_FORMAT;

/// One line, with control characters of hostile input made harmless for a terminal.
fn put(out: &mut String, line: &str) {
    let safe = |c: char| !(c.is_control() || is_direction_mark(c));
    let line: String = line
        .chars()
        .map(|c| if safe(c) { c } else { '\u{fffd}' })
        .collect();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{line}");
}

fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}
