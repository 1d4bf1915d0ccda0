//! Extensions of certificates (RFC 5280 4.2).

use const_oid::ObjectIdentifier;
use der::asn1::{Ia5String, Null, OctetString};
use der::{Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::certpolicy::PolicyInformation;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{AccessDescription, AuthorityKeyIdentifier, BasicConstraints, KeyUsage};

use super::profile::{Demands, criticality};
use super::{CertificateContext, Findings, Rule, rules};
use crate::x509::Profile;
use crate::{canonical, oid};

pub(super) fn lint(list: &[Extension], context: &CertificateContext<'_>, findings: &mut Findings) {
    let profile = context.profile;
    known(list, &|oid| criticality(oid, profile), findings);
    let mut all = Extensions { list, findings };
    let demands = Demands::of(profile);
    all.basic_constraints(&demands);
    all.key_usages(&demands);
    all.key_identifiers(context);
    all.distribution_points(context);
    all.information_access(context);
    all.policies(&demands, context);
    all.no_check(profile);
    all.instruction(context);
}

/// None twice, none unknown and critical, each critical or not as it must be.
pub(super) fn known(
    list: &[Extension],
    criticality: &dyn Fn(&ObjectIdentifier) -> Option<bool>,
    findings: &mut Findings,
) {
    for (at, extension) in list.iter().enumerate() {
        let oid = &extension.extn_id;
        let before = list.get(..at).unwrap_or_default();
        if before.iter().any(|other| other.extn_id == *oid) {
            findings.add(&rules::EXTENSION_DUPLICATE, format!("{oid} twice"));
        }
        match criticality(oid) {
            Some(expected) if expected != extension.critical => {
                findings.add(&rules::EXTENSION_CRITICALITY, format!("{oid}"));
            }
            Some(_) => {}
            None if extension.critical => {
                findings.add(&rules::EXTENSION_UNKNOWN_CRITICAL, format!("{oid}"));
            }
            None => findings.add(&rules::EXTENSION_UNKNOWN, format!("{oid}")),
        }
    }
}

/// The first extension of this kind, decoded; a value that is not DER of its type is noted.
pub(super) fn value<T>(
    list: &[Extension],
    oid: ObjectIdentifier,
    rule: &'static Rule,
    findings: &mut Findings,
) -> Option<T>
where
    T: for<'a> Decode<'a, Error = der::Error> + Encode,
{
    let extension = list.iter().find(|extension| extension.extn_id == oid)?;
    let bytes = extension.extn_value.as_bytes();
    let decoded = T::from_der(bytes).ok().filter(|value| {
        canonical::check_own(bytes).is_ok() && value.to_der().is_ok_and(|again| again == bytes)
    });
    if decoded.is_none() {
        findings.add(rule, format!("{oid} is not DER of its type"));
    }
    decoded
}

struct Extensions<'a, 'f> {
    list: &'a [Extension],
    findings: &'f mut Findings,
}

impl Extensions<'_, '_> {
    fn has(&self, oid: ObjectIdentifier) -> bool {
        self.list.iter().any(|extension| extension.extn_id == oid)
    }

    fn get<T>(&mut self, oid: ObjectIdentifier) -> Option<T>
    where
        T: for<'a> Decode<'a, Error = der::Error> + Encode,
    {
        value(self.list, oid, &rules::EXTENSION_VALUE, self.findings)
    }

    /// Notes a missing extension; a broken one is noted already.
    fn demand<T>(&mut self, oid: ObjectIdentifier, rule: &'static Rule) -> Option<T>
    where
        T: for<'a> Decode<'a, Error = der::Error> + Encode,
    {
        let there = self.has(oid);
        self.findings.require(rule, there, "missing");
        self.get(oid)
    }

    fn basic_constraints(&mut self, demands: &Demands) {
        let rule = &rules::BASIC_CONSTRAINTS;
        let found: Option<BasicConstraints> = match demands.path_length {
            Some(_) => self.demand(oid::BASIC_CONSTRAINTS, rule),
            None => self.get(oid::BASIC_CONSTRAINTS),
        };
        if let Some(BasicConstraints {
            ca,
            path_len_constraint,
        }) = found
        {
            self.findings.require(
                rule,
                ca == demands.path_length.is_some() && path_len_constraint == demands.path_length,
                "not the profile's",
            );
        }
    }

    fn key_usages(&mut self, demands: &Demands) {
        let rule = &rules::KEY_USAGE;
        if let Some(KeyUsage(usage)) = self.demand(oid::KEY_USAGE, rule) {
            let expected = usage == demands.key_usage;
            self.findings
                .require(rule, expected, "not the profile's bits");
        }
        let rule = &rules::EXTENDED_KEY_USAGE;
        if demands.extended_key_usage.is_empty() {
            let there = self.has(oid::EXTENDED_KEY_USAGE);
            return self.findings.require(rule, !there, "in a CA's certificate");
        }
        if let Some(purposes) = self.demand::<Vec<ObjectIdentifier>>(oid::EXTENDED_KEY_USAGE, rule)
        {
            let expected = purposes == demands.extended_key_usage;
            self.findings
                .require(rule, expected, "not the profile's purposes");
        }
    }

    fn key_identifiers(&mut self, context: &CertificateContext<'_>) {
        let rule = &rules::SUBJECT_KEY_ID;
        let own: Option<OctetString> = self.demand(oid::SUBJECT_KEY_IDENTIFIER, rule);
        let own = own.map(|id| id.as_bytes().to_vec());
        if let Some(id) = &own {
            let holds = (1..=64).contains(&id.len());
            self.findings.require(rule, holds, "not 1 to 64 octets");
        }
        let rule = &rules::AUTHORITY_KEY_ID;
        let expected = match context.issuer {
            Some(issuer) => issuer.subject_key_id().map(<[u8]>::to_vec),
            None => own,
        };
        let named: Option<AuthorityKeyIdentifier> =
            self.demand(oid::AUTHORITY_KEY_IDENTIFIER, rule);
        if let Some(named) = named {
            let key = named.key_identifier.map(|id| id.as_bytes().to_vec());
            let alone = named.authority_cert_issuer.is_none()
                && named.authority_cert_serial_number.is_none();
            let same = key.is_some() && key == expected && alone;
            self.findings
                .require(rule, same, "not the issuer's key identifier");
        }
    }

    fn distribution_points(&mut self, context: &CertificateContext<'_>) {
        let rule = &rules::CRL_DISTRIBUTION_POINTS;
        let points: Option<Vec<DistributionPoint>> = self.get(oid::CRL_DISTRIBUTION_POINTS);
        let Some(points) = points else {
            let there = self.has(oid::CRL_DISTRIBUTION_POINTS);
            let wanted = context.addresses.crl.is_some();
            self.findings
                .require(rule, there || !wanted, "missing, though configured");
            // A root is not revoked by its own list; a responder's status is not checked.
            let needless = matches!(context.profile, Profile::RootCa | Profile::OcspResponder);
            let rule = &rules::CRL_DISTRIBUTION_POINTS_MISSING;
            return self
                .findings
                .require(rule, there || wanted || needless, "missing");
        };
        // RFC 5280 4.2.1.13: a list that speaks for all reasons, of the issuer itself.
        let urls: Vec<_> = points.iter().map(full_name).collect();
        let expected = match (urls.as_slice(), context.addresses.crl.as_deref()) {
            ([Some(url)], Some(wanted)) => *url == wanted && is_http(url),
            _ => false,
        };
        self.findings
            .require(rule, expected, "not the one http address configured");
    }

    fn information_access(&mut self, context: &CertificateContext<'_>) {
        let rule = &rules::AUTHORITY_INFO_ACCESS;
        let access: Option<Vec<AccessDescription>> = self.get(oid::AUTHORITY_INFO_ACCESS);
        let there = self.has(oid::AUTHORITY_INFO_ACCESS);
        let found = access.iter().flatten();
        let found: Vec<_> = found
            .map(|access| (access.access_method, uri(&access.access_location)))
            .collect();
        let wanted = [
            (oid::AD_OCSP, context.addresses.ocsp.as_deref()),
            (oid::AD_CA_ISSUERS, context.addresses.ca_issuers.as_deref()),
        ];
        let wanted = wanted.into_iter().filter(|(_, url)| url.is_some());
        let expected = found.iter().copied().eq(wanted);
        let all_http = found.iter().all(|(_, url)| url.is_some_and(is_http));
        let empty = access.as_ref().is_some_and(Vec::is_empty);
        // A value that does not decode is noted already.
        let holds = (expected && all_http && !empty) || (there && access.is_none());
        self.findings
            .require(rule, holds, "not the http addresses configured");
        let subscriber = matches!(context.profile, Profile::Event | Profile::Seal);
        let issuer = found
            .iter()
            .any(|(method, _)| *method == oid::AD_CA_ISSUERS);
        let rule = &rules::AUTHORITY_INFO_ACCESS_MISSING;
        self.findings
            .require(rule, issuer || !subscriber, "no id-ad-caIssuers");
    }

    fn policies(&mut self, demands: &Demands, context: &CertificateContext<'_>) {
        let rule = &rules::CERTIFICATE_POLICIES;
        let found = self.demand::<Vec<PolicyInformation>>(oid::CERTIFICATE_POLICIES, rule);
        let Some(policies) = found else { return };
        let [policy] = policies.as_slice() else {
            return self.findings.add(rule, "not one policy");
        };
        let named = policy.policy_identifier == demands.policy;
        self.findings
            .require(rule, named, "not the profile's policy");
        let qualifiers = policy.policy_qualifiers.iter().flatten();
        let statements: Vec<_> = qualifiers
            .filter(|qualifier| qualifier.policy_qualifier_id == oid::QUALIFIER_CPS)
            .map(|qualifier| qualifier.qualifier.as_ref()?.decode_as::<Ia5String>().ok())
            .collect();
        let expected = match (statements.as_slice(), context.addresses.cps.as_deref()) {
            ([], None) => true,
            ([Some(url)], Some(wanted)) => url.as_str() == wanted && is_http(wanted),
            _ => false,
        };
        self.findings
            .require(rule, expected, "not the practice statement configured");
    }

    fn no_check(&mut self, profile: Profile) {
        let rule = &rules::OCSP_NO_CHECK;
        if profile == Profile::OcspResponder {
            self.demand::<Null>(oid::OCSP_NO_CHECK, rule);
        } else {
            let there = self.has(oid::OCSP_NO_CHECK);
            self.findings
                .require(rule, !there, "only in a responder's certificate");
        }
    }

    fn instruction(&mut self, context: &CertificateContext<'_>) {
        let names: Option<Vec<GeneralName>> = self.get(oid::SUBJECT_ALT_NAME);
        if let Some(names) = names {
            let expected = context.instruction.map(|text| format!("urn:uuid:{text}"));
            let holds = matches!(names.as_slice(), [name] if uri(name) == expected.as_deref());
            let rule = &rules::SUBJECT_ALT_NAME;
            self.findings
                .require(rule, holds, "not the instruction alone");
        }
        let rule = &rules::INSTRUCTION;
        let bound: Option<String> = self.get(oid::INSTRUCTION);
        let holds = bound.as_deref() == context.instruction;
        self.findings.require(rule, holds, "not the instruction");
        let is_event = context.profile == Profile::Event;
        self.findings.require(
            rule,
            is_event || bound.is_none(),
            "only in an event certificate",
        );
    }
}

fn full_name(point: &DistributionPoint) -> Option<&str> {
    match (&point.distribution_point, &point.reasons, &point.crl_issuer) {
        (Some(DistributionPointName::FullName(names)), None, None) => match names.as_slice() {
            [name] => uri(name),
            _ => None,
        },
        _ => None,
    }
}

fn uri(name: &GeneralName) -> Option<&str> {
    match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()),
        _ => None,
    }
}

/// RFC 5280 4.2.1.13, 4.2.2.1: http, an absolute address with a host (RFC 3986 3).
fn is_http(url: &str) -> bool {
    let host = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))
        .and_then(|rest| rest.split(['/', '?', '#']).next());
    host.is_some_and(|host| !host.is_empty()) && url.bytes().all(|byte| byte.is_ascii_graphic())
}
