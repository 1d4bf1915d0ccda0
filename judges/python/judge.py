"""Python's judges: rfc3161-client (tokens), pyHanko (CAdES), certvalidator (paths), asn1crypto (requests).

    judge.py ARTIFACTS

Prints one line for each case, tab-separated: judge, kind, group/name, expected, verdict, reason.
"""

import asyncio
import base64
import hashlib
import logging
import sys
import urllib.parse
import warnings
import xml.etree.ElementTree as ET
import zipfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

from asn1crypto import algos, cms, crl, csr, ocsp, pem, tsp, x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import load_pem_x509_certificate
from pyhanko.sign.validation.generic_cms import async_validate_detached_cms
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko_certvalidator import CertificateValidator, ValidationContext
from rfc3161_client import VerifierBuilder, decode_timestamp_response

ASIC = {"a": "http://uri.etsi.org/02918/v1.2.1#", "d": "http://www.w3.org/2000/09/xmldsig#"}
DIGESTS = {
    "http://www.w3.org/2001/04/xmlenc#sha256": hashlib.sha256,
    "http://www.w3.org/2001/04/xmlenc#sha512": hashlib.sha512,
    "http://www.w3.org/2007/05/xmldsig-more#sha3-256": hashlib.sha3_256,
    "http://www.w3.org/2007/05/xmldsig-more#sha3-512": hashlib.sha3_512,
}
SIGNING = KeyUsageConstraints(key_usage={"non_repudiation"})


class Refused(Exception):
    """A judge's verdict against a case, in its own words."""


def demand(holds, reason):
    if not holds:
        raise Refused(reason)


class Case:
    """One folder GROUP/accept|refuse/KIND/NAME with what is trusted in its group."""

    def __init__(self, artifacts, folder):
        self.folder = folder
        self.group, self.expected, self.kind, self.name = folder.relative_to(artifacts).parts
        self.trust = artifacts / self.group / "trust"

    def read(self, name):
        return (self.folder / name).read_bytes()

    def root(self):
        return certificate((self.trust / "root.pem").read_bytes())

    def issuing(self):
        return certificate((self.trust / "issuing.pem").read_bytes())

    def lists(self):
        names = ("root.crl", "issuing.crl")
        return [crl.CertificateList.load((self.trust / name).read_bytes()) for name in names]

    def context(self, lists, others=(), moment=None):
        """Nothing is fetched; a certificate without a current list is refused."""
        return ValidationContext(
            trust_roots=[self.root()],
            other_certs=list(others),
            crls=list(lists),
            moment=moment or datetime.now(timezone.utc),
            allow_fetching=False,
            revocation_mode="require",
            # A list made after the instant asked is as good, or better.
            retroactive_revinfo=True,
        )


def certificate(bytes_pem):
    return x509.Certificate.load(pem.unarmor(bytes_pem)[2])


def signed_data(der):
    info = cms.ContentInfo.load(der, strict=True)
    demand(info["content_type"].native == "signed_data", "no SignedData")
    return info["content"]


def revocation_lists(signed):
    return [one.chosen for one in signed["crls"] if isinstance(one.chosen, crl.CertificateList)]


def signing_moment(signed):
    """genTime of the time-stamp, or the signing time that the signer claims."""
    signer = signed["signer_infos"][0]
    for attribute in signer["unsigned_attrs"] or ():
        if attribute["type"].native == "signature_time_stamp_token":
            token = attribute["values"][0]["content"]
            return token["encap_content_info"]["content"].parsed["gen_time"].native
    for attribute in signer["signed_attrs"]:
        if attribute["type"].native == "signing_time":
            return attribute["values"][0].native
    raise Refused("no time")


def cades(case, der, content):
    signed = signed_data(der)
    certificates = [one.chosen for one in signed["certificates"]]
    lists = revocation_lists(signed)
    at = signing_moment(signed)
    context = case.context(lists, certificates, at)
    status = asyncio.run(
        async_validate_detached_cms(content, signed, context, key_usage_settings=SIGNING)
    )
    demand(status.bottom_line, status.summary())
    stamped = status.timestamp_validity
    return status.summary() + (f" at {stamped.timestamp.isoformat()}" if stamped else "")


def signature(case):
    return cades(case, case.read("signature.p7s"), case.read("content"))


def package(case):
    """Every signature, and every member's digest in its manifest."""
    with zipfile.ZipFile(case.folder / "package.asice") as container:
        names = container.namelist()
        demand(names[0] == "mimetype", "mimetype is not first")
        demand(container.read("mimetype") == b"application/vnd.etsi.asic-e+zip", "another mimetype")
        demand(container.testzip() is None, "a member is damaged")
        covered, said = {"mimetype"}, []
        for name in (n for n in names if n.startswith("META-INF/ASiCManifest")):
            manifest = container.read(name)
            root = ET.fromstring(manifest)
            signature_name = urllib.parse.unquote(root.find("a:SigReference", ASIC).get("URI"))
            for reference in root.findall("a:DataObjectReference", ASIC):
                member = urllib.parse.unquote(reference.get("URI"))
                method = DIGESTS[reference.find("d:DigestMethod", ASIC).get("Algorithm")]
                value = base64.b64decode(reference.find("d:DigestValue", ASIC).text)
                demand(method(container.read(member)).digest() == value, f"{member} differs")
                covered.add(member)
            said.append(cades(case, container.read(signature_name), manifest))
            covered |= {name, signature_name}
        demand(covered == set(names), f"not covered: {set(names) - covered}")
        demand(len(said) >= 2, f"{len(said)} signatures")
        return "; ".join(said)


def path(case):
    leaf = certificate(case.read("certificate.pem"))
    context = case.context(case.lists())
    validator = CertificateValidator(leaf, [case.issuing()], validation_context=context)
    found = asyncio.run(validator.async_validate_usage(set()))
    return f"{len(list(found))} certificates to the root, none revoked"


def verify_response(case, response, digest, nonce=None):
    root = load_pem_x509_certificate((case.trust / "root.pem").read_bytes())
    builder = VerifierBuilder().add_root_certificate(root)
    if nonce is not None:
        builder = builder.nonce(nonce)
    decoded = decode_timestamp_response(response)
    demand(builder.build().verify(decoded, digest), "does not verify")
    return f"genTime {decoded.tst_info.gen_time.isoformat()}"


def token(case):
    der = case.read("token.der")
    info = signed_data(der)["encap_content_info"]["content"].parsed
    algorithm = info["message_imprint"]["hash_algorithm"]["algorithm"].native
    response = tsp.TimeStampResp({"status": {"status": "granted"}, "time_stamp_token": cms.ContentInfo.load(der)})
    digest = hashlib.new(algorithm.replace("sha3_", "sha3-"), case.read("data")).digest()
    return verify_response(case, response.dump(), digest)


def exchange(case):
    request = tsp.TimeStampReq.load(case.read("request.tsq"), strict=True)
    imprint = request["message_imprint"]
    demand(imprint["hash_algorithm"]["algorithm"].native == "sha512", "another algorithm")
    digest = hashlib.sha512(case.read("data")).digest()
    demand(imprint["hashed_message"].native == digest, "another imprint")
    return verify_response(case, case.read("response.tsr"), digest, request["nonce"].native)


def verify_ecdsa(key_info, algorithm, signature_der, message):
    key = serialization.load_der_public_key(key_info.dump())
    name = algos.SignedDigestAlgorithm.load(algorithm.dump()).hash_algo
    key.verify(signature_der, message, ec.ECDSA(getattr(hashes, name.upper())()))


def certificate_request(case):
    request = csr.CertificationRequest.load(case.read("request.p10"), strict=True)
    info = request["certification_request_info"]
    verify_ecdsa(info["subject_pk_info"], request["signature_algorithm"], request["signature"].native, info.dump())
    return info["subject"].human_friendly


def revocation_list(case):
    one = crl.CertificateList.load(case.read("list.crl"), strict=True)
    issuer = certificate(case.read("issuer.pem"))
    demand(one.issuer == issuer.subject, "another issuer")
    demand(one.authority_key_identifier == issuer.key_identifier, "another key")
    verify_ecdsa(issuer.public_key, one["signature_algorithm"], one["signature"].native, one["tbs_cert_list"].dump())
    return f"list {one.crl_number_value.native}"


def status(case):
    """The path with the response alone as revocation information for the leaf."""
    leaf, issuer = certificate(case.read("certificate.pem")), certificate(case.read("issuer.pem"))
    request = ocsp.OCSPRequest.load(case.read("request.der"), strict=True)
    response = ocsp.OCSPResponse.load(case.read("response.der"), strict=True)
    demand(request.nonce_value.native == response.nonce_value.native, "another nonce")
    context = ValidationContext(
        trust_roots=[case.root()],
        other_certs=[issuer],
        ocsps=[response],
        crls=case.lists()[:1],
        allow_fetching=False,
        revocation_mode="require",
        time_tolerance=timedelta(seconds=5),
    )
    validator = CertificateValidator(leaf, [issuer], validation_context=context)
    asyncio.run(validator.async_validate_usage(set()))
    return "good"


JUDGES = {
    "package": [("pyHanko", package)],
    "signature": [("pyHanko", signature)],
    "certificate": [("certvalidator", path)],
    "crl": [("asn1crypto", revocation_list)],
    "ocsp": [("certvalidator", status)],
    "csr": [("asn1crypto", certificate_request)],
    "token": [("rfc3161-client", token)],
    "exchange": [("rfc3161-client", exchange)],
}


def main():
    # What they would log is in the reasons.
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    artifacts = Path(sys.argv[1])
    for folder in sorted([*artifacts.glob("*/accept/*/*"), *artifacts.glob("*/refuse/*/*")]):
        case = Case(artifacts, folder)
        for name, judge in JUDGES.get(case.kind, ()):
            try:
                verdict, reason = "accept", judge(case)
            except Exception as e:  # noqa: BLE001: whatever it says, it is a refusal
                verdict, reason = "refuse", f"{type(e).__name__}: {e}"
            place = f"{case.group}/{case.name}"
            print(name, case.kind, place, case.expected, verdict, " ".join(reason.split()), sep="\t", flush=True)


if __name__ == "__main__":
    main()
