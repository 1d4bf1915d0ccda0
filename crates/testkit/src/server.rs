//! One server process under test.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::port::free_port;

const READY_MAX: Duration = Duration::from_secs(180);
const EXIT_MAX: Duration = Duration::from_secs(15);
const PROBE_MAX: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(10);
const PORTS_TRIED_MAX: usize = 4;
const LOG_TAIL_LINES: usize = 20;

/// How one kind of server is started and asked whether it is there.
pub(crate) trait Kind: Send + Sync {
    fn name(&self) -> &'static str;
    /// The command line for a server on `port` with its data in `data`; written anew for each start.
    fn command(&self, port: u16, data: &Path) -> io::Result<Command>;
    /// Bytes to send after connecting, and bytes that must appear in the answer.
    fn probe(&self) -> (&'static [u8], &'static str);
}

/// A server that keeps its port and data over restarts. Killed on drop, and by its watchdog if this
/// process goes away without dropping.
pub(crate) struct Server {
    kind: Box<dyn Kind>,
    port: u16,
    /// Holds `data/` and `log`; lives in the world's own temporary folder.
    folder: PathBuf,
    running: Option<Running>,
}

struct Running {
    child: Child,
    /// Reads from a pipe this process holds open; the end of it is the end of this process.
    watchdog: Child,
}

impl Server {
    pub(crate) async fn start(kind: Box<dyn Kind>, world: &Path) -> Self {
        let folder = world.join(kind.name());
        let mut server = Self {
            kind,
            port: 0,
            folder,
            running: None,
        };
        for attempt in 1.. {
            server.port = free_port();
            match server.start_again().await {
                Ok(()) => break,
                // Somebody else may have taken the port in between.
                Err(_) if attempt < PORTS_TRIED_MAX && server.log().contains("in use") => {}
                Err(reason) => panic!("{reason}"),
            }
        }
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Starts the server on its port, with whatever its data folder holds, unless it runs.
    pub(crate) async fn start_again(&mut self) -> Result<(), String> {
        if self.running.is_some() {
            return Ok(());
        }
        let name = self.kind.name();
        self.running = Some(
            self.spawn()
                .map_err(|e| format!("{name} cannot be started: {e}"))?,
        );
        let deadline = Instant::now() + READY_MAX;
        while !self.answers().await {
            let status = self
                .running
                .as_mut()
                .and_then(|running| running.child.try_wait().ok());
            if let Some(Some(status)) = status {
                self.kill();
                return Err(format!(
                    "{name} ended ({status}) at start:\n{}",
                    self.log_tail()
                ));
            }
            if Instant::now() >= deadline {
                self.kill();
                return Err(format!(
                    "{name} not ready in {READY_MAX:?}:\n{}",
                    self.log_tail()
                ));
            }
            sleep(STEP).await;
        }
        Ok(())
    }

    fn spawn(&self) -> io::Result<Running> {
        let data = self.data();
        fs::create_dir_all(&data)?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))?;
        let mut child = self
            .kind
            .command(self.port, &data)?
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog", &child.id().to_string()])
            .arg(&self.folder)
            // Out of reach of the signal that ends this process from the terminal.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match watchdog {
            Ok(watchdog) => Ok(Running { child, watchdog }),
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }

    async fn answers(&self) -> bool {
        let (question, answer) = self.kind.probe();
        matches!(
            timeout(PROBE_MAX, ask(self.port, question, answer)).await,
            Ok(Ok(true))
        )
    }

    /// Asks the server to end (SIGTERM) and waits until it has.
    pub(crate) async fn stop(&mut self) {
        if let Some(running) = &mut self.running {
            signal("TERM", &running.child);
            let deadline = Instant::now() + EXIT_MAX;
            while !matches!(running.child.try_wait(), Ok(Some(_))) && Instant::now() < deadline {
                sleep(STEP).await;
            }
        }
        self.kill();
    }

    /// Ends the server at once (SIGKILL), as a power cut would, but for what the kernel still holds.
    pub(crate) fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            // The watchdog first: it must not see a process id that may be given out again.
            end(&mut running.watchdog);
            end(&mut running.child);
        }
    }

    /// Stops the process where it stands (SIGSTOP): connections stay open and nothing answers.
    pub(crate) fn freeze(&self) {
        if let Some(running) = &self.running {
            signal("STOP", &running.child);
        }
    }

    /// Lets a frozen server go on.
    pub(crate) fn thaw(&self) {
        if let Some(running) = &self.running {
            signal("CONT", &running.child);
        }
    }

    /// Kills the server and deletes all it stored.
    pub(crate) fn wipe(&mut self) {
        self.kill();
        if let Err(error) = fs::remove_dir_all(self.data()) {
            panic!("{}: data cannot be deleted: {error}", self.kind.name());
        }
    }

    /// Where the server keeps what it stores.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().rev().take(LOG_TAIL_LINES).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// Waits for the end of this process; then ends the server and removes what it stored.
const WATCHDOG: &str = r#"read -r _; kill -KILL "$1"; sleep 0.1; rm -rf "$2"; rmdir "${2%/*}""#;

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Connects, sends `question` and reads until `answer` appears or the server has no more to say.
pub(crate) async fn ask(port: u16, question: &[u8], answer: &str) -> io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(question).await?;
    let mut received = Vec::new();
    loop {
        if stream.read_buf(&mut received).await? == 0 {
            return Ok(false);
        }
        if String::from_utf8_lossy(&received).contains(answer) {
            return Ok(true);
        }
    }
}

fn end(child: &mut Child) {
    // Fails only if it has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

fn signal(name: &str, child: &Child) {
    let status = Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status();
    if !matches!(status, Ok(status) if status.success()) {
        panic!(
            "cannot send SIG{name} to process {}: {status:?}",
            child.id()
        );
    }
}
