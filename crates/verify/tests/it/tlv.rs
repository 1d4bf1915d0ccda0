//! DER as a tree that can be changed anywhere and written again: an oracle and a knife.

/// One element (X.690 8.1). The tree of a file re-encodes to the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Identifier octets.
    pub tag: Vec<u8>,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Bytes(Vec<u8>),
    Elements(Vec<Element>),
    /// A string that holds one encoding itself, behind these octets (a BIT STRING's unused bits).
    Wrapped(Vec<u8>, Box<Element>),
}

const CONSTRUCTED: u8 = 0x20;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const DEPTH_MAX: usize = 64;

/// What is done to one element, everything around it kept consistent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    FlipFirstBit,
    FlipLastBit,
    Delete,
    Duplicate,
    AppendByte,
    OtherTag,
    /// Not DER: no length in front, end-of-contents octets behind (X.690 8.1.3.6).
    IndefiniteLength,
    /// Not DER: more length octets than needed (X.690 10.1).
    LongLength,
    /// The first of several goes to the end.
    Rotate,
}

impl Change {
    pub const ALL: [Self; 9] = [
        Self::FlipFirstBit,
        Self::FlipLastBit,
        Self::Delete,
        Self::Duplicate,
        Self::AppendByte,
        Self::OtherTag,
        Self::IndefiniteLength,
        Self::LongLength,
        Self::Rotate,
    ];
}

impl Element {
    /// Reads one element that fills `der`, by the rules of DER for tags and lengths; `None` if they
    /// are broken. With `unwrap`, strings that hold an encoding are opened too.
    pub fn parse(der: &[u8], unwrap: bool) -> Option<Self> {
        match Self::take(der, unwrap, 0)? {
            (element, []) => Some(element),
            _ => None,
        }
    }

    fn take(der: &[u8], unwrap: bool, depth: usize) -> Option<(Self, &[u8])> {
        if depth > DEPTH_MAX {
            return None;
        }
        let (tag, rest) = take_tag(der)?;
        let (length, rest) = take_length(rest)?;
        let (content, rest) = rest.split_at_checked(length)?;
        let content = if tag[0] & CONSTRUCTED == 0 {
            match unwrap.then(|| wrapped(tag, content, depth)).flatten() {
                Some((front, inner)) => Content::Wrapped(front.to_vec(), Box::new(inner)),
                None => Content::Bytes(content.to_vec()),
            }
        } else {
            let (mut elements, mut rest) = (Vec::new(), content);
            while !rest.is_empty() {
                let (element, after) = Self::take(rest, unwrap, depth + 1)?;
                elements.push(element);
                rest = after;
            }
            Content::Elements(elements)
        };
        let tag = tag.to_vec();
        Some((Self { tag, content }, rest))
    }

    /// Whether the contents keep the rules of DER too (X.690 8.3.2, 10.2, 11.1, 11.2, 11.6).
    pub fn is_der(&self) -> bool {
        match (self.tag.as_slice(), &self.content) {
            ([0x01], Content::Bytes(b)) => matches!(b.as_slice(), [0x00 | 0xff]),
            ([0x02 | 0x0a], Content::Bytes(b)) => match b.as_slice() {
                [] => false,
                [first, second, ..] => !matches!((first, second >> 7), (0x00, 0) | (0xff, 1)),
                [_] => true,
            },
            ([0x03], Content::Bytes(b)) => match b.as_slice() {
                [] => false,
                [unused] => *unused == 0,
                [unused, .., last] => *unused < 8 && last.trailing_zeros() >= u32::from(*unused),
            },
            ([0x05], Content::Bytes(b)) => b.is_empty(),
            (_, Content::Bytes(_)) => true,
            (_, Content::Wrapped(_, inner)) => inner.is_der(),
            (tag, Content::Elements(elements)) => {
                let universal = tag[0] >> 6 == 0;
                let sorted = tag != [SET] || elements.is_sorted_by_key(Self::encode);
                let kind = !universal || tag == [SEQUENCE] || tag == [SET];
                kind && sorted && elements.iter().all(Self::is_der)
            }
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        framed(&self.tag, &self.content.encode())
    }

    /// The paths of all elements below and with this one, children after parents.
    pub fn paths(&self) -> Vec<Vec<usize>> {
        let mut all = vec![Vec::new()];
        for (at, child) in self.children().iter().enumerate() {
            all.extend(child.paths().into_iter().map(|mut path| {
                path.insert(0, at);
                path
            }));
        }
        all
    }

    pub fn at(&self, path: &[usize]) -> Option<&Self> {
        match path {
            [] => Some(self),
            [first, rest @ ..] => self.children().get(*first)?.at(rest),
        }
    }

    /// Re-encodes with one element changed; `None` where the change means nothing.
    pub fn changed(&self, path: &[usize], change: Change) -> Option<Vec<u8>> {
        let [first, rest @ ..] = path else {
            return self.change(change);
        };
        let mut content = match &self.content {
            Content::Wrapped(front, _) => front.clone(),
            _ => Vec::new(),
        };
        for (at, child) in self.children().iter().enumerate() {
            if at == *first {
                content.extend(child.changed(rest, change)?);
            } else {
                content.extend(child.encode());
            }
        }
        Some(framed(&self.tag, &content))
    }

    fn change(&self, change: Change) -> Option<Vec<u8>> {
        let content = self.content.encode();
        let constructed = matches!(self.content, Content::Elements(_));
        Some(match change {
            Change::FlipFirstBit | Change::FlipLastBit => {
                let Content::Bytes(mut bytes) = self.content.clone() else {
                    return None;
                };
                match change {
                    Change::FlipFirstBit => *bytes.first_mut()? ^= 0x80,
                    _ => *bytes.last_mut()? ^= 1,
                }
                framed(&self.tag, &bytes)
            }
            Change::Delete => Vec::new(),
            Change::Duplicate => [self.encode(), self.encode()].concat(),
            Change::AppendByte => framed(&self.tag, &[content.as_slice(), &[0]].concat()),
            Change::OtherTag => {
                let mut tag = self.tag.clone();
                *tag.last_mut()? ^= 1;
                framed(&tag, &content)
            }
            Change::IndefiniteLength => {
                // A primitive string becomes a constructed one of a single piece.
                let inner = if constructed { content } else { self.encode() };
                let tag = self.tag.first()? | CONSTRUCTED;
                [&[tag, 0x80], inner.as_slice(), &[0, 0]].concat()
            }
            Change::LongLength => {
                let length = u32::try_from(content.len()).ok()?.to_be_bytes();
                [self.tag.as_slice(), &[0x84], &length, &content].concat()
            }
            Change::Rotate => {
                let Content::Elements(mut elements) = self.content.clone() else {
                    return None;
                };
                if elements.is_empty() {
                    return None;
                }
                elements.rotate_left(1);
                let rotated = Content::Elements(elements);
                if rotated == self.content {
                    return None;
                }
                framed(&self.tag, &rotated.encode())
            }
        })
    }

    pub fn children(&self) -> &[Self] {
        match &self.content {
            Content::Bytes(_) => &[],
            Content::Elements(elements) => elements,
            Content::Wrapped(_, inner) => std::slice::from_ref(inner),
        }
    }
}

impl Content {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Elements(elements) => elements.iter().flat_map(Element::encode).collect(),
            Self::Wrapped(front, inner) => [front.clone(), inner.encode()].concat(),
        }
    }
}

fn take_tag(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = der.first()?;
    if first & 0x1f != 0x1f {
        return Some(der.split_at(1));
    }
    // X.690 8.1.2.4: base 128, no leading zero, and only for numbers from 31 on.
    let more = der
        .iter()
        .skip(1)
        .take_while(|byte| *byte & 0x80 != 0)
        .count();
    let minimal = der.get(1)? & 0x7f != 0 && (more > 0 || *der.get(1)? >= 31);
    der.split_at_checked(2 + more).filter(|_| minimal)
}

fn take_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    if *first < 0x80 {
        return Some((usize::from(*first), rest));
    }
    let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
    if octets.len() > 4 || *octets.first()? == 0 {
        return None;
    }
    let length = octets
        .iter()
        .fold(0, |n, octet| n << 8 | usize::from(*octet));
    (length >= 0x80).then_some((length, rest))
}

/// An OCTET STRING or BIT STRING around one encoding.
fn wrapped<'a>(tag: &[u8], content: &'a [u8], depth: usize) -> Option<(&'a [u8], Element)> {
    let front = match (tag, content) {
        ([0x04], _) => 0,
        ([0x03], [0, ..]) => 1,
        _ => return None,
    };
    let (front, inner) = content.split_at_checked(front)?;
    // Anything shorter may be chance.
    if inner.len() < 4 || ![0x30, 0x03, 0x04].contains(inner.first()?) {
        return None;
    }
    match Element::take(inner, true, depth + 1)? {
        (element, []) => Some((front, element)),
        _ => None,
    }
}

pub fn framed(tag: &[u8], content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let octets = length.to_be_bytes();
    let octets = &octets[octets.iter().take_while(|octet| **octet == 0).count()..];
    let mut out = tag.to_vec();
    if length < 0x80 {
        out.push(length as u8);
    } else {
        out.push(0x80 | octets.len() as u8);
        out.extend_from_slice(octets);
    }
    out.extend_from_slice(content);
    out
}
