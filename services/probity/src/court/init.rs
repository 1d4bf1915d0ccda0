//! `probity court init`: keys that never leave the court, certificates for the platform's profile.

use probity_domain::{RecipientId, Timestamp};
use probity_pki::keys::{MemoryKey, Signer as _};
use probity_pki::x509::{
    Addresses, Certificate, CertificateTemplate, Profile, Subject, sign_certificate,
};
use probity_proto::http::RecipientDocument;

use super::folder::{At, Folder, Settings};
use crate::failure::Failure;
use crate::now::{now, random};

const YEAR_MS: i64 = 365 * 86_400_000;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    at: At,
    /// The recipient's id with the platform.
    #[arg(long)]
    recipient: String,
    /// The court's name.
    #[arg(long)]
    name: String,
    /// Its place of business: where receipt counts as having happened (ETA s.15).
    #[arg(long)]
    place: String,
    /// Names and addresses the HTTPS server is reached under.
    #[arg(long, default_values = ["localhost", "127.0.0.1"])]
    host: Vec<String>,
    /// `push` to the court's designated system, or `pull`; push when an endpoint is given.
    #[arg(long, value_parser = ["push", "pull"])]
    channel: Option<String>,
    /// The designated system, for push.
    #[arg(long, required_if_eq("channel", "push"))]
    endpoint: Option<String>,
    /// The endpoint is in a private network (an operator has to register it).
    #[arg(long)]
    allow_private_address: bool,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let folder = Folder::new(&args.at);
    if folder.is_made() {
        return Err(Failure::usage(format!(
            "{}: there is a court already",
            folder.as_ref().display()
        )));
    }
    RecipientId::parse(&args.recipient).map_err(Failure::usage)?;
    let endpoint = args
        .endpoint
        .clone()
        .filter(|_| args.channel.as_deref() != Some("pull"));
    let now = now();
    let ca_key = MemoryKey::generate()?;
    let ca = certificate(args, Profile::RootCa, &ca_key, None, now)?;
    let issue = |profile| -> Result<(MemoryKey, Certificate), Failure> {
        let key = MemoryKey::generate()?;
        let issued = certificate(args, profile, &key, Some((&ca, &ca_key)), now)?;
        Ok((key, issued))
    };
    let (encryption_key, encryption) = issue(Profile::CourtEncryption)?;
    let (signing_key, signing) = issue(Profile::CourtSigning)?;
    let tls = rcgen::generate_simple_self_signed(args.host.clone())?;

    folder.make_folders()?;
    for (name, key, certificate) in [
        ("ca", &ca_key, &ca),
        ("encryption", &encryption_key, &encryption),
        ("signing", &signing_key, &signing),
    ] {
        folder.write_key(name, key)?;
        folder.write_certificate(name, certificate)?;
    }
    folder.write_tls(&tls.cert.pem(), &tls.signing_key.serialize_pem())?;
    let profile = folder.write_profile(&RecipientDocument {
        name: args.name.clone(),
        place_of_business: args.place.clone(),
        encryption_certificate: encryption.to_pem()?,
        signing_certificate: signing.to_pem()?,
        channel: if endpoint.is_some() { "push" } else { "pull" }.to_owned(),
        tls_ca: endpoint.as_ref().map(|_| tls.cert.pem()),
        allow_private_address: args.allow_private_address && endpoint.is_some(),
        endpoint,
    })?;
    // Last: what is there is whole.
    let settings = Settings {
        recipient: args.recipient.clone(),
        place_of_business: args.place.clone(),
    };
    folder.write_settings(&settings)?;
    println!(
        "profile: {}, to be registered with `probity officer recipient`",
        profile.display()
    );
    Ok(())
}

fn certificate(
    args: &Args,
    profile: Profile,
    key: &MemoryKey,
    issuer: Option<(&Certificate, &MemoryKey)>,
    now: Timestamp,
) -> Result<Certificate, Failure> {
    let mut serial = random::<16>()?;
    if let Some(first) = serial.first_mut() {
        // Positive, and without leading zeros (RFC 5280 4.1.2.2).
        *first = (*first & 0x7f) | 0x40;
    }
    let role = match profile {
        Profile::RootCa => "CA",
        Profile::CourtEncryption => "encryption",
        _ => "receipts",
    };
    let (years, issuer_certificate) = if issuer.is_some() {
        (3, issuer.map(|i| i.0))
    } else {
        (10, None)
    };
    let template = CertificateTemplate {
        profile,
        serial: &serial,
        subject: Subject {
            common_name: format!(
                "{} {role}",
                args.recipient.chars().take(48).collect::<String>()
            ),
            organization: Some(args.name.chars().take(64).collect()),
            ..Subject::default()
        },
        spki_der: key.public_key_der(),
        not_before: now.plus_ms(-60_000),
        not_after: now.plus_ms(years * YEAR_MS),
        issuer: issuer_certificate,
        addresses: Addresses::default(),
        reliance_limit: None,
        instruction: None,
    };
    Ok(sign_certificate(
        &template.to_be_signed()?,
        issuer.map_or(key, |(_, issuer_key)| issuer_key),
    )?)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn made() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let args = Args {
            at: At {
                dir: dir.path().join("court"),
            },
            recipient: "court-1".into(),
            name: "北京互联网法院".into(),
            place: "Beijing".into(),
            host: vec!["localhost".into(), "127.0.0.1".into()],
            channel: None,
            endpoint: Some("https://localhost:8443".into()),
            allow_private_address: true,
        };
        run(&args).unwrap();
        assert!(run(&args).is_err(), "never over existing keys");
        let folder = Folder::new(&args.at);
        (dir, folder)
    }

    #[test]
    fn the_certificates_are_what_the_platform_accepts() {
        let (_dir, folder) = made();
        let encryption = folder.certificate("encryption").unwrap();
        probity_pki::envelope::check_recipient(&encryption, now()).unwrap();
        let signing = folder.certificate("signing").unwrap();
        assert_eq!(
            folder.signing_key().unwrap().public_key_der(),
            signing.spki_der()
        );
        signing
            .verify_issued_by(&folder.certificate("ca").unwrap())
            .unwrap();
        assert_eq!(folder.settings().unwrap().recipient, "court-1");
        let profile = std::fs::read(folder.as_ref().join("recipient.json")).unwrap();
        let profile: RecipientDocument = serde_json::from_slice(&profile).unwrap();
        assert_eq!(profile.channel, "push");
    }
}
