//! Wrong clocks, set from outside with libfaketime, and no time-stamps at all.

use std::path::{Path, PathBuf};
use std::time::Duration;

use probity_domain::Timestamp;
use probity_platform::{Clock as _, SystemClock};
use tokio::time::{Instant, sleep};

use super::openssl;
use crate::Failure;
use crate::chaos::Lab;
use crate::chaos::stack::{Stack, text};

/// Where Debian puts it; `FAKETIME_LIBRARY` names another place.
const LIBRARIES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];
const WRONG: Duration = Duration::from_secs(10);
/// A token may be this far from our own clock: accuracy of the unit, and the way to it.
const TOKEN_OFF_MS_MAX: i64 = 3_000;

/// What a role is started with so that its clock can be set later; the monotonic clock stays true, as it does in life.
pub fn environment(stack: &Stack, role: &str) -> Result<Vec<(String, String)>, Failure> {
    let named = std::env::var_os("FAKETIME_LIBRARY").map(PathBuf::from);
    let library = named
        .into_iter()
        .chain(LIBRARIES.map(PathBuf::from))
        .find(|path| path.is_file())
        .ok_or_else(|| Failure::new("libfaketime is missing: apt-get install faketime"))?;
    set(stack, role, 0)?;
    let pairs = [
        ("LD_PRELOAD", text(&library)),
        ("FAKETIME_TIMESTAMP_FILE", text(&file(stack, role))),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    Ok(pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect())
}

fn file(stack: &Stack, role: &str) -> PathBuf {
    stack.path(&format!("clock-{role}"))
}

/// Puts a role's clock so many seconds beside the true time.
fn set(stack: &Stack, role: &str, offset_s: i32) -> Result<(), Failure> {
    let path = file(stack, role);
    let whole = path.with_extension("new");
    std::fs::write(&whole, format!("{offset_s:+}\n")).map_err(Failure::new)?;
    std::fs::rename(whole, path).map_err(Failure::new)
}

pub async fn wrong(lab: &Lab) -> Result<(), Failure> {
    let roles = lab.set_up.clocks.iter();
    for role in roles.take(lab.dose as usize) {
        for offset_s in [600, -600] {
            set(&lab.stack, role, offset_s)?;
            tokens_during(lab, WRONG).await?;
            set(&lab.stack, role, 0)?;
            lab.did(&format!("{role} {offset_s:+} s"));
            lab.pause(3..=5).await;
        }
    }
    Ok(())
}

pub async fn no_time_stamps(lab: &Lab) -> Result<(), Failure> {
    let unit = lab.stack.process("timestamping")?;
    unit.stop().await?;
    sleep(Duration::from_secs(u64::from(lab.dose))).await;
    unit.start_again();
    lab.did("time-stamping down");
    Ok(())
}

/// Asks for tokens meanwhile, as anybody may; OpenSSL makes the request and reads the time in the answer.
async fn tokens_during(lab: &Lab, lasts: Duration) -> Result<(), Failure> {
    let folder = lab.stack.dir.clone();
    let query = folder.join("token.tsq");
    std::fs::write(folder.join("token.txt"), "what is the time?").map_err(Failure::new)?;
    let data = text(&folder.join("token.txt"));
    openssl::run(
        &["ts", "-query", "-sha384", "-cert", "-data", &data],
        &query,
    )
    .await?;
    let body = std::fs::read(&query).map_err(Failure::new)?;
    let ends = Instant::now() + lasts;
    while Instant::now() < ends {
        lab.did(&match token_time(lab, &folder, body.clone()).await? {
            None => "token refused".to_owned(),
            Some(time) => {
                let off = time.unix_ms() - SystemClock.now().unix_ms();
                if off.abs() > TOKEN_OFF_MS_MAX {
                    lab.broken(format!("a token is {off} ms off"));
                }
                "token at the true time".to_owned()
            }
        });
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// `None` when there was no token.
async fn token_time(lab: &Lab, folder: &Path, body: Vec<u8>) -> Result<Option<Timestamp>, Failure> {
    let sent = reqwest::Client::new()
        .post(format!("{}/tsa", lab.stack.url("tsa")?))
        .header("content-type", "application/timestamp-query")
        .timeout(Duration::from_secs(5))
        .body(body)
        .send()
        .await;
    let Ok(answer) = sent else {
        return Ok(None);
    };
    let Ok(bytes) = answer.bytes().await else {
        return Ok(None);
    };
    let file = folder.join("token.tsr");
    std::fs::write(&file, &bytes).map_err(Failure::new)?;
    let printed = folder.join("token.out");
    let read = openssl::run(&["ts", "-reply", "-text", "-in", &text(&file)], &printed).await;
    if read.is_err() {
        return Ok(None);
    }
    let printed = std::fs::read_to_string(&printed).map_err(Failure::new)?;
    let line = printed
        .lines()
        .find_map(|line| line.strip_prefix("Time stamp: "));
    line.map(parse_openssl).transpose()
}

/// Such as `Nov 26 14:20:41.123 2026 GMT`, which `date` reads.
fn parse_openssl(line: &str) -> Result<Timestamp, Failure> {
    let unreadable = || Failure::new(format!("OpenSSL printed the time {line:?}"));
    let words: Vec<&str> = line.split_whitespace().collect();
    let [month, day, time, year, "GMT"] = words.as_slice() else {
        return Err(unreadable());
    };
    let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = months
        .find(month)
        .map(|at| at / 3 + 1)
        .ok_or_else(unreadable)?;
    let day: u32 = day.parse().map_err(|_| unreadable())?;
    Timestamp::parse_rfc3339(&format!("{year}-{month:02}-{day:02}T{time}Z")).map_err(Failure::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openssl_times_are_read() {
        let read = parse_openssl("Nov  6 14:20:41.123 2026 GMT").unwrap();
        assert_eq!(
            read,
            Timestamp::parse_rfc3339("2026-11-06T14:20:41.123Z").unwrap()
        );
        assert!(parse_openssl("soon").is_err());
    }
}
