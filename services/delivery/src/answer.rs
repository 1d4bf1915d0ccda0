//! What a court's answer to a push means. A 2xx alone is entry into its system, never a receipt (trap 41).

use bytes::Bytes;
use probity_proto::http::SignedReceiptDocument;

/// How a push ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Response {
        status: u16,
        retry_after_ms: Option<i64>,
        body: Bytes,
    },
    TimedOut,
    /// No connection, broken TLS, an address that may not be called, a connection that broke.
    Failed(String),
}

/// What follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A receipt, still to be checked.
    Receipt(SignedReceiptDocument),
    Entered,
    /// The recipient wants no more of this delivery.
    Refused {
        reason: String,
    },
    Failed {
        reason: String,
        slow_down: bool,
        retry_after_ms: Option<i64>,
    },
}

/// Longest answer that is read, in bytes.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Longest reason that is kept, in characters.
const REASON_CHARS_MAX: usize = 300;

/// Judges an answer.
#[must_use]
pub fn judge(answer: Answer) -> Verdict {
    let (status, retry_after_ms, body) = match answer {
        Answer::TimedOut => {
            let reason = "no answer in time".to_owned();
            return Verdict::Failed {
                reason,
                slow_down: true,
                retry_after_ms: None,
            };
        }
        Answer::Failed(reason) => {
            return Verdict::Failed {
                reason: kept(&reason),
                slow_down: false,
                retry_after_ms: None,
            };
        }
        Answer::Response {
            status,
            retry_after_ms,
            body,
        } => (status, retry_after_ms, body),
    };
    match status {
        200..=299 => match serde_json::from_slice(&body) {
            Ok(receipt) => Verdict::Receipt(receipt),
            Err(_) => Verdict::Entered,
        },
        410 => Verdict::Refused {
            reason: "the recipient answered 410: gone".to_owned(),
        },
        300..=399 => Verdict::Failed {
            reason: format!("status {status}: redirects are not followed"),
            slow_down: false,
            retry_after_ms,
        },
        _ => Verdict::Failed {
            reason: kept(&format!(
                "status {status} {}",
                String::from_utf8_lossy(&body)
            )),
            slow_down: matches!(status, 408 | 429 | 504),
            retry_after_ms,
        },
    }
}

/// Text of others, bounded and on one line.
fn kept(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars()
        .map(plain)
        .take(REASON_CHARS_MAX)
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, body: &str) -> Verdict {
        judge(Answer::Response {
            status,
            retry_after_ms: None,
            body: Bytes::copy_from_slice(body.as_bytes()),
        })
    }

    #[test]
    fn success_without_a_receipt_is_entry_only() {
        for (status, body) in [
            (200, ""),
            (200, "ok"),
            (202, "{}"),
            (204, ""),
            (200, r#"{"receipt":"x"}"#),
        ] {
            assert_eq!(response(status, body), Verdict::Entered, "{status} {body}");
        }
        let receipt = r#"{"receipt":"cg==","signature":"cw=="}"#;
        for status in [200, 201, 202] {
            assert!(
                matches!(response(status, receipt), Verdict::Receipt(_)),
                "{status}"
            );
        }
    }

    #[test]
    fn failures_say_how_to_go_on() {
        assert!(matches!(response(410, ""), Verdict::Refused { .. }));
        for (status, expected) in [
            (429, true),
            (408, true),
            (504, true),
            (500, false),
            (413, false),
            (302, false),
            (400, false),
        ] {
            let Verdict::Failed {
                slow_down, reason, ..
            } = response(status, "why\nnot")
            else {
                panic!("{status}")
            };
            assert_eq!(slow_down, expected, "{status}");
            assert!(
                reason.contains(&status.to_string()) && !reason.contains('\n'),
                "{reason}"
            );
        }
        assert!(matches!(
            judge(Answer::TimedOut),
            Verdict::Failed {
                slow_down: true,
                ..
            }
        ));
        assert!(matches!(
            judge(Answer::Failed("tls".into())),
            Verdict::Failed {
                slow_down: false,
                ..
            }
        ));
    }

    #[test]
    fn reasons_are_bounded() {
        let Verdict::Failed { reason, .. } = response(500, &"x".repeat(100_000)) else {
            panic!()
        };
        assert!(reason.len() <= REASON_CHARS_MAX);
    }
}
