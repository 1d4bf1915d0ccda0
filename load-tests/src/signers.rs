//! Signatures per second of each place a P-384 key may be in, one thread, in one run, beside OpenSSL's own figure.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Args;
use probity_pki::keys::{MemoryKey, P384Key, Signer};
use probity_platform::keys::{Pkcs11Config, Pkcs11Key, read_certificate};

use crate::Failure;

#[derive(Args)]
pub struct SignersArgs {
    /// How long each one signs.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// A file with the settings of a key in a token (module, token, key_label, pin_file), to measure that too.
    #[arg(long, requires = "certificate")]
    pkcs11: Option<PathBuf>,
    /// The certificate of that key, PEM.
    #[arg(long, requires = "pkcs11")]
    certificate: Option<PathBuf>,
}

/// What is signed: as long as the signed attributes of an event signature.
const MESSAGE: &[u8] = &[0x31; 300];

/// Measures one after the other; answers rates and their ratios to OpenSSL's.
pub fn run(args: &SignersArgs) -> Result<serde_json::Value, Failure> {
    let mut signers: Vec<(&str, Box<dyn Signer>)> = vec![
        (
            "memory, AWS-LC",
            Box::new(MemoryKey::generate().map_err(Failure::new)?),
        ),
        (
            "memory, p384",
            Box::new(P384Key::generate().map_err(Failure::new)?),
        ),
    ];
    if let (Some(settings), Some(certificate)) = (&args.pkcs11, &args.certificate) {
        let text = std::fs::read_to_string(settings).map_err(Failure::new)?;
        let config: Pkcs11Config = toml::from_str(&text).map_err(Failure::new)?;
        let certificate = read_certificate(certificate).map_err(Failure::new)?;
        let key = Pkcs11Key::open(&config, &certificate).map_err(Failure::new)?;
        signers.push(("token, PKCS#11", Box::new(key)));
    }
    let openssl = openssl_per_second(args.seconds)?;
    let mut rates = vec![("openssl speed", openssl)];
    for (name, signer) in &signers {
        rates.push((
            name,
            per_second(&**signer, Duration::from_secs(args.seconds))?,
        ));
    }
    // Once more, for how much this machine drifts while it measures.
    rates.push(("openssl speed, again", openssl_per_second(args.seconds)?));
    let rows = rates.into_iter().map(|(what, rate)| {
        serde_json::json!({
            "what": what, "signatures_per_second": rate.round(), "ratio_to_openssl": rate / openssl,
        })
    });
    Ok(serde_json::json!({ "what": "signers", "rows": rows.collect::<Vec<_>>() }))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the key alone is measured; it is made for this and signs nothing else"
)]
fn per_second(signer: &dyn Signer, time: Duration) -> Result<f64, Failure> {
    let (started, mut made) = (Instant::now(), 0_u32);
    while started.elapsed() < time {
        for _ in 0..16 {
            std::hint::black_box(signer.sign(MESSAGE).map_err(Failure::new)?);
        }
        made += 16;
    }
    Ok(f64::from(made) / started.elapsed().as_secs_f64())
}

/// The machine-readable line of `openssl speed`: `+F4:index:bits:signatures per second:verifications per second`.
fn openssl_per_second(seconds: u64) -> Result<f64, Failure> {
    let output = Command::new("openssl")
        .args([
            "speed",
            "-mr",
            "-seconds",
            &seconds.to_string(),
            "ecdsap384",
        ])
        .output()
        .map_err(|e| Failure::new(format!("openssl: {e}")))?;
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines()
        .filter(|line| line.starts_with("+F4:"))
        .find_map(|line| line.split(':').nth(3)?.parse().ok())
        .ok_or_else(|| Failure::new(format!("openssl speed said nothing of ecdsap384: {said}")))
}
