//! One supervised process: whenever it ends while it is wanted, it is started again, as an orchestrator would.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::sleep;

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

/// A process under supervision; it is killed when this is dropped.
pub struct Process {
    name: String,
    wanted: watch::Sender<bool>,
    state: watch::Receiver<State>,
}

impl Process {
    /// Starts it. Must be called in a runtime.
    pub fn start(program: Program) -> Self {
        let name = program.name.clone();
        let (wanted, is_wanted) = watch::channel(true);
        let (told, state) = watch::channel(State::default());
        tokio::spawn(supervise(program, is_wanted, told));
        Self {
            name,
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
        self.wanted.send_replace(false);
        let mut state = self.state.clone();
        let gone = state.wait_for(|now| now.pid.is_none());
        gone.await.map(drop).map_err(Failure::new)
    }

    /// Starts it again after [`Self::stop`].
    pub fn start_again(&self) {
        self.wanted.send_replace(true);
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

async fn supervise(
    program: Program,
    mut wanted: watch::Receiver<bool>,
    told: watch::Sender<State>,
) {
    loop {
        // The sender gone means that the process's owner is.
        if wanted.wait_for(|wanted| *wanted).await.is_err() {
            return;
        }
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
    /// The lab killed it.
    Wanted,
    Itself,
}

async fn until_end(
    program: &Program,
    child: &mut Child,
    wanted: &mut watch::Receiver<bool>,
) -> End {
    let end = tokio::select! {
        ended = child.wait() => {
            let killed = ended.is_ok_and(|status| status.signal() == Some(KILLED));
            return if killed { End::Wanted } else { End::Itself };
        }
        _ = wanted.wait_for(|wanted| !*wanted) => End::Wanted,
        () = probed_dead(program) => End::Itself,
    };
    // Fails only if it has ended already.
    let _ = child.kill().await;
    end
}

/// Answers when the liveness probe has failed too often; never without one.
async fn probed_dead(program: &Program) {
    let Some(url) = &program.liveness else {
        return std::future::pending().await;
    };
    let mut failures = 0;
    while failures < PROBE_FAILURES {
        sleep(PROBE_EVERY).await;
        let answer = tokio::time::timeout(PROBE_MAX, reqwest::get(url)).await;
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
