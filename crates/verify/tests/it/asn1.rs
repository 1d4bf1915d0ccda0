//! DER taken apart and put together again, to make what no honest program makes.

/// One element: primitive contents, or elements inside.
#[derive(Clone, Debug)]
pub enum Node {
    Primitive(u8, Vec<u8>),
    Constructed(u8, Vec<Node>),
}

pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;
pub const INTEGER: u8 = 0x02;
pub const BIT_STRING: u8 = 0x03;
pub const OCTET_STRING: u8 = 0x04;
pub const CONTEXT_0: u8 = 0xa0;
const CONSTRUCTED: u8 = 0x20;

impl Node {
    pub fn parse(der: &[u8]) -> Self {
        let (node, rest) = Self::take(der);
        assert!(rest.is_empty());
        node
    }

    fn take(der: &[u8]) -> (Self, &[u8]) {
        let (tag, first) = (der[0], usize::from(der[1]));
        let (length, header) = if first < 0x80 {
            (first, 2)
        } else {
            let bytes = &der[2..2 + (first & 0x7f)];
            let length = bytes
                .iter()
                .fold(0, |all, byte| all << 8 | usize::from(*byte));
            (length, 2 + bytes.len())
        };
        let (contents, rest) = der[header..].split_at(length);
        if tag & CONSTRUCTED == 0 {
            return (Self::Primitive(tag, contents.to_vec()), rest);
        }
        let (mut inside, mut left) = (Vec::new(), contents);
        while !left.is_empty() {
            let (node, after) = Self::take(left);
            inside.push(node);
            left = after;
        }
        (Self::Constructed(tag, inside), rest)
    }

    pub fn der(&self) -> Vec<u8> {
        let (tag, contents) = match self {
            Self::Primitive(tag, contents) => (*tag, contents.clone()),
            Self::Constructed(tag, inside) => {
                (*tag, inside.iter().flat_map(Self::der).collect::<Vec<u8>>())
            }
        };
        let mut der = vec![tag];
        match contents.len() {
            length @ 0..0x80 => der.push(length as u8),
            length => {
                let bytes: Vec<u8> = length
                    .to_be_bytes()
                    .into_iter()
                    .skip_while(|b| *b == 0)
                    .collect();
                der.push(0x80 | bytes.len() as u8);
                der.extend(bytes);
            }
        }
        der.extend(contents);
        der
    }

    /// Elements inside.
    pub fn inside(&mut self) -> &mut Vec<Self> {
        match self {
            Self::Constructed(_, inside) => inside,
            Self::Primitive(tag, _) => unreachable!("{tag} is primitive"),
        }
    }

    /// The element reached by these places.
    pub fn at(&mut self, path: &[usize]) -> &mut Self {
        path.iter().fold(self, |node, at| &mut node.inside()[*at])
    }

    /// Puts another primitive in the place of every one with these contents; says how many.
    pub fn replace(&mut self, from: &[u8], to: &[u8]) -> usize {
        match self {
            Self::Primitive(_, contents) if contents == from => {
                *contents = to.to_vec();
                1
            }
            Self::Primitive(..) => 0,
            Self::Constructed(_, inside) => inside.iter_mut().map(|n| n.replace(from, to)).sum(),
        }
    }
}

/// `SIGNED{}` of X.509: what is signed, the algorithm that its own field names, and the signature.
pub fn signed(
    to_be_signed: &Node,
    algorithm: &Node,
    key: &dyn probity_pki::keys::Signer,
) -> Vec<u8> {
    #[expect(clippy::disallowed_methods, reason = "forgers do not lint")]
    let signature = key.sign(&to_be_signed.der()).unwrap();
    let bits = [vec![0], signature].concat();
    let parts = vec![
        to_be_signed.clone(),
        algorithm.clone(),
        Node::Primitive(BIT_STRING, bits),
    ];
    Node::Constructed(SEQUENCE, parts).der()
}

#[test]
fn nothing_is_lost_on_the_way() {
    let world = crate::fixture::World::new();
    for der in [world.tsa.certificate.der(), world.root.certificate.der()] {
        assert_eq!(Node::parse(der).der(), der);
    }
}
