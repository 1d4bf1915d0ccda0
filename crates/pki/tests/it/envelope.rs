//! Envelopes: opened by OpenSSL, and by nobody else.

use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use probity_domain::Timestamp;
use probity_pki::Error;
use probity_pki::asic::{ContainerReader, ContainerWriter, Limits};
use probity_pki::envelope::{
    CONTENT_BYTES_MAX, Encryptor, EnvelopeRandom, PARTS_MAX, PartsEncryptor, check_recipient,
    decrypt, encrypt,
};
use probity_pki::x509::Certificate;
use tempfile::TempDir;

struct Recipient {
    folder: TempDir,
    certificate: Certificate,
    key_pkcs8: Vec<u8>,
}

impl Recipient {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn openssl(arguments: &[&str], folder: &Path) -> bool {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    }
    output.status.success()
}

/// A court that made its certificate with its own tools.
fn recipient(curve: &str, usage: &str) -> Recipient {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let curve = format!("ec_paramgen_curve:{curve}");
    let usage = format!("keyUsage=critical,{usage}");
    let made = openssl(
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            &curve,
            "-nodes",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
            "-days",
            "30",
            "-subj",
            "/C=CN/O=Court/CN=Court 1",
            "-addext",
            &usage,
        ],
        at,
    );
    assert!(made);
    assert!(openssl(
        &[
            "pkcs8", "-topk8", "-nocrypt", "-in", "key.pem", "-outform", "DER", "-out", "key.der"
        ],
        at
    ));
    let pem = std::fs::read_to_string(at.join("cert.pem")).unwrap();
    let certificate = Certificate::from_pem(&pem).unwrap();
    let key_pkcs8 = std::fs::read(at.join("key.der")).unwrap();
    Recipient {
        folder,
        certificate,
        key_pkcs8,
    }
}

fn court() -> Recipient {
    recipient("secp384r1", "keyAgreement")
}

fn random() -> EnvelopeRandom {
    let mut bytes = [0; EnvelopeRandom::BYTES];
    getrandom::fill(&mut bytes).unwrap();
    EnvelopeRandom::from_bytes(&bytes)
}

fn opened_by_openssl(court: &Recipient, envelope: &[u8]) -> Option<Vec<u8>> {
    std::fs::write(court.file("sealed.p7m"), envelope).unwrap();
    let arguments = [
        "cms",
        "-decrypt",
        "-binary",
        "-inform",
        "DER",
        "-in",
        "sealed.p7m",
        "-recip",
        "cert.pem",
        "-inkey",
        "key.pem",
        "-out",
        "opened",
    ];
    openssl(&arguments, court.folder.path()).then(|| std::fs::read(court.file("opened")).unwrap())
}

fn opened(court: &Recipient, envelope: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let read = decrypt(&mut &*envelope, &court.key_pkcs8, &mut out)?;
    assert_eq!(read, out.len() as u64);
    Ok(out)
}

#[test]
fn openssl_and_we_open_it() {
    let court = court();
    for size in [
        0, 1, 15, 16, 17, 127, 128, 255, 256, 65_535, 65_536, 300_000,
    ] {
        let content: Vec<u8> = (0..size).map(|i: usize| (i * 31) as u8).collect();
        let envelope = encrypt(&court.certificate, &content, &random()).unwrap();
        assert_eq!(opened(&court, &envelope).unwrap(), content, "{size}");
        assert_eq!(
            opened_by_openssl(&court, &envelope).unwrap(),
            content,
            "{size}"
        );
    }
}

#[test]
fn sixty_four_mebibytes_in_pieces() {
    let court = court();
    let size = 64usize << 20;
    let mut envelope = Vec::with_capacity(size + 1024);
    let mut encryptor =
        Encryptor::new(&court.certificate, size as u64, &random(), &mut envelope).unwrap();
    let announced = encryptor.envelope_bytes();
    let piece: Vec<u8> = (0..1_000_003).map(|i: usize| (i % 251) as u8).collect();
    let content: Vec<u8> = piece.iter().copied().cycle().take(size).collect();
    for piece in content.chunks(piece.len()) {
        encryptor.write(piece, &mut envelope).unwrap();
    }
    encryptor.finish(&mut envelope).unwrap();
    assert_eq!(envelope.len() as u64, announced);
    assert!(opened_by_openssl(&court, &envelope).unwrap() == content);
    assert!(opened(&court, &envelope).unwrap() == content);
}

#[test]
fn another_key_opens_nothing() {
    let (court, other) = (court(), self::court());
    let envelope = encrypt(&court.certificate, b"secret", &random()).unwrap();
    let refused = opened(&other, &envelope);
    assert!(
        matches!(refused, Err(Error::NotVerified { .. })),
        "{refused:?}"
    );
    assert!(matches!(
        opened(&recipient("prime256v1", "keyAgreement"), &envelope),
        Err(Error::Key(_))
    ));
    let no_key = decrypt(&mut &*envelope, b"no key", &mut Vec::new());
    assert!(matches!(no_key, Err(Error::Key(_))), "{no_key:?}");
}

#[test]
fn any_changed_or_missing_byte_is_noticed() {
    let court = court();
    let envelope = encrypt(
        &court.certificate,
        b"forty bytes of content, more or less",
        &random(),
    )
    .unwrap();
    let mut unnoticed = 0;
    for at in 0..envelope.len() {
        let mut changed = envelope.clone();
        changed[at] ^= 1;
        unnoticed += usize::from(opened(&court, &changed).is_ok());
    }
    // Only the name and serial of the recipient may change: the wrapped key says whom it is for.
    let name_and_serial = 90;
    assert!(unnoticed <= name_and_serial, "{unnoticed}");
    for cut in 0..envelope.len() {
        assert!(opened(&court, &envelope[..cut]).is_err(), "{cut}");
    }
    assert!(opened(&court, &[envelope, vec![0]].concat()).is_err());
}

#[test]
fn content_must_be_as_long_as_announced() {
    let court = court();
    let mut out = Vec::new();
    let mut long = Encryptor::new(&court.certificate, 2, &random(), &mut out).unwrap();
    assert!(long.write(b"xyz", &mut out).is_err());
    let mut short = Encryptor::new(&court.certificate, 2, &random(), &mut out).unwrap();
    short.write(b"x", &mut out).unwrap();
    assert!(short.finish(&mut out).is_err());
    let huge = Encryptor::new(
        &court.certificate,
        CONTENT_BYTES_MAX + 1,
        &random(),
        &mut out,
    );
    assert!(matches!(huge.err(), Some(Error::TooLarge { .. })));
}

/// The content in parts of `piece_bytes`, written in pieces that keep to no part's end.
fn in_parts(court: &Recipient, content: &[u8], piece_bytes: u64) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let size = content.len() as u64;
    let mut encryptor =
        PartsEncryptor::new(&court.certificate, size, piece_bytes, &mut random, &mut out).unwrap();
    let lengths = encryptor.part_bytes().to_vec();
    for piece in content.chunks(1_000) {
        encryptor.write(piece, &mut out).unwrap();
    }
    encryptor.finish(&mut out).unwrap();
    let mut rest = &out[..];
    let mut take = |length: &u64| {
        let (part, later) = rest.split_at(usize::try_from(*length).unwrap());
        rest = later;
        part.to_vec()
    };
    let parts: Vec<_> = lengths.iter().map(&mut take).collect();
    assert!(rest.is_empty(), "the lengths are told from the start");
    parts
}

#[test]
fn parts_are_envelopes_of_their_own_and_make_the_content_again() {
    let court = court();
    for (size, piece_bytes, count) in [
        (0, 700, 1),
        (700, 700, 1),
        (701, 700, 2),
        (2_100, 700, 3),
        (10_000, 4_096, 3),
        (64, 1, 64),
    ] {
        let content: Vec<u8> = (0..size).map(|i: usize| (i * 31) as u8).collect();
        let parts = in_parts(&court, &content, piece_bytes);
        assert_eq!(parts.len(), count, "{size}");
        assert_eq!(opened(&court, &parts.concat()).unwrap(), content, "{size}");
        if count > 3 {
            continue;
        }
        let by_openssl = parts.iter().map(|part| opened_by_openssl(&court, part));
        let by_openssl: Option<Vec<_>> = by_openssl.collect();
        assert_eq!(by_openssl.unwrap().concat(), content, "{size}");
    }
    let mut out = Vec::new();
    let refused = PartsEncryptor::new(&court.certificate, 65, 1, &mut random, &mut out);
    let Err(Error::TooLarge { limit, .. }) = refused.map(drop) else {
        panic!("more than 64 parts")
    };
    assert_eq!(limit, PARTS_MAX);
}

#[test]
fn parts_must_be_as_long_together_as_announced() {
    let court = court();
    let mut out = Vec::new();
    let new = |out: &mut Vec<u8>| {
        PartsEncryptor::new(&court.certificate, 5, 2, &mut random, out).unwrap()
    };
    assert!(new(&mut out).write(b"sixsix", &mut out).is_err());
    let mut short = new(&mut out);
    short.write(b"four", &mut out).unwrap();
    assert!(short.finish(&mut out).is_err());
    let mut none_of_the_last = new(&mut out);
    none_of_the_last.write(b"fo", &mut out).unwrap();
    assert!(none_of_the_last.finish(&mut out).is_err());
}

#[test]
fn a_part_that_is_damaged_or_too_much_is_refused() {
    let court = court();
    let content: Vec<u8> = (0..3_000).map(|i: usize| (i * 7) as u8).collect();
    let parts = in_parts(&court, &content, 1_000);
    for at in 0..parts.len() {
        let mut changed = parts.clone();
        let last = changed[at].len() - 1;
        changed[at][last] ^= 1;
        let refused = opened(&court, &changed.concat());
        assert!(matches!(refused, Err(Error::NotVerified { .. })), "{at}");
    }
    let whole = parts.concat();
    let inside_the_second = parts[0].len() + parts[1].len() / 2;
    let cut = opened(&court, &whole[..inside_the_second]).unwrap_err();
    assert!(cut.to_string().contains("cut short"), "{cut}");
    let foreign = in_parts(&self::court(), &content, 1_000);
    let mixed = [&parts[0][..], &foreign[1], &parts[2]].concat();
    assert!(opened(&court, &mixed).is_err(), "another recipient's part");
    let part = encrypt(&court.certificate, b"x", &random()).unwrap();
    assert!(opened(&court, &part.repeat(64)).is_ok());
    let refused = opened(&court, &part.repeat(65)).unwrap_err();
    assert!(refused.to_string().contains("limit of 64"), "{refused}");
}

/// What the envelopes cannot tell of each other the container inside tells: anybody may encrypt to a court.
#[test]
fn parts_in_another_order_or_number_make_no_container() {
    let court = court();
    let mut container = ContainerWriter::new(Vec::new(), Timestamp::from_unix_ms(0)).unwrap();
    // No two pieces are alike.
    let scattered = |i: u32| (i.wrapping_mul(2_654_435_761) >> 13) as u8;
    let member: Vec<u8> = (0..5_000).map(scattered).collect();
    container.add_bytes("page.html", &member).unwrap();
    let content = container.finish().unwrap();
    let parts = in_parts(&court, &content, 1_024);
    assert!(parts.len() > 4);
    let reads = |order: &[usize]| {
        let package: Vec<u8> = order.iter().flat_map(|n| parts[*n].clone()).collect();
        whole(&opened(&court, &package).unwrap())
    };
    let right: Vec<usize> = (0..parts.len()).collect();
    reads(&right).unwrap();
    for first in 0..parts.len() {
        let without: Vec<_> = right.iter().copied().filter(|n| *n != first).collect();
        assert!(reads(&without).is_err(), "without {first}");
        let mut doubled = right.clone();
        doubled.insert(first, first);
        assert!(reads(&doubled).is_err(), "{first} twice");
        for second in first + 1..parts.len() {
            let mut swapped = right.clone();
            swapped.swap(first, second);
            assert!(reads(&swapped).is_err(), "{first} for {second}");
        }
    }
    let own = encrypt(&court.certificate, &[0; 1_024], &random()).unwrap();
    let slipped_in = [&parts[..2].concat()[..], &own, &parts[3..].concat()].concat();
    assert!(whole(&opened(&court, &slipped_in).unwrap()).is_err());
}

fn whole(container: &[u8]) -> Result<(), Error> {
    let mut container = ContainerReader::open(Cursor::new(container), Limits::default())?;
    let mut bytes = Vec::new();
    container.stream("page.html")?.read_to_end(&mut bytes)?;
    Ok(())
}

#[test]
fn recipients_that_cannot_receive() {
    let good = court().certificate;
    let inside = good.not_before().plus_ms(60_000);
    check_recipient(&good, inside).unwrap();
    let day = 86_400_000;
    let refusals = [
        (
            court().certificate,
            good.not_after().plus_ms(2 * day),
            "expired",
        ),
        (
            court().certificate,
            Timestamp::from_unix_ms(0),
            "valid from",
        ),
        (
            recipient("secp384r1", "digitalSignature").certificate,
            inside,
            "keyAgreement",
        ),
        (
            recipient("prime256v1", "keyAgreement").certificate,
            inside,
            "P-384",
        ),
    ];
    for (certificate, at, reason) in refusals {
        let refusal = check_recipient(&certificate, at).unwrap_err().to_string();
        assert!(refusal.contains(reason), "{refusal}");
    }
}
