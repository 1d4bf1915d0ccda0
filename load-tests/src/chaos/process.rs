//! One supervised process: whenever it ends while it is wanted, it is started again, as an orchestrator would.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::Failure;

/// What an orchestrator waits before it starts a container again.
const RESTART_AFTER: Duration = Duration::from_secs(1);
const KILLED: i32 = 9;
/// As an orchestrator's liveness probe: so often, and so many failures in a row before the process is killed.
const PROBE_EVERY: Duration = Duration::from_secs(5);
const PROBE_MAX: Duration = Duration::from_secs(3);
const PROBE_FAILURES: u32 = 6;

/// How a process is started.
#[derive(Clone)]
pub struct Program {
    pub name: String,
    pub executable: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub log: PathBuf,
    /// Holds the process id while it runs, so that whoever started the lab can end what a killed lab leaves.
    pub pid_file: PathBuf,
    /// URL of the liveness probe, where it has one.
    pub liveness: Option<String>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    pid: Option<u32>,
    starts: u32,
    /// Ends that nobody here brought about with SIGKILL or by asking for them, and kills by the liveness probe.
    ended_by_itself: u32,
}

/// What the lab wants of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Up,
    /// It was asked to end, and is left the time to do it.
    Ending,
    Down,
}

/// A process under supervision; it is killed when this is dropped.
pub struct Process {
    name: String,
    program: Arc<Mutex<Program>>,
    wanted: watch::Sender<Wanted>,
    state: watch::Receiver<State>,
}

impl Process {
    /// Starts it. Must be called in a runtime.
    pub fn start(program: Program) -> Self {
        let name = program.name.clone();
        let (wanted, is_wanted) = watch::channel(Wanted::Up);
        let (told, state) = watch::channel(State::default());
        let program = Arc::new(Mutex::new(program));
        tokio::spawn(supervise(program.clone(), is_wanted, told));
        Self {
            name,
            program,
            wanted,
            state,
        }
    }

    /// `kill -9`; answers when the process is gone. The supervisor starts it again.
    pub async fn kill(&self) -> Result<(), Failure> {
        let before = *self.state.borrow();
        self.signal("KILL").await?;
        let gone = |now: &State| now.pid != before.pid || now.starts != before.starts;
        let mut state = self.state.clone();
        state.wait_for(gone).await.map(drop).map_err(Failure::new)
    }

    /// Sends a signal, such as `STOP` or `CONT`; one that does not run is left alone.
    pub async fn signal(&self, signal: &str) -> Result<(), Failure> {
        let Some(pid) = self.state.borrow().pid else {
            return Ok(());
        };
        let sent = Command::new("kill")
            .args(["-s", signal, &pid.to_string()])
            .stderr(Stdio::null())
            .status();
        // It may have ended in between: then there is nothing to signal.
        sent.await.map(drop).map_err(Failure::new)
    }

    /// Kills it and keeps it down; answers when it is gone.
    pub async fn stop(&self) -> Result<(), Failure> {
        self.wanted.send_replace(Wanted::Down);
        self.gone().await
    }

    /// SIGTERM, and keeps it down; answers how long it took to end. After `patience` it is killed, as an orchestrator would,
    /// and the answer is `None`.
    pub async fn end(&self, patience: Duration) -> Result<Option<Duration>, Failure> {
        let asked = Instant::now();
        self.wanted.send_replace(Wanted::Ending);
        self.signal("TERM").await?;
        if let Ok(gone) = timeout(patience, self.gone()).await {
            return gone.map(|()| Some(asked.elapsed()));
        }
        self.stop().await.map(|()| None)
    }

    async fn gone(&self) -> Result<(), Failure> {
        let mut state = self.state.clone();
        let gone = state.wait_for(|now| now.pid.is_none());
        gone.await.map(drop).map_err(Failure::new)
    }

    /// The next start is of this executable.
    pub fn next_executable(&self, executable: PathBuf) {
        lock(&self.program).executable = executable;
    }

    /// Starts it again after [`Self::stop`] or [`Self::end`].
    pub fn start_again(&self) {
        self.wanted.send_replace(Wanted::Up);
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts after the first.
    pub fn restarts(&self) -> u32 {
        self.state.borrow().starts.saturating_sub(1)
    }

    pub fn ended_by_itself(&self) -> u32 {
        self.state.borrow().ended_by_itself
    }
}

fn lock(program: &Mutex<Program>) -> MutexGuard<'_, Program> {
    program.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn supervise(
    program: Arc<Mutex<Program>>,
    mut wanted: watch::Receiver<Wanted>,
    told: watch::Sender<State>,
) {
    loop {
        // The sender gone means that the process's owner is.
        let up = wanted.wait_for(|wanted| *wanted == Wanted::Up);
        if up.await.is_err() {
            return;
        }
        let program = lock(&program).clone();
        match spawn(&program) {
            Ok(mut child) => {
                told.send_modify(|state| {
                    state.pid = child.id();
                    state.starts += 1;
                });
                let ended = until_end(&program, &mut child, &mut wanted).await;
                let _ = std::fs::remove_file(&program.pid_file);
                told.send_modify(|state| {
                    state.pid = None;
                    state.ended_by_itself += u32::from(ended == End::Itself);
                });
            }
            Err(e) => eprintln!("chaos: {} cannot be started: {e}", program.name),
        }
        sleep(RESTART_AFTER).await;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The lab killed it or asked it to end.
    Wanted,
    Itself,
}

async fn until_end(
    program: &Program,
    child: &mut Child,
    wanted: &mut watch::Receiver<Wanted>,
) -> End {
    let killed = tokio::select! {
        ended = child.wait() => Some(ended.is_ok_and(|status| status.signal() == Some(KILLED))),
        _ = wanted.wait_for(|wanted| *wanted == Wanted::Down) => None,
        () = probed_dead(program) => None,
    };
    let is_wanted = killed == Some(true) || *wanted.borrow() != Wanted::Up;
    // Fails only if it has ended already.
    let _ = child.kill().await;
    if is_wanted { End::Wanted } else { End::Itself }
}

/// Answers when the liveness probe has failed too often; never without one.
async fn probed_dead(program: &Program) {
    let Some(url) = &program.liveness else {
        return std::future::pending().await;
    };
    let mut failures = 0;
    while failures < PROBE_FAILURES {
        sleep(PROBE_EVERY).await;
        let answer = timeout(PROBE_MAX, reqwest::get(url)).await;
        let is_alive = matches!(answer, Ok(Ok(answer)) if answer.status().is_success());
        failures = if is_alive { 0 } else { failures + 1 };
    }
    eprintln!("chaos: {} fails its liveness probe: killed", program.name);
}

fn spawn(program: &Program) -> std::io::Result<Child> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(&program.log)?;
    let child = Command::new(&program.executable)
        .args(&program.arguments)
        .envs(program.environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Ctrl-C is the lab's to hear; it ends what it started.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    if let Some(pid) = child.id() {
        std::fs::write(&program.pid_file, pid.to_string())?;
    }
    Ok(child)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(folder: &std::path::Path, command: &str) -> Program {
        Program {
            name: "sleeper".to_owned(),
            executable: PathBuf::from("/bin/sh"),
            arguments: vec!["-c".to_owned(), command.to_owned()],
            environment: Vec::new(),
            log: folder.join("log"),
            pid_file: folder.join("pid"),
            liveness: None,
        }
    }

    #[tokio::test]
    async fn what_is_killed_comes_back_and_what_is_stopped_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::start(sleeper(folder.path(), "exec sleep 600"));
        let mut state = process.state.clone();
        state.wait_for(|state| state.pid.is_some()).await.unwrap();
        process.kill().await.unwrap();
        state
            .wait_for(|state| state.starts == 2 && state.pid.is_some())
            .await
            .unwrap();
        assert!(folder.path().join("pid").exists());
        process.stop().await.unwrap();
        assert!(!folder.path().join("pid").exists());
        process.start_again();
        state.wait_for(|state| state.starts == 3).await.unwrap();
        assert_eq!((process.restarts(), process.ended_by_itself()), (2, 0));
    }

    #[tokio::test]
    async fn what_is_asked_to_end_does_so_and_may_come_back_as_another() {
        let folder = tempfile::tempdir().unwrap();
        let deaf = "trap '' TERM; touch deaf; while :; do sleep 0.05; done";
        let deaf = format!("cd {}; {deaf}", folder.path().display());
        let process = Process::start(sleeper(folder.path(), "exec sleep 600"));
        let mut state = process.state.clone();
        state.wait_for(|state| state.pid.is_some()).await.unwrap();
        let ended = process.end(Duration::from_secs(60)).await.unwrap();
        assert!(ended.is_some());
        lock(&process.program).arguments = vec!["-c".to_owned(), deaf];
        process.start_again();
        state.wait_for(|state| state.starts == 2).await.unwrap();
        while !folder.path().join("deaf").exists() {
            tokio::task::yield_now().await;
        }
        let killed = process.end(Duration::from_millis(50)).await.unwrap();
        assert!(killed.is_none());
        process.next_executable(PathBuf::from("/bin/true"));
        process.start_again();
        // It ends by itself and is started again, until the lab is done with it.
        state
            .wait_for(|state| state.ended_by_itself >= 1)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn an_end_of_its_own_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::start(sleeper(folder.path(), "exit 7"));
        let mut state = process.state.clone();
        state
            .wait_for(|state| state.ended_by_itself >= 1)
            .await
            .unwrap();
    }
}
