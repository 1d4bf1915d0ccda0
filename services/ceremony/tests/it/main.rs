#![expect(clippy::unwrap_used, reason = "tests")]

mod ceremony;
mod openssl;
