//! `ASiCManifest` (EN 319 162-1 clause 4.4.3.2 and annex A.4): what a signature covers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quick_xml::NsReader;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};

use crate::digest::HashAlgorithm;
use crate::{Error, Result};

/// Longest manifest that is read, in bytes.
pub const MANIFEST_BYTES_MAX: usize = 4 * 1024 * 1024;

const ASIC: &str = "http://uri.etsi.org/02918/v1.2.1#";
const DS: &str = "http://www.w3.org/2000/09/xmldsig#";

/// A manifest: the signature it belongs to and the members that signature covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Member that holds the signature over this manifest (`SigReference/@URI`).
    pub signature: String,
    /// `SigReference/@MimeType`.
    pub signature_mime_type: Option<String>,
    /// One reference for each covered member.
    pub references: Vec<DataObjectReference>,
}

/// One covered member: its name, media type and digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataObjectReference {
    /// Member name; percent-encoded as a URI only inside the XML.
    pub member: String,
    pub mime_type: Option<String>,
    pub algorithm: HashAlgorithm,
    pub digest: Vec<u8>,
}

impl Manifest {
    /// The reference for a member.
    pub fn reference(&self, member: &str) -> Option<&DataObjectReference> {
        self.references
            .iter()
            .find(|reference| reference.member == member)
    }

    /// The one byte form this crate gives a manifest.
    ///
    /// # Errors
    /// [`Error::Malformed`] when there is no reference, one stands twice, or a media type holds
    /// characters that would need escaping.
    pub fn to_xml(&self) -> Result<Vec<u8>> {
        self.check()?;
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <asic:ASiCManifest xmlns:asic=\"{ASIC}\" xmlns:ds=\"{DS}\">\n\
             <asic:SigReference URI=\"{}\"{}/>\n",
            to_uri(&self.signature),
            mime_attribute(self.signature_mime_type.as_deref()),
        );
        for reference in &self.references {
            xml.push_str(&format!(
                "<asic:DataObjectReference URI=\"{}\"{}><ds:DigestMethod Algorithm=\"{}\"/>\
                 <ds:DigestValue>{}</ds:DigestValue></asic:DataObjectReference>\n",
                to_uri(&reference.member),
                mime_attribute(reference.mime_type.as_deref()),
                algorithm_uri(reference.algorithm),
                STANDARD.encode(&reference.digest),
            ));
        }
        xml.push_str("</asic:ASiCManifest>\n");
        Ok(xml.into_bytes())
    }

    /// Reads a manifest. Only the elements and attributes of the schema's core are known: no
    /// document type, entity, processing instruction, CDATA, comment or extension is accepted.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Malformed`], or [`Error::Unsupported`] for a digest algorithm
    /// that is not accepted.
    pub fn parse(xml: &[u8]) -> Result<Self> {
        if xml.len() > MANIFEST_BYTES_MAX {
            return Err(Error::TooLarge {
                what: "manifest",
                limit: MANIFEST_BYTES_MAX as u64,
            });
        }
        let text = core::str::from_utf8(xml).map_err(|_| bad("not UTF-8"))?;
        let mut walk = Walk::start(text);
        let mut root = walk.open()?.ok_or_else(|| bad("no root element"))?;
        root.expect(ASIC, "ASiCManifest")?.finish()?;
        let mut signature = walk.open()?.ok_or_else(|| bad("no SigReference"))?;
        signature.expect(ASIC, "SigReference")?;
        let manifest_signature = from_uri(&signature.required("URI")?)?;
        let signature_mime_type = signature.take("MimeType");
        signature.finish()?;
        walk.expect_close()?;

        let mut references = Vec::new();
        while let Some(element) = walk.open()? {
            references.push(walk.reference(element)?);
        }
        walk.expect_end()?;
        let manifest = Self {
            signature: manifest_signature,
            signature_mime_type,
            references,
        };
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<()> {
        if self.references.is_empty() {
            return Err(bad("no DataObjectReference"));
        }
        let mut members = std::collections::BTreeSet::new();
        for reference in &self.references {
            if !members.insert(reference.member.as_str()) {
                return Err(bad(format!("{:?} is referenced twice", reference.member)));
            }
            if reference.digest.len() != reference.algorithm.digest_bytes() {
                return Err(bad(format!(
                    "digest of {:?} has a wrong length",
                    reference.member
                )));
            }
        }
        let mime_types = self.references.iter().map(|r| &r.mime_type);
        for mime_type in mime_types.chain([&self.signature_mime_type]).flatten() {
            let plain = |b: u8| b.is_ascii_graphic() && !b"\"'&<>".contains(&b);
            if mime_type.is_empty() || !mime_type.bytes().all(plain) {
                return Err(bad(format!("media type {mime_type:?}")));
            }
        }
        Ok(())
    }
}

fn bad(reason: impl ToString) -> Error {
    Error::malformed("manifest", reason)
}

fn mime_attribute(mime_type: Option<&str>) -> String {
    mime_type
        .map(|m| format!(" MimeType=\"{m}\""))
        .unwrap_or_default()
}

/// Algorithm identifiers of XML Encryption 1.1 and RFC 9231.
const fn algorithm_uri(algorithm: HashAlgorithm) -> &'static str {
    match algorithm {
        HashAlgorithm::Sha256 => "http://www.w3.org/2001/04/xmlenc#sha256",
        HashAlgorithm::Sha384 => "http://www.w3.org/2001/04/xmldsig-more#sha384",
        HashAlgorithm::Sha512 => "http://www.w3.org/2001/04/xmlenc#sha512",
        HashAlgorithm::Sha3_256 => "http://www.w3.org/2007/05/xmldsig-more#sha3-256",
        HashAlgorithm::Sha3_384 => "http://www.w3.org/2007/05/xmldsig-more#sha3-384",
        HashAlgorithm::Sha3_512 => "http://www.w3.org/2007/05/xmldsig-more#sha3-512",
    }
}

/// A member name as a relative URI reference (RFC 3986): everything but unreserved characters and
/// `/` is percent-encoded, byte by byte.
fn to_uri(member: &str) -> String {
    let mut uri = String::with_capacity(member.len());
    for byte in member.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

/// The inverse of [`to_uri`], for any correct percent-encoding.
fn from_uri(uri: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(uri.len());
    let mut rest = uri.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err(bad(format!("URI {uri:?} is not percent-encoded correctly")));
        };
        // Two hexadecimal digits always fit a byte.
        bytes.push((high * 16 + low) as u8);
    }
    let member = String::from_utf8(bytes).map_err(|_| bad("a URI is not UTF-8"))?;
    if member.is_empty() || member.chars().any(char::is_control) {
        return Err(bad("an empty URI or one with control characters"));
    }
    Ok(member)
}

/// Walks the document element by element; what is not an element, its attributes or the text of
/// `DigestValue` is refused.
struct Walk<'x> {
    reader: NsReader<&'x [u8]>,
    depth: usize,
}

struct Element {
    namespace: Option<String>,
    name: String,
    attributes: Vec<(String, String)>,
}

enum Step {
    Open(Element),
    Text(String),
    Close,
    End,
}

impl<'x> Walk<'x> {
    fn start(text: &'x str) -> Self {
        let mut reader = NsReader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        Self { reader, depth: 0 }
    }

    fn step(&mut self) -> Result<Step> {
        loop {
            let at = self.reader.buffer_position();
            let (namespace, event) = self.reader.read_resolved_event().map_err(bad)?;
            match event {
                Event::Decl(_) if at == 0 => {}
                Event::Start(start) => {
                    self.depth += 1;
                    return Element::read(&namespace, &start).map(Step::Open);
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    return Ok(Step::Close);
                }
                Event::Eof if self.depth == 0 => return Ok(Step::End),
                Event::Text(text) => {
                    return Ok(Step::Text(text.decode().map_err(bad)?.into_owned()));
                }
                _ => return Err(bad("only elements and text are accepted")),
            }
        }
    }

    /// The next child element, or `None` at the end tag of the current one.
    fn open(&mut self) -> Result<Option<Element>> {
        loop {
            match self.step()? {
                Step::Open(element) => return Ok(Some(element)),
                Step::Text(text) if text.trim_ascii().is_empty() => {}
                Step::Text(_) => return Err(bad("text between elements")),
                Step::Close => return Ok(None),
                Step::End => return Err(bad("ends too early")),
            }
        }
    }

    fn expect_close(&mut self) -> Result<()> {
        match self.open()? {
            None => Ok(()),
            Some(element) => Err(bad(format!("{} where nothing may be", element.name))),
        }
    }

    fn expect_end(&mut self) -> Result<()> {
        loop {
            match self.step()? {
                Step::Text(text) if text.trim_ascii().is_empty() => {}
                Step::End => return Ok(()),
                _ => return Err(bad("something follows the root element")),
            }
        }
    }

    /// The text of the current element, up to and with its end tag.
    fn text(&mut self) -> Result<String> {
        let mut all = String::new();
        loop {
            match self.step()? {
                Step::Text(text) => all.push_str(&text),
                Step::Close => return Ok(all),
                Step::Open(_) | Step::End => return Err(bad("an element where text must be")),
            }
        }
    }

    fn reference(&mut self, mut element: Element) -> Result<DataObjectReference> {
        element.expect(ASIC, "DataObjectReference")?;
        let member = from_uri(&element.required("URI")?)?;
        let mime_type = element.take("MimeType");
        element.finish()?;
        let mut method = self.open()?.ok_or_else(|| bad("no DigestMethod"))?;
        method.expect(DS, "DigestMethod")?;
        let uri = method.required("Algorithm")?;
        method.finish()?;
        self.expect_close()?;
        let algorithm = HashAlgorithm::ALL
            .into_iter()
            .find(|known| algorithm_uri(*known) == uri)
            .ok_or_else(|| Error::unsupported("digest algorithm", &uri))?;
        let mut value = self.open()?.ok_or_else(|| bad("no DigestValue"))?;
        value.expect(DS, "DigestValue")?.finish()?;
        let digest = STANDARD.decode(self.text()?.trim_ascii()).map_err(bad)?;
        self.expect_close()?;
        Ok(DataObjectReference {
            member,
            mime_type,
            algorithm,
            digest,
        })
    }
}

impl Element {
    fn read(namespace: &ResolveResult<'_>, start: &BytesStart<'_>) -> Result<Self> {
        let namespace = match namespace {
            ResolveResult::Bound(Namespace(uri)) => Some(text_of(uri)?),
            ResolveResult::Unbound => None,
            ResolveResult::Unknown(_) => return Err(bad("a namespace prefix is not declared")),
        };
        let name = text_of(start.local_name().as_ref())?;
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(bad)?;
            let key = text_of(attribute.key.as_ref())?;
            // Namespace declarations were already resolved by the reader.
            if key == "xmlns" || key.starts_with("xmlns:") {
                continue;
            }
            let value = text_of(&attribute.value)?;
            // Nothing the format carries needs a reference: URIs are percent-encoded.
            if value.contains(['&', '<']) {
                return Err(bad("a character or entity reference in an attribute"));
            }
            attributes.push((key, value));
        }
        Ok(Self {
            namespace,
            name,
            attributes,
        })
    }

    fn expect(&mut self, namespace: &str, name: &str) -> Result<&mut Self> {
        if self.namespace.as_deref() == Some(namespace) && self.name == name {
            return Ok(self);
        }
        Err(bad(format!("expected {name}, found {}", self.name)))
    }

    fn take(&mut self, key: &str) -> Option<String> {
        let at = self.attributes.iter().position(|(name, _)| name == key)?;
        Some(self.attributes.swap_remove(at).1)
    }

    fn required(&mut self, key: &'static str) -> Result<String> {
        self.take(key)
            .ok_or_else(|| bad(format!("{} has no {key}", self.name)))
    }

    fn finish(&self) -> Result<()> {
        match self.attributes.first() {
            None => Ok(()),
            Some((key, _)) => Err(bad(format!("unknown attribute {key} on {}", self.name))),
        }
    }
}

fn text_of(bytes: &[u8]) -> Result<String> {
    core::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| bad("not UTF-8"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reference(member: &str) -> DataObjectReference {
        let algorithm = HashAlgorithm::Sha3_256;
        let digest = algorithm.digest(member.as_bytes());
        DataObjectReference {
            member: member.to_owned(),
            mime_type: Some("text/html".to_owned()),
            algorithm,
            digest,
        }
    }

    fn manifest(members: &[&str]) -> Manifest {
        Manifest {
            signature: "META-INF/signature001.p7s".to_owned(),
            signature_mime_type: Some(crate::asic::SIGNATURE_MIME_TYPE.to_owned()),
            references: members.iter().map(|m| reference(m)).collect(),
        }
    }

    #[test]
    fn round_trip_with_names_that_need_encoding() {
        let written = manifest(&[
            "statement.json",
            "artifacts/截图 1.png",
            "artifacts/a%b&c<d>\"'",
        ]);
        let xml = written.to_xml().unwrap();
        assert_eq!(Manifest::parse(&xml).unwrap(), written);
        assert_eq!(Manifest::parse(&xml).unwrap().to_xml().unwrap(), xml);
    }

    #[test]
    fn other_prefixes_and_layout_are_read() {
        let digest = STANDARD.encode(HashAlgorithm::Sha256.digest(b""));
        let xml = format!(
            "<ASiCManifest xmlns=\"{ASIC}\">\n  <SigReference URI='s'/>\n  <DataObjectReference \
             URI='a'>\n <d:DigestMethod xmlns:d=\"{DS}\" \
             Algorithm='http://www.w3.org/2001/04/xmlenc#sha256'></d:DigestMethod>\
             <d:DigestValue xmlns:d=\"{DS}\">\n{digest}\n</d:DigestValue>\
             </DataObjectReference></ASiCManifest>"
        );
        let read = Manifest::parse(xml.as_bytes()).unwrap();
        assert_eq!(read.references[0].algorithm, HashAlgorithm::Sha256);
        assert_eq!(read.signature_mime_type, None);
    }

    #[test]
    fn hostile_documents_are_refused() {
        let xml = String::from_utf8(manifest(&["a", "b"]).to_xml().unwrap()).unwrap();
        let changes = [
            ("<asic:ASiC", "<!DOCTYPE x [<!ENTITY e \"x\">]><asic:ASiC"),
            ("<asic:SigR", "<!-- c --><asic:SigR"),
            ("<asic:SigR", "<?pi x?><asic:SigR"),
            ("<asic:SigR", "<![CDATA[x]]><asic:SigR"),
            ("<asic:SigR", "text<asic:SigR"),
            ("<asic:SigR", "&#65;<asic:SigR"),
            ("URI=\"a\"", "URI=\"&#97;\""),
            ("URI=\"a\"", "URI=\"a\" URI=\"b\""),
            ("URI=\"a\"", "URI=\"a\" Extra=\"b\""),
            ("URI=\"a\"", "URI=\"%zz\""),
            ("URI=\"a\"", "URI=\"%00\""),
            ("URI=\"a\"", "URI=\"%ff\""),
            ("URI=\"a\"", "URI=\"b\""),
            ("URI=\"a\"", "URI=\"\""),
            ("sha3-256", "md5"),
            ("</ds:DigestValue>", "A</ds:DigestValue>"),
            ("</asic:ASiCManifest>", ""),
            ("</asic:ASiCManifest>", "</asic:ASiCManifest><x/>"),
            ("</asic:ASiCManifest>", "</asic:ASiCManifest>x"),
            (
                "</asic:DataObjectReference>",
                "<asic:X/></asic:DataObjectReference>",
            ),
            ("xmlns:ds=\"http", "xmlns:dd=\"http"),
            ("www.w3.org/2000/09/xmldsig#", "www.w3.org/2000/09/other#"),
        ];
        for (from, to) in changes {
            let changed = xml.replacen(from, to, 1);
            assert_ne!(changed, xml, "{from}");
            assert!(
                Manifest::parse(changed.as_bytes()).is_err(),
                "{from} -> {to}"
            );
        }
        assert!(Manifest::parse(&vec![b' '; MANIFEST_BYTES_MAX + 1]).is_err());
        assert!(Manifest::parse(b"").is_err());
        assert!(manifest(&[]).to_xml().is_err());
    }

    proptest! {
        #[test]
        fn any_name_survives(name in "[^\\x00-\\x1f\\x7f-\\u{9f}]{1,40}") {
            let written = manifest(&[&name]);
            prop_assert_eq!(Manifest::parse(&written.to_xml().unwrap()).unwrap(), written);
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0..400usize) {
            let _ = Manifest::parse(&bytes);
            let mut xml = manifest(&["a"]).to_xml().unwrap();
            let at = at % xml.len();
            xml.splice(at..at, bytes);
            let _ = Manifest::parse(&xml);
        }
    }
}
