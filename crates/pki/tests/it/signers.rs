//! Every signer of this crate, by one suite; and that secrets stay where they are.

use std::sync::Arc;

use probity_pki::keys::{MemoryKey, P384Key, SignatureAlgorithm, Signer};
use zeroize::ZeroizeOnDrop;

use crate::conformance::conforms;

#[test]
fn in_memory() {
    for algorithm in [
        SignatureAlgorithm::EcdsaP384Sha384,
        SignatureAlgorithm::EcdsaP256Sha256,
    ] {
        let key = MemoryKey::generate_for(algorithm).unwrap();
        conforms(&format!("memory, {algorithm:?}"), Arc::new(key));
    }
}

#[test]
fn in_an_encrypted_file() {
    let key = MemoryKey::generate().unwrap();
    let file = key.to_encrypted_pem(b"correct horse").unwrap();
    assert!(MemoryKey::from_encrypted_pem(&file, b"wrong horse").is_err());
    let opened = MemoryKey::from_encrypted_pem(&file, b"correct horse").unwrap();
    assert_eq!(opened.public_key_der(), key.public_key_der());
    conforms("encrypted file", Arc::new(opened));
}

#[test]
fn by_the_second_implementation() {
    conforms("p384", Arc::new(P384Key::generate().unwrap()));
    let key = MemoryKey::generate().unwrap();
    let same = P384Key::from_pkcs8_der(&key.to_pkcs8_der().unwrap()).unwrap();
    assert_eq!(same.public_key_der(), key.public_key_der());
    conforms("p384, the same key", Arc::new(same));
}

/// What holds a private key in the open overwrites it when it goes; AWS-LC frees its own by OPENSSL_cleanse.
#[test]
fn keys_are_wiped_and_never_printed() {
    fn wiped<T: ZeroizeOnDrop>() {}
    wiped::<p384::ecdsa::SigningKey>();
    wiped::<zeroize::Zeroizing<Vec<u8>>>();
    let scalar = [0x3c; 48];
    let pure = P384Key::from_scalar(&scalar).unwrap();
    let memory = MemoryKey::generate().unwrap();
    let secret = memory.to_pkcs8_der().unwrap();
    for (printed, secret) in [
        (format!("{pure:?} {pure:#?}"), &scalar[..]),
        (format!("{memory:?} {memory:#?}"), &secret[..]),
    ] {
        assert!(!printed.contains(&hex::encode(secret)));
        assert!(
            !printed.contains(&format!("{:?}", &secret[..4])),
            "{printed}"
        );
        assert!(printed.len() < 200, "{printed}");
    }
}
