//! A platform of real processes for tests: servers of the testkit, keys of the ceremony, one `probityd` per role with the
//! very configuration that the local stack uses.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use probity_testkit::{Collector, World, free_port, wait_until};

pub const ROLES: [&str; 7] = [
    "identity",
    "issuance",
    "signing",
    "timestamping",
    "storage",
    "delivery",
    "intake",
];

/// A running platform. Dropping it kills its processes and removes its folder.
pub struct Platform {
    pub world: World,
    folder: tempfile::TempDir,
    ports: BTreeMap<String, u16>,
    children: BTreeMap<String, Child>,
}

/// An executable of this workspace, built beside the one under test.
fn program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_probityd")).with_file_name(name);
    assert!(
        path.is_file(),
        "{} is missing: `cargo test --workspace` or `cargo build --workspace` makes it",
        path.display()
    );
    path
}

impl Platform {
    /// Starts servers and roles, and waits until every role is ready.
    pub async fn start() -> Self {
        Self::start_traced(None).await
    }

    /// The same, with spans leaving for a collector.
    pub async fn start_traced(collector: Option<&Collector>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        fs::create_dir(&secret).unwrap();
        let users = run(Command::new(program("probityd"))
            .args(["nats-permissions", "--make", "--seeds"])
            .arg(&secret));
        let users = String::from_utf8(users).unwrap();
        let world = World::builder().nats().nats_config(users).redis().s3();
        let world = world.start().await;
        let mut platform = Self {
            world,
            folder,
            ports: BTreeMap::new(),
            children: BTreeMap::new(),
        };
        platform.configure(collector);
        for role in ROLES {
            platform.start_role(role);
        }
        for role in ROLES {
            platform.ready(role).await;
        }
        platform
    }

    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> String {
        self.dir().join(name).to_str().unwrap().to_owned()
    }

    pub fn url(&self, port: &str) -> String {
        format!("http://127.0.0.1:{}", self.ports[port])
    }

    fn configure(&mut self, collector: Option<&Collector>) {
        for folder in ["config", "codes", "log"] {
            fs::create_dir(self.dir().join(folder)).unwrap();
        }
        let s3 = self.world.s3();
        for (name, secret) in [
            ("s3-access-key", s3.access_key.as_str()),
            ("s3-secret-key", &s3.secret_key),
            ("code-key", "an HMAC key that only tests use, long enough"),
            ("passphrase", "a passphrase that only tests use"),
        ] {
            fs::write(self.dir().join("secret").join(name), secret).unwrap();
        }
        for name in [
            "INTAKE",
            "INTAKE_GRPC",
            "IDENTITY",
            "ISSUANCE",
            "TSA",
            "LOG",
            "DELIVERY",
            "DELIVERY_GRPC",
            "COURT",
        ] {
            self.ports.insert(name.to_owned(), free_port());
        }
        for (name, url) in [
            ("NATS", self.world.nats_url()),
            ("REDIS", self.world.redis_url()),
            ("S3", s3.endpoint),
        ] {
            let port = url
                .trim_end_matches('/')
                .rsplit(':')
                .next()
                .unwrap()
                .split('/')
                .next()
                .unwrap();
            self.ports.insert(name.to_owned(), port.parse().unwrap());
        }
        run(Command::new(program("probity-ceremony")).args([
            "make",
            "--out",
            &self.path("keys"),
            "--operator-name",
            "Probity tests",
            "--passphrase-file",
            &self.path("secret/passphrase"),
            "--crl-url",
            &format!("{}/crl/issuing.crl", self.url("ISSUANCE")),
            "--ca-issuers-url",
            &format!("{}/certificates/ca/issuing.cer", self.url("ISSUANCE")),
            "--ocsp-url",
            &format!("{}/ocsp", self.url("ISSUANCE")),
        ]));
        let local = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/local");
        let mut common = fs::read_to_string(local.join("common.toml.in")).unwrap();
        if let Some(collector) = collector {
            let endpoint = format!("[process]\notlp_endpoint = {:?}", collector.endpoint());
            common = common.replace("[process]", &endpoint);
        }
        for role in ROLES {
            let own = fs::read_to_string(local.join(format!("{role}.toml.in"))).unwrap();
            self.ports.insert(format!("OPS_{role}"), free_port());
            let mut text = format!("{common}{own}")
                .replace("@DIR@", self.dir().to_str().unwrap())
                .replace("@ROLE@", role)
                .replace(
                    "@OPS_PORT@",
                    &self.ports[&format!("OPS_{role}")].to_string(),
                );
            for (name, port) in &self.ports {
                text = text.replace(&format!("@{name}_PORT@"), &port.to_string());
            }
            assert!(
                !text.contains('@'),
                "a placeholder is left in {role}: {text}"
            );
            fs::write(self.config(role), text).unwrap();
        }
        let config = self.config("identity");
        run(Command::new(program("probityd"))
            .arg("prepare-store")
            .arg("--config")
            .arg(&config));
        for role in ["officer", "operator"] {
            let secret = run(Command::new(program("probityd")).args([
                "bootstrap-officer",
                "--role",
                role,
                "--config",
                self.config("identity").to_str().unwrap(),
            ]));
            fs::write(self.path(&format!("secret/{role}-key")), secret).unwrap();
        }
    }

    pub fn config(&self, role: &str) -> PathBuf {
        self.dir().join("config").join(format!("{role}.toml"))
    }

    /// Starts a role's process.
    pub fn start_role(&mut self, role: &str) {
        let config = self.config(role);
        let args = ["run", role, "--config", config.to_str().unwrap()].map(str::to_owned);
        self.start_program(role, "probityd", &args);
    }

    /// Starts a program in the background, its output in a log file.
    pub fn start_program(&mut self, name: &str, executable: &str, args: &[String]) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.dir().join("log").join(name))
            .unwrap();
        let child = Command::new(program(executable))
            .args(args)
            .stdin(Stdio::null())
            // Spans leave soon, for tests that wait for one.
            .env("OTEL_BSP_SCHEDULE_DELAY", "200")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.children.insert(name.to_owned(), child);
    }

    /// `kill -9`.
    pub fn kill(&mut self, role: &str) {
        let mut child = self.children.remove(role).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM, then waits: answers the exit status.
    pub async fn terminate(&mut self, role: &str) -> std::process::ExitStatus {
        let mut child = self.children.remove(role).unwrap();
        run(Command::new("kill").args(["-TERM", &child.id().to_string()]));
        for _ in 0..400 {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{role} did not end within 40 s of SIGTERM");
    }

    /// No role's process has ended by itself.
    pub fn assert_alive(&mut self) {
        for (name, child) in &mut self.children {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{name} ended by itself: {ended:?}");
        }
    }

    pub fn pid(&self, name: &str) -> u32 {
        self.children[name].id()
    }

    pub async fn ready(&self, role: &str) {
        let url = format!("{}/readyz", self.url(&format!("OPS_{role}")));
        wait_until(
            &format!("{role} is ready"),
            Duration::from_secs(180),
            || async {
                reqwest::get(&url)
                    .await
                    .is_ok_and(|answer| answer.status().is_success())
            },
        )
        .await;
    }

    /// Runs `probity` as a person would; the profile and the codes folder are in the environment.
    pub fn probity(&self, args: &[&str]) -> Output {
        self.probity_command(args).output().unwrap()
    }

    pub fn probity_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program("probity"));
        command
            .args(args)
            .stdin(Stdio::null())
            .env("PROBITY_PROFILE", self.path("vendor.json"))
            .env("PROBITY_CODES", self.path("codes"))
            .env("PROBITY_INTAKE", self.url("INTAKE"))
            .env("PROBITY_IDENTITY", self.url("IDENTITY"))
            .env("PROBITY_DELIVERY", self.url("DELIVERY"))
            .env("PROBITY_ROOTS", self.path("keys/public/root-ca.crt.pem"))
            .env("PROBITY_LOG_KEY", self.path("keys/public/log.vkey"))
            .current_dir(self.dir());
        command
    }

    /// Runs `probity` and expects success; answers what it printed.
    pub fn probity_ok(&self, args: &[&str]) -> String {
        let output = self.probity(args);
        assert!(
            output.status.success(),
            "probity {args:?}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Enrols the vendor whose profile every other call uses.
    pub fn enroll(&self) {
        fs::write(
            self.path("agreement.txt"),
            "An agreement on electronic form, for tests.",
        )
        .unwrap();
        self.probity_ok(&[
            "enroll",
            "--officer-key",
            &self.path("secret/officer-key"),
            "--profile",
            &self.path("vendor.json"),
            "--party",
            "acme",
            "--name",
            "Acme Rights Ltd",
            "--identifier",
            "91110000MA01ABCD2X",
            "--country",
            "CN",
            "--email",
            "evidence@acme.example",
            "--legal-representative",
            "Li Wei",
            "--handler",
            "Wang Fang",
            "--declare-true",
            "--agreement-text",
            &self.path("agreement.txt"),
            "--accept",
        ]);
    }

    /// Tree size in the published checkpoint.
    pub async fn log_size(&self) -> u64 {
        let Ok(answer) = reqwest::get(format!("{}/checkpoint", self.url("LOG"))).await else {
            return 0;
        };
        let text = answer.text().await.unwrap_or_default();
        text.lines()
            .nth(1)
            .and_then(|line| line.parse().ok())
            .unwrap_or(0)
    }

    /// The last lines of a process's log, for a failing test's message.
    pub fn log(&self, name: &str) -> String {
        let text = fs::read_to_string(self.dir().join("log").join(name)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(15).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in self.children.keys() {
                eprintln!("---- {name}\n{}", self.log(name));
            }
        }
        for child in self.children.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The secret in the profile that [`Platform::enroll`] made.
pub fn vendor_credential(platform: &Platform) -> String {
    let profile = fs::read_to_string(platform.path("vendor.json")).unwrap();
    let profile: serde_json::Value = serde_json::from_str(&profile).unwrap();
    profile["credential"].as_str().unwrap().to_owned()
}

/// Runs a command to its end and expects success; answers its standard output.
pub fn run(command: &mut Command) -> Vec<u8> {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}
