//! Containers: judged by other ZIP readers, and attacked.

use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::process::Command;

use probity_domain::Timestamp;
use probity_pki::Error;
use probity_pki::asic::{ContainerReader, ContainerWriter, Limits, MIMETYPE, Packing};

use crate::artifacts::Folder;

const AT: Timestamp = Timestamp::from_unix_ms(1_795_000_000_000);

fn text(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| b"evidence "[i % 9]).collect()
}

/// One member of every kind.
fn container() -> Vec<u8> {
    let mut writer = ContainerWriter::new(Vec::new(), AT).unwrap();
    writer.add_bytes("statement.json", b"{}").unwrap();
    writer.add_bytes("artifacts/empty", b"").unwrap();
    writer
        .start_member("artifacts/截图.html", Some(100_000), Packing::Deflated)
        .unwrap();
    for piece in text(100_000).chunks(777) {
        writer.write(piece).unwrap();
    }
    assert_eq!(writer.finish_member().unwrap(), 100_000);
    let mut long = Cursor::new(text(200_000));
    writer
        .add_reader("artifacts/video", None, Packing::Plain, &mut long)
        .unwrap();
    writer.finish().unwrap()
}

fn read_all(bytes: &[u8], limits: Limits) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut reader = ContainerReader::open(Cursor::new(bytes), limits)?;
    let names: Vec<String> = reader.members().iter().map(|m| m.name.clone()).collect();
    names
        .into_iter()
        .map(|name| Ok((name.clone(), reader.read(&name)?)))
        .collect()
}

fn judge(path: &Path) {
    let judges: [(&str, &[&str]); 2] =
        [("unzip", &["-tqq"]), ("python3", &["-m", "zipfile", "-t"])];
    for (tool, arguments) in judges {
        match Command::new(tool).args(arguments).arg(path).output() {
            Ok(output) => assert!(output.status.success(), "{tool}: {output:?}"),
            Err(e) => eprintln!("NOT JUDGED by {tool}: {e}"),
        }
    }
}

#[test]
fn other_readers_accept_what_is_written() {
    let bytes = container();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    judge(file.path());
    // EN 319 162-1 annex A.1: media type at a fixed place, for file(1) and its like
    assert_eq!(&bytes[30..38], b"mimetype");
    assert_eq!(&bytes[38..38 + MIMETYPE.len()], MIMETYPE.as_bytes());
}

#[test]
fn what_is_written_is_read() {
    let members = read_all(&container(), Limits::default()).unwrap();
    let names: Vec<_> = members.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "mimetype",
        "statement.json",
        "artifacts/empty",
        "artifacts/截图.html",
    ];
    assert_eq!(names[..4], expected);
    assert_eq!(members[3].1, text(100_000));
    assert_eq!(members[4].1, text(200_000));
}

#[test]
fn output_may_be_drained_between_pieces() {
    let (mut all, mut largest) = (Vec::new(), 0);
    let mut writer = ContainerWriter::new(Vec::new(), AT).unwrap();
    writer
        .start_member("a", Some(1 << 20), Packing::Plain)
        .unwrap();
    for piece in vec![7; 1 << 20].chunks(16 * 1024) {
        writer.write(piece).unwrap();
        largest = largest.max(writer.get_mut().len());
        all.append(writer.get_mut());
    }
    writer.finish_member().unwrap();
    all.append(&mut writer.finish().unwrap());
    assert!(largest < 256 * 1024, "{largest}");
    assert_eq!(
        read_all(&all, Limits::default()).unwrap()[1].1,
        vec![7; 1 << 20]
    );
}

#[test]
fn the_writer_refuses_misuse() {
    let mut writer = ContainerWriter::new(Vec::new(), AT).unwrap();
    for name in ["", "/a", "../a", "a\\b", "mimetype", "MimeType"] {
        assert!(writer.add_bytes(name, b"").is_err(), "{name}");
    }
    assert!(writer.write(b"x").is_err() && writer.finish_member().is_err());
    writer
        .start_member("short", Some(2), Packing::Plain)
        .unwrap();
    assert!(
        writer.add_bytes("b", b"").is_err(),
        "while a member is open"
    );
    assert!(writer.write(b"xyz").is_err());
    let mut writer = ContainerWriter::new(Vec::new(), AT).unwrap();
    writer
        .start_member("long", Some(2), Packing::Plain)
        .unwrap();
    writer.write(b"x").unwrap();
    assert!(writer.finish_member().is_err());
}

#[test]
fn many_members_need_the_wide_directory() {
    let mut writer = ContainerWriter::new(Vec::new(), AT).unwrap();
    for i in 0..66_000 {
        writer.add_bytes(&i.to_string(), b"").unwrap();
    }
    let bytes = writer.finish().unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    judge(file.path());
    let few = read_all(&bytes, Limits::default());
    assert!(matches!(few, Err(Error::TooLarge { .. })), "{few:?}");
    let limits = Limits {
        members_max: 100_000,
        ..Limits::default()
    };
    assert_eq!(
        ContainerReader::open(Cursor::new(bytes), limits)
            .unwrap()
            .members()
            .len(),
        66_001
    );
}

/// Takes minutes without optimisation and 5 GiB of disk.
#[test]
#[ignore = "slow and large"]
fn members_and_offsets_beyond_4_gib() {
    let folder = Folder::new();
    let file = folder.container("beyond-4-gib");
    let size = (1u64 << 32) + (1 << 20);
    {
        let out = std::fs::File::create(&file).unwrap();
        let out = std::io::BufWriter::with_capacity(1 << 20, out);
        let mut writer = ContainerWriter::new(out, AT).unwrap();
        let mut zeros = std::io::repeat(0).take(size);
        writer
            .add_reader("large", Some(size), Packing::Plain, &mut zeros)
            .unwrap();
        writer.add_bytes("behind", b"x").unwrap();
        writer.finish().unwrap();
    }
    judge(&file);
    let file = std::fs::File::open(&file).unwrap();
    let mut reader = ContainerReader::open(file, Limits::default()).unwrap();
    assert_eq!(reader.member("large").unwrap().size_bytes, size);
    assert_eq!(reader.read("behind").unwrap(), b"x");
    let read = std::io::copy(&mut reader.stream("large").unwrap(), &mut std::io::sink()).unwrap();
    assert_eq!(read, size);
}

#[test]
fn any_changed_byte_is_refused_or_changes_nothing() {
    let mut writer = ContainerWriter::new(Vec::new(), AT).unwrap();
    writer.add_bytes("a", b"stored").unwrap();
    writer
        .start_member("b", Some(300), Packing::Deflated)
        .unwrap();
    writer.write(&text(300)).unwrap();
    writer.finish_member().unwrap();
    writer
        .add_reader("c", None, Packing::Plain, &mut Cursor::new(b"plain"))
        .unwrap();
    let bytes = writer.finish().unwrap();
    let original = read_all(&bytes, Limits::default()).unwrap();
    let mut refused = 0;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            match read_all(&changed, Limits::default()) {
                Ok(members) => assert_eq!(members, original, "byte {at} bit {bit}"),
                Err(_) => refused += 1,
            }
        }
    }
    // What remains are times, versions and attributes, which nobody relies on.
    assert!(
        refused * 10 > bytes.len() * 8 * 6,
        "{refused} of {}",
        bytes.len() * 8
    );
    for cut in 0..bytes.len() {
        assert!(read_all(&bytes[..cut], Limits::default()).is_err(), "{cut}");
    }
}

/// A ZIP file written without any scruple.
#[derive(Default)]
struct RawZip {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    count: u16,
}

#[derive(Clone)]
struct RawMember<'a> {
    name: &'a [u8],
    central_name: Option<&'a [u8]>,
    flags: u16,
    method: u16,
    data: &'a [u8],
    size: u32,
    crc: u32,
    external: u32,
    extra: &'a [u8],
    offset: Option<u32>,
}

fn raw<'a>(name: &'a [u8], data: &'a [u8]) -> RawMember<'a> {
    let (size, crc) = (u32::try_from(data.len()).unwrap(), crc32(data));
    RawMember {
        name,
        central_name: None,
        flags: 0,
        method: 0,
        data,
        size,
        crc,
        external: 0,
        extra: b"",
        offset: None,
    }
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| {
            if c & 1 == 1 {
                c >> 1 ^ 0xedb8_8320
            } else {
                c >> 1
            }
        })
    })
}

impl RawZip {
    fn new() -> Self {
        let mut zip = Self::default();
        zip.put(&raw(b"mimetype", MIMETYPE.as_bytes()));
        zip
    }

    fn put(&mut self, m: &RawMember<'_>) {
        let offset = m.offset.unwrap_or(u32::try_from(self.bytes.len()).unwrap());
        let packed = u32::try_from(m.data.len()).unwrap();
        let common = |out: &mut Vec<u8>, name: &[u8]| {
            for value in [m.flags, m.method, 0, 0x21] {
                out.extend(value.to_le_bytes());
            }
            for value in [m.crc, packed, m.size] {
                out.extend(value.to_le_bytes());
            }
            out.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
            out.extend(u16::try_from(m.extra.len()).unwrap().to_le_bytes());
        };
        self.bytes.extend(b"PK\x03\x04\x14\x00");
        common(&mut self.bytes, m.name);
        self.bytes.extend_from_slice(m.name);
        self.bytes.extend_from_slice(m.extra);
        self.bytes.extend_from_slice(m.data);
        let name = m.central_name.unwrap_or(m.name);
        self.directory.extend(b"PK\x01\x02\x14\x03\x14\x00");
        common(&mut self.directory, name);
        self.directory.extend([0; 6]);
        self.directory.extend(m.external.to_le_bytes());
        self.directory.extend(offset.to_le_bytes());
        self.directory.extend_from_slice(name);
        self.directory.extend_from_slice(m.extra);
        self.count += 1;
    }

    fn finish(mut self) -> Vec<u8> {
        let start = u32::try_from(self.bytes.len()).unwrap();
        let size = u32::try_from(self.directory.len()).unwrap();
        self.bytes.append(&mut self.directory);
        self.bytes.extend(b"PK\x05\x06\0\0\0\0");
        for count in [self.count, self.count] {
            self.bytes.extend(count.to_le_bytes());
        }
        for value in [size, start] {
            self.bytes.extend(value.to_le_bytes());
        }
        self.bytes.extend([0, 0]);
        self.bytes
    }
}

fn zip_of(members: &[RawMember<'_>]) -> Vec<u8> {
    let mut zip = RawZip::new();
    for member in members {
        zip.put(member);
    }
    zip.finish()
}

#[test]
fn a_plain_foreign_container_is_read() {
    let bytes = zip_of(&[
        raw(b"a", b"x"),
        RawMember {
            external: 0o100_644 << 16,
            ..raw(b"b", b"y")
        },
    ]);
    assert_eq!(read_all(&bytes, Limits::default()).unwrap().len(), 3);
}

#[test]
fn hostile_containers_are_refused() {
    let a = raw(b"a", b"x");
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("twice", zip_of(&[a.clone(), a.clone()])),
        ("twice but for case", zip_of(&[a.clone(), raw(b"A", b"x")])),
        ("parent folder", zip_of(&[raw(b"../a", b"x")])),
        ("absolute", zip_of(&[raw(b"/a", b"x")])),
        ("backslash", zip_of(&[raw(b"a\\b", b"x")])),
        ("drive", zip_of(&[raw(b"c:a", b"x")])),
        ("folder", zip_of(&[raw(b"a/", b"")])),
        ("control character", zip_of(&[raw(b"a\n", b"x")])),
        ("not UTF-8", zip_of(&[raw(b"\xff", b"x")])),
        ("UTF-8 undeclared", zip_of(&[raw("截".as_bytes(), b"x")])),
        (
            "encrypted",
            zip_of(&[RawMember {
                flags: 1,
                ..a.clone()
            }]),
        ),
        (
            "masked",
            zip_of(&[RawMember {
                flags: 1 << 13,
                ..a.clone()
            }]),
        ),
        (
            "bzip2",
            zip_of(&[RawMember {
                method: 12,
                ..a.clone()
            }]),
        ),
        (
            "link",
            zip_of(&[RawMember {
                external: 0o120_777 << 16,
                ..a.clone()
            }]),
        ),
        (
            "two names",
            zip_of(&[RawMember {
                central_name: Some(b"b"),
                ..a.clone()
            }]),
        ),
        (
            "second name",
            zip_of(&[RawMember {
                extra: b"up\x01\0x",
                ..a.clone()
            }]),
        ),
        (
            "cut extra field",
            zip_of(&[RawMember {
                extra: b"up\x09\0x",
                ..a.clone()
            }]),
        ),
        (
            "wrong checksum",
            zip_of(&[RawMember {
                crc: 1,
                ..a.clone()
            }]),
        ),
        (
            "wrong size",
            zip_of(&[RawMember {
                size: 2,
                ..a.clone()
            }]),
        ),
        (
            "overlap",
            zip_of(&[
                a.clone(),
                RawMember {
                    offset: Some(0),
                    ..raw(b"b", b"x")
                },
            ]),
        ),
        (
            "points into data",
            zip_of(&[RawMember {
                offset: Some(1),
                ..a.clone()
            }]),
        ),
        (
            "prefix",
            [b"#!".to_vec(), zip_of(std::slice::from_ref(&a))].concat(),
        ),
        (
            "suffix",
            [zip_of(std::slice::from_ref(&a)), b"x".to_vec()].concat(),
        ),
        (
            "two containers",
            [zip_of(std::slice::from_ref(&a)), zip_of(&[raw(b"b", b"")])].concat(),
        ),
        ("no mimetype", {
            let mut zip = RawZip::default();
            zip.put(&a);
            zip.finish()
        }),
        ("another mimetype", {
            let mut zip = RawZip::default();
            zip.put(&raw(b"mimetype", b"application/zip"));
            zip.finish()
        }),
        ("empty", RawZip::default().finish()),
        ("nothing", Vec::new()),
        ("no zip", vec![0; 4096]),
    ];
    for (case, bytes) in cases {
        assert!(read_all(&bytes, Limits::default()).is_err(), "{case}");
    }
}

#[test]
fn a_gap_hides_nothing() {
    let mut zip = RawZip::new();
    zip.bytes.extend(b"hidden");
    zip.put(&raw(b"a", b"x"));
    assert!(read_all(&zip.finish(), Limits::default()).is_err());
    let mut zip = RawZip::new();
    zip.bytes.extend(b"hidden");
    assert!(read_all(&zip.finish(), Limits::default()).is_err());
}

#[test]
fn bombs_are_refused() {
    let mut writer = ContainerWriter::new(Vec::new(), AT).unwrap();
    let mut zeros = std::io::repeat(0).take(64 << 20);
    writer
        .add_reader("zeros", Some(64 << 20), Packing::Deflated, &mut zeros)
        .unwrap();
    let bytes = writer.finish().unwrap();
    let tight = Limits {
        ratio_max: 50,
        ..Limits::default()
    };
    let small = Limits {
        total_bytes_max: 1 << 20,
        ..Limits::default()
    };
    for limits in [tight, small] {
        let opened = ContainerReader::open(Cursor::new(&bytes), limits);
        assert!(matches!(opened.err(), Some(Error::TooLarge { .. })));
    }
    let in_memory = read_all(&bytes, Limits::default());
    assert!(
        matches!(in_memory, Err(Error::TooLarge { .. })),
        "read as a whole"
    );

    // A member that unpacks to more than its header declares is stopped where the header ends.
    let deflated = {
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
        encoder.finish().unwrap()
    };
    let liar = RawMember {
        method: 8,
        size: 10,
        ..raw(b"liar", &deflated)
    };
    let bytes = zip_of(&[liar]);
    let mut reader = ContainerReader::open(Cursor::new(&bytes), Limits::default()).unwrap();
    let mut out = Vec::new();
    assert!(
        reader
            .stream("liar")
            .unwrap()
            .read_to_end(&mut out)
            .is_err()
    );
    assert!(out.len() < 1 << 18, "{}", out.len());
}
