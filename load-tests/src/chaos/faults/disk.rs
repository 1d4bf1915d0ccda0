//! A volume without space.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use tokio::time::sleep;

use crate::Failure;
use crate::chaos::Lab;

const FULL: Duration = Duration::from_secs(15);
const PIECE: [u8; 64 * 1024] = [0; 64 * 1024];

pub async fn full(lab: &Lab) -> Result<(), Failure> {
    let filler = lab.stack.path("nats/filler");
    for _ in 0..lab.dose {
        lab.pause(4..=8).await;
        let mut file = fs::File::create(&filler).map_err(Failure::new)?;
        // Until there is no space.
        while file.write_all(&PIECE).is_ok() {}
        sleep(FULL).await;
        fs::remove_file(&filler).map_err(Failure::new)?;
        lab.did("volume full");
    }
    Ok(())
}
