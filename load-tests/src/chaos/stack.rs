//! The platform under test: real servers, proxies before them, one supervised process per role; all of it under the folder
//! that `infra/stack.sh` prepared.

mod beside;
mod courts;
mod ports;
mod servers;
mod vendors;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use probity_testkit::TcpProxy;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::Failure;

use super::process::{Process, Program};
use super::store_faults::StoreFaults;
use ports::Ports;

pub use courts::{Court, PULLS, PUSHED};
use vendors::AGREEMENT;
pub use vendors::{Enrolled, FIRST};

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

/// Two builds of the same programs: the one under test, and the one that runs at an operator who has not upgraded yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    New,
    Old,
}

/// How the platform is set up for a fault.
#[derive(Debug, Clone)]
pub struct SetUp {
    /// Three nats-servers that keep three copies, instead of one.
    pub cluster: bool,
    /// Roles whose clock can be set, with the library that does it.
    pub clocks: &'static [&'static str],
    /// Stores of NATS and temporary files of roles on a volume of its own.
    pub small_volume: bool,
    /// Roles begin as the old build.
    pub upgrade: bool,
    /// Two courts receive a part of what is deposited.
    pub courts: bool,
    /// The vendor's SDK repeats nothing by itself: what is not answered is seen.
    pub asks_once: bool,
    /// Nothing is done to the platform, so nothing may fail or come twice.
    pub exact: bool,
    /// What the vendor plans if nobody says otherwise: captures per second, and captures in one instruction.
    pub per_second: f64,
    pub batch_size: u64,
}

pub struct Stack {
    pub dir: PathBuf,
    programs: PathBuf,
    old_programs: Option<PathBuf>,
    ports: Ports,
    processes: BTreeMap<String, Process>,
    /// The first vendor's first credential.
    pub enrolled: Enrolled,
    pub store: StoreFaults,
    /// Before NATS (where it is one server) and before Redis.
    pub nats_line: Option<TcpProxy>,
    pub redis_line: TcpProxy,
    minio_port: u16,
    pub redis_port: u16,
}

impl Stack {
    /// Starts everything and waits until every role is ready and the vendor enrolled.
    pub async fn start(
        dir: &Path,
        programs: &Path,
        old_programs: Option<&Path>,
        set_up: &SetUp,
    ) -> Result<Self, Failure> {
        let mut ports = Ports::read(&dir.join("ports"))?;
        let minio_port = ports.spare("minio");
        let redis_port = ports.spare("redis itself");
        let store = StoreFaults::start(ports.of("s3")?, minio_port).await;
        let redis_line = TcpProxy::start(ports.of("redis")?, redis_port).await;
        let mut stack = Self {
            dir: dir.to_owned(),
            programs: programs.to_owned(),
            old_programs: old_programs.map(Path::to_owned),
            ports,
            processes: BTreeMap::new(),
            enrolled: Enrolled::default(),
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
        let agreement = stack.path("agreement.txt");
        std::fs::write(&agreement, AGREEMENT).map_err(Failure::new)?;
        stack.enrolled = stack.enrol(FIRST, Some(&agreement)).await?;
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
        Ok(format!("http://127.0.0.1:{}", self.ports.of(name)?))
    }

    /// The store itself, not through the proxy.
    pub fn minio_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.minio_port)
    }

    pub fn config(&self, role: &str) -> PathBuf {
        self.dir.join("config").join(format!("{role}.toml"))
    }

    /// The server executable of a build.
    pub fn probityd(&self, build: Build) -> Result<PathBuf, Failure> {
        let folder = match build {
            Build::New => Some(&self.programs),
            Build::Old => self.old_programs.as_ref(),
        };
        let folder = folder.ok_or_else(|| Failure::new("no --old-programs were given"))?;
        Ok(folder.join("probityd"))
    }

    /// The builds at hand.
    pub fn builds(&self) -> Vec<Build> {
        let old = self.old_programs.as_ref().map(|_| Build::Old);
        [Some(Build::New), old].into_iter().flatten().collect()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Waits until a role answers that it is ready.
    pub async fn ready(&self, role: &str) -> Result<(), Failure> {
        until_ready(role, &self.url(&format!("ops_{role}"))?).await
    }

    /// Runs a program of this workspace to its end; answers what it printed.
    pub async fn run(&self, program: &str, arguments: &[&str]) -> Result<String, Failure> {
        let output = self.ended(&self.programs.join(program), arguments).await?;
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

    /// Runs a program to its end, however it ends.
    pub async fn ended(
        &self,
        executable: &Path,
        arguments: &[impl AsRef<OsStr>],
    ) -> Result<Output, Failure> {
        let ended = Command::new(executable)
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        ended.await.map_err(Failure::new)
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
        let build = if set_up.upgrade {
            Build::Old
        } else {
            Build::New
        };
        let executable = self.probityd(build)?;
        let arguments = run_role(role, &self.config(role));
        self.launch(role, executable, &arguments, environment, None)
    }

    fn launch(
        &mut self,
        name: &str,
        executable: PathBuf,
        arguments: &[String],
        environment: impl IntoIterator<Item = (String, String)>,
        liveness: Option<String>,
    ) -> Result<(), Failure> {
        let mut program = self.program(name, executable, arguments)?;
        program.environment = environment.into_iter().collect();
        program.liveness = liveness;
        self.processes
            .insert(name.to_owned(), Process::start(program));
        Ok(())
    }

    fn program(
        &self,
        name: &str,
        executable: PathBuf,
        arguments: &[String],
    ) -> Result<Program, Failure> {
        if !executable.is_file() {
            return Err(Failure::new(format!("{} is missing", executable.display())));
        }
        Ok(Program {
            name: name.to_owned(),
            executable,
            arguments: arguments.to_vec(),
            environment: Vec::new(),
            log: self.dir.join("log").join(format!("{name}.log")),
            pid_file: self.dir.join("pid").join(name),
            liveness: None,
        })
    }
}

/// A path as text; ours are made of letters and digits.
pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The arguments under which `probityd` runs a role.
fn run_role(role: &str, config: &Path) -> [String; 4] {
    ["run", role, "--config", &text(config)].map(str::to_owned)
}

/// Waits until the process that has its operators' edge at `url` answers that it is ready.
async fn until_ready(name: &str, url: &str) -> Result<(), Failure> {
    let url = format!("{url}/readyz");
    until(&format!("{name} is ready"), async || {
        let answer = timeout(Duration::from_secs(5), reqwest::get(&url)).await;
        matches!(answer, Ok(Ok(answer)) if answer.status().is_success())
    })
    .await
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
