//! An S3 server: MinIO of our own, or the one `PROBITY_S3_ENDPOINT` names.

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::port::{free_port, random};
use crate::server::Kind;
use crate::tools::tool;

/// Where the store is and how to be let in.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Access {
    /// Such as `http://127.0.0.1:9000`.
    pub endpoint: String,
    pub region: String,
    pub access_key: String,
    pub secret_key: String,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`.
    pub path_style: bool,
}

impl fmt::Debug for S3Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Access")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl S3Access {
    /// `PROBITY_S3_ENDPOINT` with `PROBITY_S3_ACCESS_KEY`, `PROBITY_S3_SECRET_KEY` and, unless they are
    /// us-east-1 and path style, `PROBITY_S3_REGION` and `PROBITY_S3_PATH_STYLE=false`.
    pub(crate) fn from_environment() -> Option<Self> {
        let endpoint = env::var("PROBITY_S3_ENDPOINT")
            .ok()
            .filter(|value| !value.is_empty())?;
        let needed = |name: &str| {
            env::var(name)
                .unwrap_or_else(|_| panic!("PROBITY_S3_ENDPOINT is set but {name} is not"))
        };
        Some(Self {
            endpoint,
            region: env::var("PROBITY_S3_REGION").unwrap_or_else(|_| REGION.to_owned()),
            access_key: needed("PROBITY_S3_ACCESS_KEY"),
            secret_key: needed("PROBITY_S3_SECRET_KEY"),
            path_style: env::var("PROBITY_S3_PATH_STYLE").map_or(true, |value| value != "false"),
        })
    }

    /// What stands under `[s3]` in the configuration of a role whose two buckets no other test uses; nobody made them
    /// yet. The keys are written into files of `folder`.
    ///
    /// # Panics
    /// When they cannot be written.
    #[must_use]
    pub fn settings(&self, folder: &Path) -> String {
        let file = |name: &str, content: &str| {
            let path = folder.join(name);
            if let Err(e) = fs::write(&path, content) {
                panic!("{}: {e}", path.display());
            }
            path.display().to_string()
        };
        let access = file("s3-access-key", &self.access_key);
        let secret = file("s3-secret-key", &format!("{}\n", self.secret_key));
        let prefix = unique_prefix();
        format!(
            r#"
endpoint = "{endpoint}"
region = "{region}"
path_style = {path_style}
truth_bucket = "{prefix}-truth"
work_bucket = "{prefix}-work"
access_key_file = "{access}"
secret_key_file = "{secret}"
attempt_timeout_ms = 30000
"#,
            endpoint = self.endpoint,
            region = self.region,
            path_style = self.path_style,
        )
    }
}

const REGION: &str = "us-east-1";

/// Lower-case letters and digits, different at each call, in each process: good for bucket names,
/// subject prefixes, key prefixes.
#[must_use]
pub fn unique_prefix() -> String {
    format!("t{:016x}", random())
}

pub(crate) struct Minio {
    access_key: String,
    secret_key: String,
}

impl Minio {
    pub(crate) fn new() -> Self {
        Self {
            access_key: format!("k{:016x}", random()),
            secret_key: format!("{:016x}{:016x}", random(), random()),
        }
    }

    pub(crate) fn access(&self, port: u16) -> S3Access {
        S3Access {
            endpoint: format!("http://127.0.0.1:{port}"),
            region: REGION.to_owned(),
            access_key: self.access_key.clone(),
            secret_key: self.secret_key.clone(),
            path_style: true,
        }
    }
}

impl Kind for Minio {
    fn name(&self) -> &'static str {
        "minio"
    }

    fn command(&self, port: u16, data: &Path) -> io::Result<Command> {
        let mut command = Command::new(tool("minio"));
        command
            .arg("server")
            .args(["--quiet", "--address", &format!("127.0.0.1:{port}")])
            .args(["--console-address", &format!("127.0.0.1:{}", free_port())])
            .arg("--certs-dir")
            .arg(data.with_file_name("certs"))
            .arg(data)
            .env("MINIO_ROOT_USER", &self.access_key)
            .env("MINIO_ROOT_PASSWORD", &self.secret_key)
            .env("MINIO_REGION", REGION)
            .env("MINIO_BROWSER", "off")
            .env("MINIO_UPDATE", "off")
            // The test's data may lie on the drive of the operating system.
            .env("MINIO_CI_CD", "on");
        Ok(command)
    }

    /// Answers 200 only when the store takes writes.
    fn probe(&self) -> (&'static [u8], &'static str) {
        (b"GET /minio/health/cluster HTTP/1.0\r\n\r\n", " 200 OK")
    }
}
