//! The same files before a judge that shares no code with us.

use std::process::{Command, Output};

use crate::ceremony::{Ceremony, PASSPHRASE, ROOT_PASSPHRASE};

fn openssl(ceremony: &Ceremony, arguments: &str) -> Output {
    // Words that name a file of the ceremony contain a slash.
    let arguments = arguments
        .split_whitespace()
        .map(|word| match word.contains('/') {
            true => ceremony.path(word).into_os_string(),
            false => word.into(),
        });
    Command::new("openssl").args(arguments).output().unwrap()
}

fn accepts(ceremony: &Ceremony, arguments: &str) {
    let output = openssl(ceremony, arguments);
    assert!(output.status.success(), "openssl {arguments}: {output:?}");
}

#[test]
fn certificates_chain_strictly() {
    let ceremony = Ceremony::made();
    let root = "-x509_strict -CAfile public/root-ca.crt.pem";
    let issuing = "-untrusted public/issuing-ca.crt.pem";
    accepts(ceremony, &format!("verify {root} public/root-ca.crt.pem"));
    accepts(
        ceremony,
        &format!(
            "verify {root} -crl_check -CRLfile public/root-ca.crl.pem public/issuing-ca.crt.pem"
        ),
    );
    accepts(
        ceremony,
        &format!("verify {root} -purpose timestampsign public/tsa.crt.pem"),
    );
    accepts(
        ceremony,
        &format!("verify {root} {issuing} -purpose smimesign public/seal.crt.pem"),
    );
    accepts(
        ceremony,
        &format!("verify {root} {issuing} -purpose ocsphelper public/ocsp.crt.pem"),
    );
}

#[test]
fn the_record_verifies() {
    let ceremony = Ceremony::new();
    accepts(
        &ceremony,
        "cms -verify -cades -binary -inform DER -in public/ceremony-record.p7s \
         -content public/ceremony-record.json -CAfile public/root-ca.crt.pem -out public/checked",
    );
}

#[test]
fn every_key_opens_with_its_passphrase_alone() {
    let ceremony = Ceremony::made();
    let keys = [
        ("root/root-ca.key.pem", ROOT_PASSPHRASE, "secp384r1"),
        ("issuance/issuing-ca.key.pem", PASSPHRASE, "secp384r1"),
        ("issuance/ocsp.key.pem", PASSPHRASE, "secp384r1"),
        ("timestamping/tsa.key.pem", PASSPHRASE, "secp384r1"),
        ("delivery/seal.key.pem", PASSPHRASE, "secp384r1"),
        ("storage/log.key.pem", PASSPHRASE, "ED25519"),
    ];
    for (file, passphrase, kind) in keys {
        let open = |passphrase: &str| {
            Command::new("openssl")
                .args([
                    "pkey",
                    "-noout",
                    "-text",
                    "-passin",
                    &format!("pass:{passphrase}"),
                    "-in",
                ])
                .arg(ceremony.path(file))
                .output()
                .unwrap()
        };
        let opened = open(passphrase);
        assert!(opened.status.success(), "{file}: {opened:?}");
        assert!(
            String::from_utf8_lossy(&opened.stdout).contains(kind),
            "{file}"
        );
        assert!(!open("wrong horse battery").status.success(), "{file}");
    }
}

/// A key made elsewhere, as in a token, comes as a certification request.
#[test]
fn a_renewed_ocsp_certificate_is_the_requests_and_chains() {
    let ceremony = Ceremony::new();
    let config = "[req]\ndistinguished_name = name\nprompt = no\n[name]\nCN = token\n";
    std::fs::write(ceremony.path("public/req.cnf"), config).unwrap();
    accepts(
        &ceremony,
        "req -new -config public/req.cnf -newkey ec -pkeyopt ec_paramgen_curve:secp384r1 -sha384 -nodes \
         -keyout public/token.key -out public/token.csr",
    );
    let request = ceremony.path("public/token.csr");
    let renewed = ceremony.renew_ocsp(&["--request", request.to_str().unwrap()]);
    assert!(renewed.status.success(), "{renewed:?}");
    let issuing = "-untrusted public/issuing-ca.crt.pem";
    let root = "-x509_strict -CAfile public/root-ca.crt.pem";
    accepts(
        &ceremony,
        &format!("verify {root} {issuing} -purpose ocsphelper public/ocsp.crt.pem"),
    );
    let public_key = |arguments: &str| openssl(&ceremony, arguments).stdout;
    let certified = public_key("x509 -in public/ocsp.crt.pem -noout -pubkey");
    assert_eq!(
        certified,
        public_key("req -in public/token.csr -noout -pubkey")
    );
    // Of a request that was changed nobody has proved anything.
    let pem = std::fs::read_to_string(&request).unwrap();
    let at = pem.len() - 60;
    let other = if &pem[at..=at] == "A" { "B" } else { "A" };
    let changed = [&pem[..at], other, &pem[at + 1..]].concat();
    std::fs::write(&request, changed).unwrap();
    let refused = ceremony.renew_ocsp(&["--request", request.to_str().unwrap()]);
    assert!(!refused.status.success(), "{refused:?}");
}
