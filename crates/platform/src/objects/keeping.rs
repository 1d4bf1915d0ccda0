//! How a bucket keeps what is written: versions, object lock, retention, and whether that is what was asked for.

use std::collections::BTreeMap;
use std::fmt;

use probity_domain::Timestamp;
use serde::{Deserialize, Serialize};

use super::PROBES;
use crate::{Error, Result};

/// How firmly the store keeps an object until its retention ends (S3 Object Lock).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockMode {
    /// Whoever may write may also remove.
    #[default]
    None,
    /// Only a user with a permission of its own may remove earlier.
    Governance,
    /// Nobody may remove earlier, the store's administrator included.
    Compliance,
}

impl fmt::Display for LockMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Governance => "governance",
            Self::Compliance => "compliance",
        })
    }
}

/// Classes of retention: the first segment of a key in bucket `truth`, and what holds for all others.
const CLASSES: [&str; 9] = [
    "blobs",
    "submissions",
    "ledger",
    "log",
    "deliveries",
    "repository",
    "clock",
    "scrub",
    OTHERS,
];
const OTHERS: &str = "default";
const YEARS_MAX: u32 = 100;
/// A Julian year, so that leap days never shorten a retention by more than the hours they are rounded by.
const YEAR_MS: i64 = 31_557_600_000;

/// `[s3.lock]`: retention that is set on each object when it is written into `truth`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockConfig {
    #[serde(default)]
    pub mode: LockMode,
    /// Years by class: `blobs`, `submissions`, `ledger`, `log`, `deliveries`, `repository`, `clock`, `scrub`, or
    /// `default`. An object of a class without years gets what the bucket's own default says.
    #[serde(default)]
    pub years: BTreeMap<String, u32>,
}

impl LockConfig {
    /// # Errors
    /// `Malformed` for a class that is none, years that are none, or years without a lock.
    pub(super) fn check(&self) -> Result<()> {
        if let Some(class) = self.years.keys().find(|c| !CLASSES.contains(&c.as_str())) {
            let known = CLASSES.join(", ");
            return Err(Error::malformed(format!(
                "[s3.lock.years]: no class {class:?}; there are: {known}"
            )));
        }
        if let Some((class, years)) = self
            .years
            .iter()
            .find(|(_, years)| !(1..=YEARS_MAX).contains(*years))
        {
            return Err(Error::malformed(format!(
                "[s3.lock.years]: {class} = {years}, must be 1 to {YEARS_MAX}"
            )));
        }
        if self.mode == LockMode::None && !self.years.is_empty() {
            return Err(Error::malformed(
                "[s3.lock.years] without mode = \"governance\" or \"compliance\" would hold nothing",
            ));
        }
        Ok(())
    }

    /// Until when an object written now is to be kept; `None` where the bucket's default decides.
    pub(super) fn until(&self, key: &str, now: Timestamp) -> Option<Timestamp> {
        // What is raced for is no evidence: nothing keeps it but a bucket's own default.
        if key.starts_with(PROBES) {
            return None;
        }
        let class = key.split('/').next().unwrap_or_default();
        let years = self.years.get(class).or_else(|| self.years.get(OTHERS))?;
        (self.mode != LockMode::None).then(|| now.plus_ms(i64::from(*years) * YEAR_MS))
    }
}

/// How a bucket keeps what is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keeping {
    /// Overwriting and removing leave the earlier version where it is.
    pub versions: bool,
    /// Retention and legal holds are enforced.
    pub object_lock: bool,
    /// Of objects that are written without one.
    pub default_mode: LockMode,
    /// Of objects that are written without one, in days.
    pub default_days: u32,
}

impl Keeping {
    /// Whether bucket `truth` keeps what it is told to keep.
    ///
    /// # Errors
    /// `Internal`, saying what the bucket lacks and how it is mended.
    pub fn suits(&self, bucket: &str, versions_demanded: bool, lock: &LockConfig) -> Result<()> {
        if versions_demanded && !self.versions {
            return Err(Error::internal(format!(
                "bucket {bucket} keeps no versions: an overwritten object would be lost. Switch versioning on, or \
                 set [s3] versions_demanded = false where the store has none"
            )));
        }
        if lock.mode != LockMode::None && !self.object_lock {
            return Err(Error::internal(format!(
                "bucket {bucket} has no object lock, but [s3.lock] asks for {}: it has to be made with one",
                lock.mode
            )));
        }
        if lock.mode != LockMode::None && lock.years.is_empty() && self.default_mode != lock.mode {
            return Err(Error::internal(format!(
                "bucket {bucket}: [s3.lock] asks for {} by the bucket's default retention, which is {}",
                lock.mode, self.default_mode
            )));
        }
        Ok(())
    }
}

/// What keeps one object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Protection {
    pub hold: bool,
    /// How firmly it is kept until then.
    pub mode: LockMode,
    /// End of its retention.
    pub until: Option<Timestamp>,
}

/// One version of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyVersion {
    pub key: String,
    /// The store's name for it.
    pub id: String,
    /// What a plain read gets.
    pub latest: bool,
    /// A removal that left the earlier versions in place.
    pub delete_marker: bool,
    pub size_bytes: u64,
    pub written_at: Option<Timestamp>,
}

/// Where a listing of versions goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionMark {
    pub key: String,
    pub id: Option<String>,
}

/// Some versions, in the order of keys, each key's newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionPage {
    pub versions: Vec<KeyVersion>,
    /// `None` when these were the last.
    pub next: Option<VersionMark>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn config(text: &str) -> LockConfig {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn years_are_by_class() {
        let lock = config("mode = 'compliance'\nyears = { blobs = 10, default = 1 }");
        lock.check().unwrap();
        let now = Timestamp::from_unix_ms(1_000);
        let until = |key| lock.until(key, now).unwrap().ms_since(now);
        assert_eq!(until("blobs/acme/00"), 10 * YEAR_MS);
        assert_eq!(until("ledger/party/x/00000000"), YEAR_MS);
        assert_eq!(lock.until("probe/00/create-000", now), None);
        assert_eq!(config("mode = 'governance'").until("blobs/a", now), None);
    }

    #[test]
    fn what_would_hold_nothing_is_refused() {
        for (text, named) in [
            ("mode = 'compliance'\nyears = { blob = 10 }", "blob"),
            ("mode = 'compliance'\nyears = { blobs = 0 }", "blobs = 0"),
            ("mode = 'compliance'\nyears = { blobs = 101 }", "101"),
            ("years = { blobs = 10 }", "without mode"),
        ] {
            let error = config(text).check().unwrap_err();
            assert_eq!(error.kind, ErrorKind::Malformed);
            assert!(error.detail.contains(named), "{error}");
        }
    }

    #[test]
    fn a_bucket_that_keeps_less_is_refused() {
        let keeps = Keeping {
            versions: true,
            object_lock: true,
            default_mode: LockMode::Compliance,
            default_days: 3_650,
        };
        let none = LockConfig::default();
        let by_default = config("mode = 'compliance'");
        let by_class = config("mode = 'governance'\nyears = { default = 1 }");
        for lock in [&none, &by_default, &by_class] {
            keeps.suits("truth", true, lock).unwrap();
        }
        let refused = |keeping: Keeping, lock: &LockConfig, named: &str| {
            let error = keeping.suits("truth", true, lock).unwrap_err();
            assert!(error.detail.contains(named), "{error}");
        };
        refused(Keeping::default(), &none, "no versions");
        Keeping::default().suits("truth", false, &none).unwrap();
        let unlocked = Keeping {
            object_lock: false,
            ..keeps
        };
        refused(unlocked, &by_class, "no object lock");
        let other = Keeping {
            default_mode: LockMode::Governance,
            ..keeps
        };
        refused(other, &by_default, "which is governance");
    }
}
