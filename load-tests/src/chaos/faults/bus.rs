//! NATS killed, emptied, corrupted, put back in time, and out of reach.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use probity_testkit::{Line, TcpProxy};
use tokio::time::sleep;

use crate::Failure;
use crate::chaos::Lab;
use crate::chaos::process::Process;

/// How long the log may stand still between two wipes.
const PROGRESS_MAX: Duration = Duration::from_secs(1_800);
const DOWN: Duration = Duration::from_secs(2);
const BITS_PER_FILE: usize = 2;

/// The run that the design is for: bus and cache lose everything, spread evenly over the planned captures.
pub async fn wipe(lab: &Lab) -> Result<(), Failure> {
    for time in 1..=u64::from(lab.dose) {
        let part = lab.rate.count * time / (u64::from(lab.dose) + 1);
        lab.progress.reaches(part, PROGRESS_MAX).await?;
        for node in lab.stack.nats() {
            node.stop().await?;
            delete(&lab.stack.nats_store(node.name()))?;
        }
        super::cache::flush(lab).await?;
        sleep(DOWN).await;
        for node in lab.stack.nats() {
            node.start_again();
        }
        lab.did("NATS deleted and Redis emptied");
    }
    Ok(())
}

/// Nothing is told to anybody: what is accepted meanwhile is open work for the reconciler alone.
pub async fn away_while_accepting(lab: &Lab) -> Result<(), Failure> {
    for node in lab.stack.nats() {
        node.stop().await?;
        delete(&lab.stack.nats_store(node.name()))?;
    }
    let open = lab.progress.accepted() + u64::from(lab.dose);
    while lab.progress.accepted() < open {
        sleep(DOWN).await;
    }
    for node in lab.stack.nats() {
        node.start_again();
    }
    lab.did("NATS away while captures were accepted");
    Ok(())
}

pub async fn empty(lab: &Lab) -> Result<(), Failure> {
    for _ in 0..lab.dose {
        lab.pause(3..=8).await;
        changed(lab, delete).await?;
        lab.did("NATS store deleted");
    }
    Ok(())
}

pub async fn kill_nodes(lab: &Lab) -> Result<(), Failure> {
    for time in 1..=lab.dose {
        lab.pause(3..=8).await;
        let nodes = lab.stack.nats();
        if time % 3 == 0 {
            for node in &nodes {
                node.kill().await?;
            }
            lab.did("all nats-servers killed");
        } else {
            let one = lab.any(&nodes)?;
            one.kill().await?;
            lab.did("one nats-server killed");
        }
    }
    Ok(())
}

/// The same server each time: the only one, or a minority of three.
pub async fn flip_bits(lab: &Lab) -> Result<(), Failure> {
    let node = lab.any(&lab.stack.nats())?;
    for _ in 0..lab.dose {
        lab.pause(4..=8).await;
        node.stop().await?;
        for file in files(&lab.stack.nats_store(node.name()))? {
            flip(lab, &file)?;
        }
        sleep(DOWN).await;
        node.start_again();
        lab.did("bits flipped in the files of a nats-server");
    }
    Ok(())
}

pub async fn back_in_time(lab: &Lab) -> Result<(), Failure> {
    for _ in 0..lab.dose {
        let copy = lab.stack.path("nats-copy");
        changed(lab, |store| copy_folder(store, &copy)).await?;
        lab.pause(6..=10).await;
        changed(lab, |store| {
            delete(store)?;
            fs::rename(&copy, store).map_err(Failure::new)
        })
        .await?;
        lab.did("NATS put back to an older copy");
        lab.pause(2..=4).await;
    }
    Ok(())
}

pub async fn bad_line(lab: &Lab) -> Result<(), Failure> {
    let line = lab.stack.nats_line.as_ref();
    let line = line.ok_or_else(|| Failure::new("a cluster has no line of its own"))?;
    line_goes_bad(lab, line).await
}

/// Frozen, cut and late in turn.
pub async fn line_goes_bad(lab: &Lab, line: &TcpProxy) -> Result<(), Failure> {
    for _ in 0..lab.dose {
        lab.pause(2..=4).await;
        line.set(Line::Frozen);
        sleep(Duration::from_secs(15)).await;
        line.set(Line::Good);
        lab.did("line frozen");
        lab.pause(2..=4).await;
        line.set(Line::Cut);
        sleep(DOWN).await;
        line.set(Line::Late(Duration::from_millis(300)));
        lab.did("line cut, then late");
        sleep(Duration::from_secs(10)).await;
        line.set(Line::Good);
    }
    Ok(())
}

/// Kills every nats-server, changes its store, starts it again.
async fn changed(lab: &Lab, change: impl Fn(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
    let nodes: Vec<&Process> = lab.stack.nats();
    for node in nodes {
        node.stop().await?;
        change(&lab.stack.nats_store(node.name()))?;
        sleep(DOWN).await;
        node.start_again();
    }
    Ok(())
}

fn delete(folder: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Failure::new(e)),
        _ => Ok(()),
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).map_err(Failure::new)? {
            let path = entry.map_err(Failure::new)?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Failure> {
    for file in files(from)? {
        let target = to.join(file.strip_prefix(from).map_err(Failure::new)?);
        let parent = target.parent().unwrap_or(to);
        fs::create_dir_all(parent).map_err(Failure::new)?;
        fs::copy(&file, &target).map_err(Failure::new)?;
    }
    Ok(())
}

/// Flips bits of message blocks and of the state kept beside them.
fn flip(lab: &Lab, file: &Path) -> Result<(), Failure> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let is_state = ["snap", "index.db", "o.dat"]
        .iter()
        .any(|known| name.starts_with(known));
    if !is_state && !name.ends_with(".blk") {
        return Ok(());
    }
    let mut bytes = fs::read(file).map_err(Failure::new)?;
    for _ in 0..BITS_PER_FILE {
        let place = lab.below(bytes.len());
        if let Some(byte) = bytes.get_mut(place) {
            *byte ^= 1 << lab.below(8);
        }
    }
    fs::write(file, bytes).map_err(Failure::new)?;
    lab.count("files with flipped bits");
    Ok(())
}
