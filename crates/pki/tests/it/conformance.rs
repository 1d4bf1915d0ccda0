//! What every [`Signer`] must do, whatever holds its key. Included by other crates' tests too, for their own signers.

#![expect(
    clippy::disallowed_methods,
    reason = "signers themselves are under test"
)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use probity_pki::keys::{MemoryKey, SignatureAlgorithm, Signer, verify_signature};

/// Runs the whole suite; `name` says in failures which signer it is.
pub fn conforms(name: &str, signer: Arc<dyn Signer>) {
    let algorithm = signer.algorithm();
    let spki = signer.public_key_der().to_vec();
    assert_eq!(
        SignatureAlgorithm::of_public_key(&spki).unwrap(),
        algorithm,
        "{name}: the key is on the algorithm's curve"
    );
    for message in [&b""[..], b"x", &[0x5a; 100_000]] {
        let signature = signer.sign(message).unwrap();
        verify_signature(&spki, algorithm, message, &signature).unwrap();
        refused(name, &spki, algorithm, message, &signature);
        openssl_agrees(name, &spki, algorithm, message, &signature);
    }
    side_by_side(name, &signer);
}

/// Another message, another key, another algorithm and another encoding are refused.
fn refused(
    name: &str,
    spki: &[u8],
    algorithm: SignatureAlgorithm,
    message: &[u8],
    signature: &[u8],
) {
    let refuses = |spki: &[u8], algorithm, message: &[u8], signature: &[u8], why: &str| {
        let verified = verify_signature(spki, algorithm, message, signature);
        assert!(verified.is_err(), "{name}: {why}");
    };
    let other_message = [message, b"."].concat();
    refuses(
        spki,
        algorithm,
        &other_message,
        signature,
        "another message",
    );
    let other_key = MemoryKey::generate_for(algorithm).unwrap();
    let other = other_key.public_key_der();
    refuses(other, algorithm, message, signature, "another key");
    let other_algorithm = match algorithm {
        SignatureAlgorithm::EcdsaP384Sha384 => SignatureAlgorithm::EcdsaP256Sha256,
        SignatureAlgorithm::EcdsaP256Sha256 => SignatureAlgorithm::EcdsaP384Sha384,
    };
    refuses(
        spki,
        other_algorithm,
        message,
        signature,
        "another algorithm",
    );
    let trailing = [signature, &[0]].concat();
    refuses(spki, algorithm, message, &trailing, "trailing byte");
    let mut changed = signature.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    refuses(spki, algorithm, message, &changed, "changed signature");
}

fn openssl_agrees(
    name: &str,
    spki: &[u8],
    algorithm: SignatureAlgorithm,
    message: &[u8],
    signature: &[u8],
) {
    let dir = tempfile::tempdir().unwrap();
    let hash = match algorithm {
        SignatureAlgorithm::EcdsaP384Sha384 => "-sha384",
        SignatureAlgorithm::EcdsaP256Sha256 => "-sha256",
    };
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    write("key.der", spki);
    write("signature", signature);
    write("message", message);
    write("changed", &[message, b"."].concat());
    let verify = |message: &str| {
        let line =
            format!("dgst {hash} -verify key.der -keyform DER -signature signature {message}");
        openssl(dir.path(), &line)
    };
    match verify("message") {
        None => println!("SKIPPED: no openssl program, so nobody judged {name}"),
        Some(accepted) => {
            assert!(accepted, "{name}: OpenSSL refuses it");
            assert_eq!(
                verify("changed"),
                Some(false),
                "{name}: OpenSSL takes a changed one"
            );
        }
    }
}

/// `None` without the program.
fn openssl(dir: &Path, line: &str) -> Option<bool> {
    let output = Command::new("openssl")
        .args(line.split_whitespace())
        .current_dir(dir)
        .output();
    output.ok().map(|output| output.status.success())
}

/// More threads than a pool has sessions.
fn side_by_side(name: &str, signer: &Arc<dyn Signer>) {
    let threads: Vec<_> = (0..16_u8)
        .map(|thread| {
            let signer = signer.clone();
            std::thread::spawn(move || {
                for n in 0..4 {
                    let message = [thread, n];
                    let signature = signer.sign(&message).unwrap();
                    let spki = signer.public_key_der();
                    verify_signature(spki, signer.algorithm(), &message, &signature).unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        assert!(
            thread.join().is_ok(),
            "{name}: signatures made side by side"
        );
    }
}
