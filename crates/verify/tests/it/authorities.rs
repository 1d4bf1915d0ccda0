//! What an authority may certify.

use probity_verify::{CheckName, Overall};

use crate::asn1::{Node, SEQUENCE};
use crate::crafted::{
    OID, event, extension, extensions, is_extension, judged, recertified, refused, signed_by,
};
use crate::fixture::{World, failed};

/// RFC 5280 6.1.3 d: an authority certifies under the policies that it was given.
#[test]
fn an_authority_without_the_policy_certifies_no_evidence() {
    const POLICIES: [u8; 3] = [0x55, 0x1d, 0x20];
    let world = World::new();
    let issuing = |policy: &[u8]| {
        recertified(&world.issuing.certificate, &world.root.key, |tbs| {
            let one = Node::Constructed(SEQUENCE, vec![Node::Primitive(OID, policy.to_vec())]);
            let list = extensions(tbs);
            list.retain(|node| !is_extension(node, &POLICIES));
            list.push(extension(
                &POLICIES,
                false,
                &Node::Constructed(SEQUENCE, vec![one]),
            ));
        })
    };
    let judged_under = |policy: &[u8]| {
        let (holder, beside) = (event(&world), [issuing(policy)]);
        judged(&world, |s, m| signed_by(&world, s, m, &holder, &beside))
    };
    // 1.3.6.1.4.1.32473.20.3.1, the policy of event certificates.
    let own = [0x2b, 6, 1, 4, 1, 0x81, 0xfd, 0x59, 20, 3, 1];
    let good = judged_under(&own);
    assert_eq!(good.overall, Overall::Valid, "{:?}", failed(&good));
    for other in [
        &[0x2b, 6, 1, 4, 1, 0x81, 0xfd, 0x59, 20, 3, 2][..],
        &[0x2a, 3],
    ] {
        let verdict = judged_under(other);
        let said = "the authority may not certify under this policy";
        refused(&verdict, &[CheckName::KeyUsage], said);
    }
}
