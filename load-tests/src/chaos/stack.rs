//! The platform under test: real servers, proxies before them, one supervised process per role; all of it under the folder
//! that `infra/stack.sh` prepared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use probity_testkit::{TcpProxy, free_port, tool};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::Failure;

use super::process::{Process, Program};
use super::store_faults::StoreFaults;

/// Roles in the order they are started.
pub const ROLES: [&str; 7] = [
    "identity",
    "issuance",
    "signing",
    "timestamping",
    "storage",
    "delivery",
    "intake",
];

const READY_MAX: Duration = Duration::from_secs(180);
const STEP: Duration = Duration::from_millis(100);

/// How the platform is set up for a fault.
#[derive(Debug, Clone, Default)]
pub struct SetUp {
    /// Three nats-servers that keep three copies, instead of one.
    pub cluster: bool,
    /// Roles whose clock can be set, with the library that does it.
    pub clocks: &'static [&'static str],
    /// Stores of NATS and temporary files of roles on a volume of its own.
    pub small_volume: bool,
}

pub struct Stack {
    pub dir: PathBuf,
    programs: PathBuf,
    ports: BTreeMap<String, u16>,
    processes: BTreeMap<String, Process>,
    pub store: StoreFaults,
    /// Before NATS (where it is one server) and before Redis.
    pub nats_line: Option<TcpProxy>,
    pub redis_line: TcpProxy,
    minio_port: u16,
    pub redis_port: u16,
}

impl Stack {
    /// Starts everything and waits until every role is ready and the vendor enrolled.
    pub async fn start(dir: &Path, programs: &Path, set_up: &SetUp) -> Result<Self, Failure> {
        let ports = read_ports(&dir.join("ports"))?;
        let (minio_port, redis_port) = (free_port(), free_port());
        let store = StoreFaults::start(port(&ports, "s3")?, minio_port).await;
        let redis_line = TcpProxy::start(port(&ports, "redis")?, redis_port).await;
        let mut stack = Self {
            dir: dir.to_owned(),
            programs: programs.to_owned(),
            ports,
            processes: BTreeMap::new(),
            store,
            nats_line: None,
            redis_line,
            minio_port,
            redis_port,
        };
        stack.start_servers(set_up).await?;
        stack.bootstrap().await?;
        for role in ROLES {
            stack.start_role(role, set_up)?;
        }
        for role in ROLES {
            stack.ready(role).await?;
        }
        stack.enrol().await?;
        Ok(stack)
    }

    /// A process by its name: a role, `nats-0`, `redis` or `minio`.
    pub fn process(&self, name: &str) -> Result<&Process, Failure> {
        let found = self.processes.get(name);
        found.ok_or_else(|| Failure::new(format!("no process {name}")))
    }

    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.processes.values()
    }

    /// nats-servers, one or three.
    pub fn nats(&self) -> Vec<&Process> {
        self.processes()
            .filter(|process| process.name().starts_with("nats-"))
            .collect()
    }

    pub fn nats_store(&self, name: &str) -> PathBuf {
        self.dir.join("nats").join(name)
    }

    /// Base URL of an edge, such as `intake` or `log`.
    pub fn url(&self, name: &str) -> Result<String, Failure> {
        Ok(format!("http://127.0.0.1:{}", port(&self.ports, name)?))
    }

    /// The store itself, not through the proxy.
    pub fn minio_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.minio_port)
    }

    pub fn config(&self, role: &str) -> PathBuf {
        self.dir.join("config").join(format!("{role}.toml"))
    }

    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Waits until a role answers that it is ready.
    pub async fn ready(&self, role: &str) -> Result<(), Failure> {
        let url = format!("{}/readyz", self.url(&format!("ops_{role}"))?);
        until(&format!("{role} is ready"), async || {
            let answer = timeout(Duration::from_secs(5), reqwest::get(&url)).await;
            matches!(answer, Ok(Ok(answer)) if answer.status().is_success())
        })
        .await
    }

    /// Runs a program of this workspace to its end; answers what it printed.
    pub async fn run(&self, program: &str, arguments: &[&str]) -> Result<String, Failure> {
        let output = Command::new(self.programs.join(program))
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(Failure::new)?;
        if output.status.success() {
            return String::from_utf8(output.stdout).map_err(Failure::new);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let command = arguments.first().unwrap_or(&"");
        Err(Failure::new(format!(
            "{program} {command}: {}: {said}",
            output.status
        )))
    }

    async fn start_servers(&mut self, set_up: &SetUp) -> Result<(), Failure> {
        let secret = |name: &str| {
            let path = self.dir.join("secret").join(name);
            std::fs::read_to_string(path)
                .map(|text| text.trim().to_owned())
                .map_err(Failure::new)
        };
        let minio_environment = [
            ("MINIO_ROOT_USER", secret("s3-access-key")?),
            ("MINIO_ROOT_PASSWORD", secret("s3-secret-key")?),
            ("MINIO_BROWSER", "off".to_owned()),
            ("MINIO_UPDATE", "off".to_owned()),
            ("MINIO_CI_CD", "on".to_owned()),
        ];
        let minio = [
            "server",
            "--quiet",
            "--address",
            &format!("127.0.0.1:{}", self.minio_port),
            &text(&self.dir.join("minio")),
        ]
        .map(str::to_owned);
        self.launch(
            "minio",
            tool("minio"),
            &minio,
            minio_environment.map(|(name, value)| (name.to_owned(), value)),
            None,
        )?;
        let redis = [
            "--bind",
            "127.0.0.1",
            "--port",
            &self.redis_port.to_string(),
            "--save",
            "",
            "--appendonly",
            "no",
            "--maxmemory-policy",
            "noeviction",
            "--dir",
            &text(&self.dir),
        ]
        .map(str::to_owned);
        self.launch("redis", tool("redis-server"), &redis, [], None)?;
        self.start_nats(set_up).await?;
        let live = format!("{}/minio/health/cluster", self.minio_url());
        until("minio answers", async || {
            reqwest::get(&live)
                .await
                .is_ok_and(|answer| answer.status().is_success())
        })
        .await?;
        until_open("redis", self.redis_port).await
    }

    async fn start_nats(&mut self, set_up: &SetUp) -> Result<(), Failure> {
        let nodes = if set_up.cluster { 3 } else { 1 };
        let client_ports: Vec<u16> = (0..nodes).map(|_| free_port()).collect();
        let route_ports: Vec<u16> = (0..nodes).map(|_| free_port()).collect();
        let users = std::fs::read_to_string(self.dir.join("config/nats-permissions.conf"))
            .map_err(Failure::new)?;
        for (node, (client, route)) in client_ports.iter().zip(&route_ports).enumerate() {
            let name = format!("nats-{node}");
            let store = text(&self.nats_store(&name));
            let monitor = free_port();
            let mut config = format!(
                "server_name: {name}\nlisten: \"127.0.0.1:{client}\"\nhttp: \"127.0.0.1:{monitor}\"\nmax_payload: 1MB\n\
                 jetstream {{ store_dir: \"{store}\", max_mem: 256MB, max_file: 8GB }}\n{users}\n"
            );
            if set_up.cluster {
                let routes: Vec<String> = route_ports
                    .iter()
                    .map(|port| format!("\"nats://127.0.0.1:{port}\""))
                    .collect();
                config += &format!(
                    "cluster {{ name: chaos, listen: \"127.0.0.1:{route}\", routes: [{}], no_advertise: true }}\n",
                    routes.join(", ")
                );
            }
            let file = self.dir.join("config").join(format!("{name}.conf"));
            std::fs::write(&file, config).map_err(Failure::new)?;
            let arguments = ["--config".to_owned(), text(&file)];
            // In full: with js-enabled-only it says nothing of a stream that a full disk has frozen, which only a restart helps.
            let liveness = format!("http://127.0.0.1:{monitor}/healthz");
            self.launch(&name, tool("nats-server"), &arguments, [], Some(liveness))?;
        }
        for client in &client_ports {
            until_open("nats-server", *client).await?;
        }
        if set_up.cluster {
            let urls: Vec<String> = client_ports
                .iter()
                .map(|port| format!("nats://127.0.0.1:{port}"))
                .collect();
            let single = format!("url = \"nats://127.0.0.1:{}\"", port(&self.ports, "nats")?);
            let cluster = format!("url = \"{}\"\nreplicas = 3", urls.join(","));
            for role in ROLES {
                let config = std::fs::read_to_string(self.config(role)).map_err(Failure::new)?;
                std::fs::write(self.config(role), config.replace(&single, &cluster))
                    .map_err(Failure::new)?;
            }
        } else if let [only] = client_ports.as_slice() {
            self.nats_line = Some(TcpProxy::start(port(&self.ports, "nats")?, *only).await);
        }
        Ok(())
    }

    async fn bootstrap(&self) -> Result<(), Failure> {
        let config = text(&self.config("identity"));
        self.run("probityd", &["prepare-store", "--config", &config])
            .await?;
        let key = self
            .run("probityd", &["bootstrap-officer", "--config", &config])
            .await?;
        std::fs::write(self.path("secret/officer-key"), key).map_err(Failure::new)
    }

    fn start_role(&mut self, role: &'static str, set_up: &SetUp) -> Result<(), Failure> {
        let mut environment = Vec::new();
        if set_up.clocks.contains(&role) {
            environment = super::faults::clock::environment(self, role)?;
        }
        if set_up.small_volume {
            environment.push(("TMPDIR".to_owned(), text(&self.path("nats/tmp"))));
        }
        let arguments = ["run", role, "--config", &text(&self.config(role))].map(str::to_owned);
        self.launch(
            role,
            self.programs.join("probityd"),
            &arguments,
            environment,
            None,
        )
    }

    fn launch(
        &mut self,
        name: &str,
        executable: PathBuf,
        arguments: &[String],
        environment: impl IntoIterator<Item = (String, String)>,
        liveness: Option<String>,
    ) -> Result<(), Failure> {
        if !executable.is_file() {
            return Err(Failure::new(format!("{} is missing", executable.display())));
        }
        let program = Program {
            name: name.to_owned(),
            executable,
            arguments: arguments.to_vec(),
            environment: environment.into_iter().collect(),
            log: self.dir.join("log").join(format!("{name}.log")),
            pid_file: self.dir.join("pid").join(name),
            liveness,
        };
        self.processes
            .insert(name.to_owned(), Process::start(program));
        Ok(())
    }

    async fn enrol(&self) -> Result<(), Failure> {
        let agreement = self.path("agreement.txt");
        std::fs::write(
            &agreement,
            "agreement on electronic form, for the fault laboratory\n",
        )
        .map_err(Failure::new)?;
        let (intake, identity) = (self.url("intake")?, self.url("identity")?);
        let delivery = self.url("delivery")?;
        let profile = text(&self.path("vendor.json"));
        let key = text(&self.path("secret/officer-key"));
        let agreement = text(&agreement);
        let arguments = [
            ["--intake", &intake],
            ["--identity", &identity],
            ["--delivery", &delivery],
            ["--officer-key", &key],
            ["--profile", &profile],
            ["--party", "chaos"],
            ["--name", "Chaos"],
            ["--identifier", "1"],
            ["--country", "CN"],
            ["--email", "chaos@example.com"],
            ["--legal-representative", "L"],
            ["--handler", "H"],
            ["--agreement-text", &agreement],
        ];
        let arguments: Vec<&str> = ["enroll", "--declare-true", "--accept"]
            .into_iter()
            .chain(arguments.into_iter().flatten())
            .collect();
        self.run("probity", &arguments).await.map(drop)
    }

    /// The secret of the vendor's credential.
    pub fn vendor_key(&self) -> Result<String, Failure> {
        let profile = std::fs::read(self.path("vendor.json")).map_err(Failure::new)?;
        let profile: serde_json::Value = serde_json::from_slice(&profile).map_err(Failure::new)?;
        let key = profile.get("credential").and_then(|key| key.as_str());
        key.map(str::to_owned)
            .ok_or_else(|| Failure::new("the profile has no credential"))
    }
}

/// A path as text; ours are made of letters and digits.
pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

async fn until_open(what: &str, port: u16) -> Result<(), Failure> {
    until(&format!("{what} listens"), async || {
        TcpStream::connect(("127.0.0.1", port)).await.is_ok()
    })
    .await
}

/// Waits until a condition holds, three minutes at most.
pub async fn until(what: &str, holds: impl AsyncFn() -> bool) -> Result<(), Failure> {
    let began = Instant::now();
    while !holds().await {
        if began.elapsed() > READY_MAX {
            return Err(Failure::new(format!("waited {READY_MAX:?} until {what}")));
        }
        sleep(STEP).await;
    }
    Ok(())
}

/// Lines of a name and a port.
fn read_ports(file: &Path) -> Result<BTreeMap<String, u16>, Failure> {
    let lines = std::fs::read_to_string(file).map_err(Failure::new)?;
    let parse = |line: &str| {
        let (name, port) = line.split_once(' ')?;
        Some((name.to_owned(), port.parse().ok()?))
    };
    Ok(lines.lines().filter_map(parse).collect())
}

fn port(ports: &BTreeMap<String, u16>, name: &str) -> Result<u16, Failure> {
    let found = ports.get(name).copied();
    found.ok_or_else(|| Failure::new(format!("no port for {name} in the prepared folder")))
}
