//! Credentials, certificates, lists and keys replaced by their next ones, under load.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::openssl;
use super::upgrade::end;
use crate::Failure;
use crate::chaos::Lab;
use crate::chaos::stack::{Enrolled, FIRST, ROLES, text};

/// How long what has been replaced may go on being taken: credentials are remembered for 5 s.
const TAKEN_MAX: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_millis(500);
/// Until nobody uses the former credential: a call of the vendor may last a minute.
const MOVED_MAX: Duration = Duration::from_secs(120);

pub async fn everything(lab: &Lab) -> Result<(), Failure> {
    let mut enrolled = lab.stack.enrolled.clone();
    for round in 0..lab.dose {
        enrolled = credential(lab, &enrolled, round).await?;
        lab.pause(1..=2).await;
        certificates(lab).await?;
        lab.pause(1..=2).await;
        bus_users(lab).await?;
    }
    Ok(())
}

/// The officer issues the next, the vendor moves over, and when no call is made with the former any more it is revoked.
async fn credential(lab: &Lab, former: &Enrolled, round: u32) -> Result<Enrolled, Failure> {
    let file = lab.stack.path(&format!("secret/vendor-{round}"));
    let file_text = text(&file);
    let asked = ["--role", "vendor", "--tenant", FIRST, "--party", FIRST];
    let asked = [&asked[..], &["--out", &file_text]].concat();
    let said = lab.stack.officer("credential", &asked).await?;
    let words = said.strip_prefix("credential: ");
    let credential = words.and_then(|words| words.split(' ').next());
    let credential = credential.ok_or_else(|| Failure::new("issued without a credential"))?;
    let secret = std::fs::read_to_string(&file).map_err(Failure::new)?;
    let next = Enrolled {
        credential: credential.to_owned(),
        secret: secret.trim().to_owned(),
    };

    let calls = lab.submitter.moves_over(lab.stack.vendor(&next.secret)?);
    if !holds_within(MOVED_MAX, async || Arc::strong_count(&calls) == 1).await {
        lab.broken(format!("calls by a former credential after {MOVED_MAX:?}"));
    }
    lab.stack.officer("revoke", &[&former.credential]).await?;
    let url = format!("{}/v1/evidence", lab.stack.url("intake")?);
    let http = reqwest::Client::new();
    let refused = holds_within(TAKEN_MAX, async || {
        let asked = http.get(&url).bearer_auth(&former.secret).send().await;
        asked.is_ok_and(|answer| answer.status() == reqwest::StatusCode::UNAUTHORIZED)
    });
    if !refused.await {
        lab.broken(format!("a revoked credential is taken after {TAKEN_MAX:?}"));
    }
    lab.did("credential replaced, the former one refused");
    Ok(next)
}

/// The root's next list and the OCSP responder's next certificate and key, in the ceremony's folder, then by restart.
async fn certificates(lab: &Lab) -> Result<(), Failure> {
    let keys = text(&lab.stack.path("keys"));
    let passphrase = text(&lab.stack.path("secret/passphrase"));
    let list = ["crl", "--dir", &keys, "--root-passphrase-file", &passphrase];
    lab.stack.run("probity-ceremony", &list).await?;
    let ocsp = ["ocsp", "--dir", &keys, "--passphrase-file", &passphrase];
    let ocsp = [&ocsp[..], &["--new-key"]].concat();
    lab.stack.run("probity-ceremony", &ocsp).await?;
    name_former_responders(lab)?;
    for role in ["issuance", "delivery"] {
        restart(lab, role).await?;
    }

    let served = format!("{}/crl/root.crl", lab.stack.url("issuance")?);
    let served = reqwest::get(served).await.map_err(Failure::new)?;
    let served = served.bytes().await.map_err(Failure::new)?;
    let list = std::fs::read(lab.stack.path("keys/public/root-ca.crl")).map_err(Failure::new)?;
    if served != list {
        lab.broken("the root's next list is not what is served".to_owned());
    }
    if !next_responder_answers(lab).await? {
        lab.broken("the OCSP responder does not answer by its next certificate".to_owned());
    }
    lab.did("root's list and OCSP responder replaced");
    Ok(())
}

/// What the responder's former certificates signed is still about, so issuance has to know them.
fn name_former_responders(lab: &Lab) -> Result<(), Failure> {
    let public = lab.stack.path("keys/public");
    let mut certificates = vec![text(&public.join("seal.crt.pem"))];
    for entry in std::fs::read_dir(&public).map_err(Failure::new)? {
        let path = text(&entry.map_err(Failure::new)?.path());
        let name = path.rsplit('/').next().unwrap_or_default();
        if name.starts_with("ocsp.") && name.ends_with(".crt.pem") {
            certificates.push(path);
        }
    }
    let file = lab.stack.config("issuance");
    let config = std::fs::read_to_string(&file).map_err(Failure::new)?;
    let name = "ceremony_certificate_files = ";
    let lines = config.lines().map(|line| match line.strip_prefix(name) {
        Some(_) => format!("{name}{certificates:?}\n"),
        None => format!("{line}\n"),
    });
    std::fs::write(file, lines.collect::<String>()).map_err(Failure::new)
}

/// OpenSSL asks, and believes the next certificate alone.
async fn next_responder_answers(lab: &Lab) -> Result<bool, Failure> {
    let public = |name: &str| text(&lab.stack.path("keys/public").join(name));
    let url = format!("{}/ocsp", lab.stack.url("issuance")?);
    let (issuing, seal) = (public("issuing-ca.crt.pem"), public("seal.crt.pem"));
    let (root, responder) = (public("root-ca.crt.pem"), public("ocsp.crt.pem"));
    let printed = lab.stack.path("ocsp.out");
    let mut arguments = vec!["ocsp", "-issuer", &issuing, "-cert", &seal, "-url", &url];
    arguments.extend(["-CAfile", &root, "-VAfile", &responder]);
    openssl::run(&arguments, &printed).await?;
    let printed = std::fs::read_to_string(&printed).map_err(Failure::new)?;
    Ok(printed.contains(": good"))
}

/// Each role gets the next seed and is started again with it, while the bus knows both; then it knows the next alone.
async fn bus_users(lab: &Lab) -> Result<(), Failure> {
    let (secret, next) = (lab.stack.path("secret"), lab.stack.path("secret/next"));
    std::fs::create_dir_all(&next).map_err(Failure::new)?;
    let asked = ["nats-permissions", "--make", "--seeds", &text(&next)];
    let next_users = lab.stack.run("probityd", &asked).await?;
    let file = lab.stack.path("config/nats-permissions.conf");
    let former_users = std::fs::read_to_string(&file).map_err(Failure::new)?;
    let both_users = both(&former_users, &next_users)?;
    let former_seed = lab.stack.path("secret/former-nats-intake");
    std::fs::copy(secret.join("nats-intake"), &former_seed).map_err(Failure::new)?;

    reload(lab, &former_users, &both_users).await?;
    let next_seed = next.join("nats-intake");
    if !holds_within(TAKEN_MAX, async || is_let_in(lab, &next_seed).await).await {
        return Err(Failure::new("nats-server does not know its next users"));
    }
    for role in ROLES {
        let seed = format!("nats-{role}");
        std::fs::rename(next.join(&seed), secret.join(&seed)).map_err(Failure::new)?;
        restart(lab, role).await?;
    }
    reload(lab, &both_users, &next_users).await?;
    std::fs::write(&file, &next_users).map_err(Failure::new)?;
    let refused = async || !is_let_in(lab, &former_seed).await;
    if !holds_within(TAKEN_MAX, refused).await {
        lab.broken("nats-server lets in by a former seed".to_owned());
    }
    lab.did("users of NATS replaced, the former ones refused");
    Ok(())
}

/// nats-server's users of two lists in one.
fn both(former: &str, next: &str) -> Result<String, Failure> {
    let head = former.rsplit_once("  ]\n}");
    let tail = next.split_once("users = [\n");
    let (Some((head, _)), Some((_, tail))) = (head, tail) else {
        return Err(Failure::new("not a list of nats-server's users"));
    };
    Ok(format!("{head}{tail}"))
}

async fn reload(lab: &Lab, from: &str, to: &str) -> Result<(), Failure> {
    for node in lab.stack.nats() {
        let file = lab.stack.path(&format!("config/{}.conf", node.name()));
        let config = std::fs::read_to_string(&file).map_err(Failure::new)?;
        if !config.contains(from) {
            return Err(Failure::new("nats-server has other users than expected"));
        }
        std::fs::write(&file, config.replace(from, to)).map_err(Failure::new)?;
        node.signal("HUP").await?;
    }
    Ok(())
}

async fn is_let_in(lab: &Lab, seed: &Path) -> bool {
    let bus = lab.stack.bus("intake", Some(seed)).await;
    bus.is_ok_and(|bus| bus.is_connected())
}

/// Ends it by SIGTERM, starts it again, waits until it is ready.
async fn restart(lab: &Lab, role: &str) -> Result<(), Failure> {
    let process = lab.stack.process(role)?;
    end(lab, process).await?;
    process.start_again();
    lab.stack.ready(role).await
}

/// Whether a condition comes to hold in time.
async fn holds_within(within: Duration, holds: impl AsyncFn() -> bool) -> bool {
    let began = Instant::now();
    while !holds().await {
        if began.elapsed() > within {
            return false;
        }
        sleep(ASK_EVERY).await;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lists_of_users_become_one() {
        let list = |user: &str| format!("authorization {{\n  users = [\n    {user}\n  ]\n}}\n");
        let together = "authorization {\n  users = [\n    a\n    b\n  ]\n}\n";
        assert_eq!(both(&list("a"), &list("b")).unwrap(), together);
        assert!(both("", &list("b")).is_err());
    }
}
