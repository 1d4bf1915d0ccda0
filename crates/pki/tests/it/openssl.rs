//! OpenSSL as judge. Skipped, loudly, where the program is missing.

use std::path::Path;
use std::process::Command;

use probity_pki::cms::{SignedData, add_signature_time_stamp, verify_detached_content};
use probity_pki::crl::{Crl, RevocationReason, RevokedEntry};
use probity_pki::digest::HashAlgorithm;
use probity_pki::keys::{MemoryKey, Signer};
use probity_pki::ocsp::{
    CertStatus, OcspRequest, OcspResponse, Responder, ResponseTimes, make_request,
};
use probity_pki::tsp::{TimeStampReq, TimeStampResp};
use probity_pki::x509::{Certificate, Csr, Profile, Subject, make_csr};
use tempfile::TempDir;

use crate::fixture::{HOUR_MS, Pki, crl, issue};

/// A scratch folder with the fixture's public parts written out.
struct Bench {
    dir: TempDir,
    pki: Pki,
}

impl Bench {
    fn new() -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            println!("SKIPPED: no openssl program, so nobody judged this");
            return None;
        }
        let bench = Self {
            dir: TempDir::new().unwrap(),
            pki: Pki::new(),
        };
        let pki = &bench.pki;
        bench.write("root.pem", pki.root.certificate.to_pem().unwrap());
        bench.write("issuing.pem", pki.issuing.certificate.to_pem().unwrap());
        bench.write("tsa.pem", pki.tsa.certificate.to_pem().unwrap());
        bench.write("event.pem", pki.event.certificate.to_pem().unwrap());
        bench.write("seal.pem", pki.seal.certificate.to_pem().unwrap());
        bench.write("ocsp.pem", pki.ocsp.certificate.to_pem().unwrap());
        bench.write_crls(&pki.crls());
        Some(bench)
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path().join(name)).unwrap()
    }

    fn write_crls(&self, crls: &[Crl]) {
        let mut pem = String::new();
        for (at, crl) in crls.iter().enumerate() {
            let name = format!("crl{at}.der");
            self.write(&name, crl.der());
            pem.push_str(&self.run(&format!("crl -inform DER -in {name}")));
        }
        self.write("crls.pem", pem);
    }

    fn try_run(&self, line: &str) -> Result<String, String> {
        let output = Command::new("openssl")
            .args(line.split_whitespace())
            .current_dir(self.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            Ok(text)
        } else {
            Err(text)
        }
    }

    /// Runs a command that must succeed; its output without the lines OpenSSL says on stderr.
    #[track_caller]
    fn run(&self, line: &str) -> String {
        match self.try_run(line) {
            Ok(text) => text,
            Err(text) => panic!("openssl {line}\n{text}"),
        }
    }

    #[track_caller]
    fn refuses(&self, line: &str, reason: &str) {
        let text = self.try_run(line).unwrap_err();
        assert!(text.contains(reason), "openssl {line}\n{text}");
    }
}

#[test]
fn chains_hold_strictly_and_with_lists() {
    let Some(bench) = Bench::new() else { return };
    for leaf in ["event", "seal", "ocsp"] {
        bench.run(&format!(
            "verify -x509_strict -policy_check -CAfile root.pem -untrusted issuing.pem \
             -crl_check_all -CRLfile crls.pem {leaf}.pem"
        ));
    }
    bench.run("verify -x509_strict -CAfile root.pem -purpose timestampsign tsa.pem");
    bench.refuses(
        "verify -CAfile root.pem -untrusted issuing.pem -purpose timestampsign event.pem",
        "unsuitable certificate purpose",
    );
    let text = bench.run("x509 -in event.pem -noout -text -nameopt utf8,sep_comma_plus");
    for part in [
        "某某科技有限公司",
        "urn:uuid:0192d7a4",
        "repository.example/cps",
    ] {
        assert!(
            text.contains(part),
            "{part} is missing from the certificate\n{text}"
        );
    }
}

#[test]
fn a_revoked_certificate_is_refused() {
    let Some(bench) = Bench::new() else { return };
    let pki = &bench.pki;
    let revoked = |certificate: &Certificate, reason| RevokedEntry {
        serial: certificate.serial().to_vec(),
        at: pki.now.plus_ms(-HOUR_MS / 2),
        reason: Some(reason),
        invalid_since: None,
    };
    let list = crl(
        pki.now,
        &pki.issuing,
        &[
            revoked(&pki.event.certificate, RevocationReason::KeyCompromise),
            revoked(&pki.seal.certificate, RevocationReason::Unspecified),
        ],
    );
    assert_eq!(list.number(), Some(300));
    assert!(list.find(pki.event.certificate.serial()).is_some());
    assert!(list.find(pki.ocsp.certificate.serial()).is_none());
    bench.write_crls(&[pki.root_crl.clone(), list]);
    let line = "verify -CAfile root.pem -untrusted issuing.pem -crl_check_all -CRLfile crls.pem";
    bench.refuses(&format!("{line} event.pem"), "certificate revoked");
    bench.refuses(&format!("{line} seal.pem"), "certificate revoked");
    bench.run(&format!("{line} ocsp.pem"));
    let text = bench.run("crl -inform DER -in crl1.der -noout -text");
    assert!(text.contains("Key Compromise"), "{text}");
}

#[test]
fn cades_signatures_hold() {
    let Some(bench) = Bench::new() else { return };
    let manifest = b"<ASiCManifest/>\r\nnot\ncanonical\r";
    bench.write("manifest", manifest);
    let baseline = bench.pki.sign(manifest);
    let signature = SignedData::from_der(&baseline).unwrap();
    let token = bench
        .pki
        .token(HashAlgorithm::Sha3_256, signature.signature_value());
    let stamped = add_signature_time_stamp(&baseline, &token).unwrap();
    let line = "cms -verify -cades -binary -inform DER -in signature.p7s -content manifest \
                -CAfile root.pem -out content";
    for der in [&baseline, &stamped] {
        bench.write("signature.p7s", der);
        bench.run(line);
        bench.run(&format!("{line} -crl_check_all -x509_strict"));
        let signed = SignedData::from_der(der).unwrap();
        let signer = verify_detached_content(&signed, manifest).unwrap();
        assert_eq!(signer.certificate, bench.pki.event.certificate);
        assert_eq!(signer.instruction_digest, Some([7; 32]));
        assert_eq!(signed.crls().len(), 2);
    }
    assert_eq!(
        SignedData::from_der(&stamped).unwrap().certificates().len(),
        2
    );
    let text = bench.run("cms -cmsout -print -noout -inform DER -in signature.p7s");
    for part in [
        "id-smime-aa-timeStampToken",
        "id-smime-cti-ets-proofOfApproval",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    bench.write("manifest", b"<ASiCManifest/>\r\nNot\ncanonical\r");
    bench.refuses(line, "verification failure");
}

#[test]
fn we_verify_what_openssl_signs() {
    let Some(bench) = Bench::new() else { return };
    bench.write("manifest", "receipt");
    let pem = bench.pki.seal.key.to_encrypted_pem(b"secret").unwrap();
    bench.write("seal.key", pem.as_bytes());
    bench.run(
        "cms -sign -cades -binary -md sha384 -in manifest -signer seal.pem -inkey seal.key \
         -passin pass:secret -outform DER -out signature.p7s",
    );
    let signed = SignedData::from_der(&bench.read("signature.p7s")).unwrap();
    let signer = verify_detached_content(&signed, b"receipt").unwrap();
    assert_eq!(signer.certificate, bench.pki.seal.certificate);
    assert!(verify_detached_content(&signed, b"Receipt").is_err());
}

#[test]
fn tokens_hold_for_every_imprint() {
    let Some(bench) = Bench::new() else { return };
    bench.write("data", "what is time-stamped");
    let gen_time = bench.pki.now;
    for name in [
        "sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512",
    ] {
        bench.run(&format!(
            "ts -query -data data -{name} -cert -out request.tsq"
        ));
        let request = TimeStampReq::from_der(&bench.read("request.tsq")).unwrap();
        let serial = [0xff; 16];
        let authority = bench.pki.authority();
        let response = authority
            .respond(&request, &bench.pki.tsa.key, gen_time, &serial)
            .unwrap();
        bench.write("response.tsr", &response);
        let line = "ts -verify -in response.tsr -CAfile root.pem";
        bench.run(&format!("{line} -queryfile request.tsq"));
        bench.run(&format!("{line} -data data"));

        let parsed = TimeStampResp::from_der(&response).unwrap();
        let token = parsed.token_for(&request).unwrap();
        assert_eq!(token.tst_info().gen_time, gen_time);
        assert_eq!(token.tst_info().accuracy_us, Some(1_500_000));
        assert_eq!(token.tst_info().serial, serial);
    }
    let text = bench.run("ts -reply -in response.tsr -text");
    assert!(text.contains("0x01 seconds, 0x01F4 millis"), "{text}");
    bench.write("data", "something else");
    bench.refuses(
        "ts -verify -in response.tsr -CAfile root.pem -data data",
        "imprint mismatch",
    );
}

#[test]
fn refusals_read_as_such() {
    let Some(bench) = Bench::new() else { return };
    use probity_pki::tsp::{PkiFailureInfo, refusal};
    for (failure, text) in [
        (
            PkiFailureInfo::BadAlg,
            "unrecognized or unsupported algorithm",
        ),
        (
            PkiFailureInfo::TimeNotAvailable,
            "time source is not available",
        ),
        (PkiFailureInfo::UnacceptedPolicy, "policy is not supported"),
        (PkiFailureInfo::SystemFailure, "system failure"),
    ] {
        bench.write(
            "response.tsr",
            refusal(failure, "时钟 not trusted").unwrap(),
        );
        let output = bench.run("ts -reply -in response.tsr -text");
        assert!(
            output.contains("Rejected") && output.contains(text),
            "{output}"
        );
    }
    bench.write("data", "x");
    bench.run("ts -query -data data -sha1 -out request.tsq");
    let error = TimeStampReq::from_der(&bench.read("request.tsq")).unwrap_err();
    assert_eq!(PkiFailureInfo::of(&error), PkiFailureInfo::BadAlg);
    bench.run("ts -query -data data -sha256 -tspolicy 1.2.3.4 -out request.tsq");
    let request = TimeStampReq::from_der(&bench.read("request.tsq")).unwrap();
    let error = bench
        .pki
        .authority()
        .respond(&request, &bench.pki.tsa.key, bench.pki.now, &[1])
        .unwrap_err();
    assert_eq!(PkiFailureInfo::of(&error), PkiFailureInfo::UnacceptedPolicy);
}

#[test]
fn ocsp_works_both_ways() {
    let Some(bench) = Bench::new() else { return };
    let pki = &bench.pki;
    let responder = Responder {
        certificate: pki.ocsp.certificate.clone(),
        issuer: pki.issuing.certificate.clone(),
    };
    let times = ResponseTimes {
        produced_at: pki.now,
        this_update: pki.now,
        next_update: pki.now.plus_ms(HOUR_MS),
    };
    let revoked = CertStatus::Revoked {
        at: pki.now.plus_ms(-1_000),
        reason: Some(RevocationReason::CertificateHold),
    };
    let status = |serial: &[u8]| {
        if serial == pki.seal.certificate.serial() {
            revoked
        } else {
            CertStatus::Good
        }
    };
    // The default names certificates by SHA-1, hence the second round.
    for digest in ["", "-sha256"] {
        bench.run(&format!(
            "ocsp {digest} -issuer issuing.pem -cert event.pem {digest} -cert seal.pem \
             -reqout request.der"
        ));
        let request = OcspRequest::from_der(&bench.read("request.der")).unwrap();
        assert_eq!(request.serials_of(&pki.issuing.certificate).count(), 2);
        let response = responder
            .respond(&request, &pki.ocsp.key, times, &status)
            .unwrap();
        bench.write("response.der", response);
        let text = bench.run(&format!(
            "ocsp -no_nonce -reqin request.der -respin response.der -CAfile root.pem \
             -verify_other issuing.pem {digest} -issuer issuing.pem -cert event.pem \
             {digest} -cert seal.pem"
        ));
        assert!(text.contains("Response verify OK"), "{text}");
        assert!(text.contains("event.pem: good"), "{text}");
        assert!(text.contains("seal.pem: revoked"), "{text}");
        assert!(text.contains("certificateHold"), "{text}");
    }

    let nonce = [9; 16];
    let issuer = &pki.issuing.certificate;
    let serial = pki.seal.certificate.serial();
    let request = make_request(issuer, serial, Some(&nonce)).unwrap();
    bench.write("request.der", &request);
    bench.run("ocsp -reqin request.der -req_text -noverify");
    let request = OcspRequest::from_der(&request).unwrap();
    let der = responder
        .respond(&request, &pki.ocsp.key, times, &status)
        .unwrap();
    let response = OcspResponse::from_der(&der).unwrap();
    let verify = |nonce: &[u8], at| response.verify(issuer, serial, Some(nonce), at);
    let whole_second = |at: probity_domain::Timestamp| at.plus_ms(-(at.unix_ms() % 1_000));
    let CertStatus::Revoked { at, reason } = verify(&nonce, pki.now).unwrap() else {
        panic!("not revoked")
    };
    assert_eq!(at, whole_second(pki.now.plus_ms(-1_000)));
    assert_eq!(reason, Some(RevocationReason::CertificateHold));
    assert!(verify(&[8; 16], pki.now).is_err());
    assert!(verify(&nonce, pki.now.plus_ms(2 * HOUR_MS)).is_err());
    let issuer = &pki.root.certificate;
    assert!(
        response
            .verify(issuer, serial, Some(&nonce), pki.now)
            .is_err()
    );
}

#[test]
fn keys_travel_encrypted() {
    let Some(bench) = Bench::new() else { return };
    let key = MemoryKey::generate().unwrap();
    let pem = key.to_encrypted_pem(b"secret").unwrap();
    bench.write("key.pem", pem.as_bytes());
    bench.run("pkey -in key.pem -passin pass:secret -pubout -outform DER -out public.der");
    assert_eq!(bench.read("public.der"), key.public_key_der());
    assert!(
        bench
            .try_run("pkey -in key.pem -passin pass:wrong -noout")
            .is_err()
    );

    bench.run(
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -aes-256-cbc -pass pass:other \
         -out theirs.pem",
    );
    let pem = String::from_utf8(bench.read("theirs.pem")).unwrap();
    let theirs = MemoryKey::from_encrypted_pem(&pem, b"other").unwrap();
    bench.run("pkey -in theirs.pem -passin pass:other -pubout -outform DER -out public.der");
    assert_eq!(bench.read("public.der"), theirs.public_key_der());
    assert!(MemoryKey::from_encrypted_pem(&pem, b"Other").is_err());
}

#[test]
fn requests_show_possession() {
    let Some(bench) = Bench::new() else { return };
    let key = MemoryKey::generate().unwrap();
    let der = make_csr(&key, &Subject::new("Party")).unwrap();
    bench.write("ours.csr", &der);
    let text = bench.run("req -inform DER -in ours.csr -verify -noout");
    assert!(text.contains("self-signature verify OK"), "{text}");

    bench.run(
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout key.pem -subj /CN=Theirs \
         -addext subjectAltName=DNS:example.org -outform DER -out theirs.csr",
    );
    let der = bench.read("theirs.csr");
    assert_eq!(Csr::from_der(&der).unwrap().subject(), "CN=Theirs");
    for at in 0..der.len() {
        let mut bytes = der.clone();
        bytes[at] ^= 1;
        assert!(Csr::from_der(&bytes).is_err(), "byte {at}");
    }
    let holder = issue(
        bench.pki.now,
        Profile::CourtEncryption,
        "Court",
        9,
        Some(&bench.pki.issuing),
    );
    bench.write("court.pem", holder.certificate.to_pem().unwrap());
    bench.run("verify -x509_strict -CAfile root.pem -untrusted issuing.pem court.pem");
}
