"""Judges that are commands: OpenSSL, GnuTLS' certtool, unzip.

    commands.py ARTIFACTS

Prints one line for each case, tab-separated: judge, kind, group/name, expected, verdict, reason.
"""

import base64
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import xml.etree.ElementTree as ET
from datetime import datetime, timezone
from pathlib import Path

TOKEN = Path(__file__).resolve().parent.parent / "infra" / "token.py"
# id-aa-timeStampToken (RFC 3161 appendix A), as encoded.
TIME_STAMP_TOKEN = bytes.fromhex("060b2a864886f70d010910020e")
ASIC = {"a": "http://uri.etsi.org/02918/v1.2.1#", "d": "http://www.w3.org/2000/09/xmldsig#"}


class Refused(Exception):
    """A judge's verdict against a case, in its own words."""


class Case:
    """One folder GROUP/accept|refuse/KIND/NAME with what is trusted in its group, and a scratch folder."""

    def __init__(self, artifacts, folder, scratch):
        self.folder, self.scratch = folder, Path(scratch)
        self.group, self.expected, self.kind, self.name = folder.relative_to(artifacts).parts
        self.trust = artifacts / self.group / "trust"

    def run(self, *words, data=None):
        """A command with file arguments relative to the case; its output, if it succeeds."""
        done = subprocess.run(
            [str(word) for word in words],
            cwd=self.folder, input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )
        text = done.stdout.decode(errors="replace")
        if done.returncode != 0:
            raise Refused(" ".join(text.split())[:300])
        return text

    def lists_pem(self):
        lists = (self.run("openssl", "crl", "-inform", "DER", "-in", self.trust / f"{name}.crl")
                 for name in ("root", "issuing"))
        at = self.scratch / "lists.pem"
        at.write_text("".join(lists))
        return at


def openssl_path(case):
    return case.run(
        "openssl", "verify", "-x509_strict", "-policy_check", "-crl_check_all", "-CAfile", case.trust / "root.pem",
        "-untrusted", case.trust / "issuing.pem", "-CRLfile", case.lists_pem(), "certificate.pem")


def gnutls_path(case):
    """certtool does not look for issuers: it is handed the chain, leaf first."""
    leaf = (case.folder / "certificate.pem").read_text()
    issuer = case.run("openssl", "x509", "-in", "certificate.pem", "-noout", "-issuer_hash")
    issuing = case.run("openssl", "x509", "-in", case.trust / "issuing.pem", "-noout", "-subject_hash")
    if issuer == issuing:
        leaf += (case.trust / "issuing.pem").read_text()
    said = case.run(
        "certtool", "--verify", "--verify-profile", "high", "--load-ca-certificate", case.trust / "root.pem",
        "--load-crl", case.lists_pem(), data=leaf.encode())
    if "Chain verification output: Verified" not in said:
        raise Refused(said)
    return "Verified"


def openssl_list(case):
    said = case.run("openssl", "crl", "-inform", "DER", "-in", "list.crl", "-CAfile", "issuer.pem", "-verify", "-noout")
    # It ends with status 0 whatever it finds.
    if "verify OK" not in said:
        raise Refused(said)
    return said


def openssl_status(case):
    # Without -no_nonce it would put a nonce of its own into the request, so nonces are compared below.
    said = case.run(
        "openssl", "ocsp", "-no_nonce", "-reqin", "request.der", "-respin", "response.der", "-CAfile", case.trust / "root.pem",
        "-verify_other", "issuer.pem", "-sha256", "-issuer", "issuer.pem", "-cert", "certificate.pem")
    request = case.run("openssl", "ocsp", "-reqin", "request.der", "-req_text", "-noverify")
    response = case.run("openssl", "ocsp", "-respin", "response.der", "-resp_text", "-noverify")
    if nonce(request) != nonce(response):
        raise Refused("another nonce")
    if "Response verify OK" not in said or "certificate.pem: good" not in said:
        raise Refused(said)
    return said


def nonce(text):
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if "OCSP Nonce" in line)
    return lines[at + 1].strip()


def openssl_request(case):
    said = case.run("openssl", "req", "-inform", "DER", "-in", "request.p10", "-verify", "-noout")
    if "self-signature verify OK" not in said:
        raise Refused(said)
    return said


def openssl_token(case):
    return case.run(
        "openssl", "ts", "-verify", "-token_in", "-in", "token.der", "-data", "data", "-CAfile", case.trust / "root.pem")


def openssl_exchange(case):
    return case.run(
        "openssl", "ts", "-verify", "-in", "response.tsr", "-queryfile", "request.tsq",
        "-CAfile", case.trust / "root.pem")


def openssl_signature(case):
    # Lists inside the signature are used because of -crl_check_all.
    return case.run(
        "openssl", "cms", "-verify", "-cades", "-binary", "-inform", "DER", "-in", "signature.p7s", "-content",
        "content", "-x509_strict", "-crl_check_all", "-CAfile", case.trust / "root.pem", "-out", "/dev/null")


def openssl_plain_signature(case):
    """Receipts and the ceremony's record: whose certificates have no list yet."""
    return case.run(
        "openssl", "cms", "-verify", "-cades", "-binary", "-inform", "DER", "-in", "signature.p7s", "-content",
        "content", "-x509_strict", "-CAfile", case.trust / "root.pem", "-out", "/dev/null")


def openssl_envelope(case):
    """A package is one envelope or several, one after another; each for itself, and what comes out joined."""
    part, opened = case.scratch / "part.p7m", case.scratch / "opened"
    content, parts = b"", envelopes((case.folder / "envelope.p7m").read_bytes())
    for envelope in parts:
        part.write_bytes(envelope)
        case.run(
            "openssl", "cms", "-decrypt", "-binary", "-inform", "DER", "-in", part, "-recip", "recipient.pem",
            "-inkey", "recipient.key.der", "-keyform", "DER", "-out", opened)
        content += opened.read_bytes()
    if content != (case.folder / "content").read_bytes():
        raise Refused("opened to something else")
    return f"opened, parts: {len(parts)}"


def envelopes(package):
    """Cut where the DER of each says that it ends: tag, then a length of one octet, or of as many as the octet says."""
    parts = []
    while package:
        octets = package[1] & 0x7F if package[1] & 0x80 else 0
        length = int.from_bytes(package[2 : 2 + octets], "big") if octets else package[1]
        parts.append(package[: 2 + octets + length])
        package = package[2 + octets + length :]
    return parts


def openssl_package(case):
    """Unpacked by unzip; signatures, tokens and every digest by openssl. Every signature at the event's stamped time."""
    package = case.scratch / "package"
    shutil.rmtree(package, ignore_errors=True)
    case.run("unzip", "-q", "package.asice", "-d", package)
    stamped = openssl_stamp(case, package / "META-INF/signature001.p7s")
    covered = {"mimetype"}
    for manifest in sorted((package / "META-INF").glob("ASiCManifest*.xml")):
        root = ET.parse(manifest).getroot()
        signature = urllib.parse.unquote(root.find("a:SigReference", ASIC).get("URI"))
        if TIME_STAMP_TOKEN in (package / signature).read_bytes():
            openssl_stamp(case, package / signature)
        case.run(
            "openssl", "cms", "-verify", "-cades", "-binary", "-inform", "DER", "-in", package / signature,
            "-content", manifest, "-x509_strict", "-crl_check_all", "-attime", stamped,
            "-CAfile", case.trust / "root.pem", "-out", "/dev/null")
        covered |= {str(manifest.relative_to(package)), signature} | check_digests(case, package, root)
    members = {str(p.relative_to(package)) for p in package.rglob("*") if p.is_file()}
    if len(covered & {"META-INF/signature001.p7s", "META-INF/signature002.p7s"}) != 2:
        raise Refused("event signature or seal is missing")
    if covered != members:
        raise Refused(f"not covered: {members - covered}")
    mimetype = (package / "mimetype").read_bytes()
    if mimetype != b"application/vnd.etsi.asic-e+zip":
        raise Refused(f"mimetype {mimetype!r}")
    return f"stamped {datetime.fromtimestamp(stamped, timezone.utc).isoformat()}, {len(members)} members"


def openssl_stamp(case, signature):
    """Verifies the token in a signature; seconds since 1970 of its genTime."""
    token, value = case.scratch / "token.der", case.scratch / "signature.bin"
    case.run(sys.executable, TOKEN, signature, token, value)
    text = case.run("openssl", "ts", "-reply", "-token_in", "-in", token, "-token_out", "-text")
    said = next(line for line in text.splitlines() if line.startswith("Time stamp: "))
    # "Nov 26 11:00:00.123 2026 GMT", the fraction only if there is one.
    at, year, _ = said.removeprefix("Time stamp: ").rsplit(" ", 2)
    moment = datetime.strptime(f"{at.split('.')[0]} {year}", "%b %d %H:%M:%S %Y")
    at = int(moment.replace(tzinfo=timezone.utc).timestamp())
    case.run(
        "openssl", "ts", "-verify", "-token_in", "-in", token, "-data", value, "-attime", at,
        "-CAfile", case.trust / "root.pem")
    return at


def check_digests(case, package, manifest):
    named = set()
    for reference in manifest.findall("a:DataObjectReference", ASIC):
        member = urllib.parse.unquote(reference.get("URI"))
        algorithm = reference.find("d:DigestMethod", ASIC).get("Algorithm").rsplit("#", 1)[1]
        said = case.run("openssl", "dgst", f"-{algorithm}", "-hex", package / member)
        if bytes.fromhex(said.rsplit(" ", 1)[1].strip()) != base64.b64decode(reference.find("d:DigestValue", ASIC).text):
            raise Refused(f"{member} differs from its digest")
        named.add(member)
    return named


def unzip(case):
    return case.run("unzip", "-tqq", "container.zip") or "no errors"


JUDGES = {
    "package": [("OpenSSL", openssl_package)],
    "signature": [("OpenSSL", openssl_signature)],
    "receipt": [("OpenSSL", openssl_plain_signature)],
    "ceremony": [("OpenSSL", openssl_plain_signature)],
    "certificate": [("OpenSSL", openssl_path), ("GnuTLS certtool", gnutls_path)],
    "crl": [("OpenSSL", openssl_list)],
    "ocsp": [("OpenSSL", openssl_status)],
    "csr": [("OpenSSL", openssl_request)],
    "token": [("OpenSSL", openssl_token)],
    "exchange": [("OpenSSL", openssl_exchange)],
    "envelope": [("OpenSSL", openssl_envelope)],
    "zip": [("unzip", unzip)],
}


def main():
    artifacts = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as scratch:
        for folder in sorted([*artifacts.glob("*/accept/*/*"), *artifacts.glob("*/refuse/*/*")]):
            case = Case(artifacts, folder, scratch)
            for name, judge in JUDGES.get(case.kind, ()):
                try:
                    verdict, reason = "accept", judge(case)
                except Exception as e:  # noqa: BLE001: whatever it says, it is a refusal
                    verdict, reason = "refuse", f"{type(e).__name__}: {e}"
                place = f"{case.group}/{case.name}"
                print(name, case.kind, place, case.expected, verdict, " ".join(reason.split()), sep="\t", flush=True)


if __name__ == "__main__":
    main()
