//! Redis emptied, killed and full.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::Failure;
use crate::chaos::Lab;

const FULL: Duration = Duration::from_secs(5);

pub async fn lose_and_fill(lab: &Lab) -> Result<(), Failure> {
    for _ in 0..lab.dose {
        lab.pause(2..=5).await;
        flush(lab).await?;
        lab.did("Redis emptied");
        lab.pause(2..=5).await;
        lab.stack.process("redis")?.kill().await?;
        lab.did("Redis killed");
        lab.pause(4..=6).await;
        // Less than it uses: every write is refused.
        command(lab, "CONFIG SET maxmemory 1").await?;
        sleep(FULL).await;
        command(lab, "CONFIG SET maxmemory 0").await?;
        lab.did("Redis full");
    }
    Ok(())
}

pub async fn bad_line(lab: &Lab) -> Result<(), Failure> {
    super::bus::line_goes_bad(lab, &lab.stack.redis_line).await
}

pub async fn flush(lab: &Lab) -> Result<(), Failure> {
    command(lab, "FLUSHALL").await
}

/// Redis' inline protocol: a line asks, a line answers.
async fn command(lab: &Lab, line: &str) -> Result<(), Failure> {
    let address = ("127.0.0.1", lab.stack.redis_port);
    let mut stream = TcpStream::connect(address).await.map_err(Failure::new)?;
    let asked = stream.write_all(format!("{line}\r\n").as_bytes()).await;
    asked.map_err(Failure::new)?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await.map_err(Failure::new)?;
    if answer == *b"+OK\r\n" {
        return Ok(());
    }
    Err(Failure::new(format!("redis did not take {line}")))
}
