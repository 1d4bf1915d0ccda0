//! Elements by their places, to make what no honest program makes; `tlv` reads and writes them.

use crate::tlv::{Content, Element, framed};

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

impl Node {
    pub fn parse(der: &[u8]) -> Self {
        Element::parse(der, false).unwrap().into()
    }

    pub fn der(&self) -> Vec<u8> {
        match self {
            Self::Primitive(tag, contents) => framed(&[*tag], contents),
            Self::Constructed(tag, inside) => {
                let contents: Vec<u8> = inside.iter().flat_map(Self::der).collect();
                framed(&[*tag], &contents)
            }
        }
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

impl From<Element> for Node {
    fn from(element: Element) -> Self {
        let [tag] = element.tag[..] else {
            unreachable!("nothing here has a tag of several octets")
        };
        match element.content {
            Content::Bytes(bytes) => Self::Primitive(tag, bytes),
            Content::Elements(inside) => {
                Self::Constructed(tag, inside.into_iter().map(Self::from).collect())
            }
            Content::Wrapped(..) => unreachable!("strings were not opened"),
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
