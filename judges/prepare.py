"""Makes cases of what the end-to-end test left, and of every accepted package the tampered copies.

    prepare.py ARTIFACTS

A tampered copy is a whole ZIP with right checksums: what is wrong with it only signatures and proofs can tell.
"""

import base64
import json
import shutil
import sys
import zipfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

# What the log's entry and its proof consist of (kind `inclusion`, judged apart from the signatures).
LOGGED = (
    "statement.json",
    "META-INF/ASiCManifest001.xml",
    "META-INF/signature001.p7s",
    "log/checkpoint.txt",
    "log/inclusion.json",
)


def write(members, folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "package.asice", "w") as container:
        for name, content in members:
            container.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), content)


def flipped(members, name, at):
    """One bit of the byte that lies at this part of the member."""
    def flip(content):
        place = int((len(content) - 1) * at)
        return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    return [(one, flip(content) if one == name else content) for one, content in members]


def copies(members):
    """(name of the member, name of the copy, members of the copy)"""
    for name, content in members:
        flat = name.replace("/", "_")
        if content:
            yield name, f"{flat}-middle", flipped(members, name, 0.5)
            yield name, f"{flat}-end", flipped(members, name, 1.0)
        yield name, f"{flat}-missing", [one for one in members if one[0] != name]


def case(folder, **files):
    """A case with these files; in their names `_` stands for a dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_bytes(content)


def changed(content, at=-1):
    """One bit of one byte."""
    content = bytearray(content)
    content[at] ^= 1
    return bytes(content)


def from_pem(text):
    body = "".join(line for line in text.splitlines() if not line.startswith("-----"))
    return base64.b64decode(body)


def platform(group):
    """What the platform published, and what two courts hold of one evidence each."""
    raw = group / "raw"
    public = {p.name: p.read_bytes() for p in (raw / "public").iterdir()}
    lists = {"root": public["root-ca.crl"], "issuing": (raw / "issuing.crl").read_bytes()}
    issuers = {"root": public["root-ca.crt.pem"], "issuing": public["issuing-ca.crt.pem"]}
    case(group / "trust", root_pem=issuers["root"], issuing_pem=issuers["issuing"], root_crl=lists["root"],
         issuing_crl=lists["issuing"], log_vkey=public["log.vkey"])
    accept, refuse = group / "accept", group / "refuse"
    for name in ("tsa", "seal", "ocsp"):
        case(accept / "certificate" / name, certificate_pem=public[f"{name}.crt.pem"])
    for name, der in lists.items():
        case(accept / "crl" / name, list_crl=der, issuer_pem=issuers[name])
        case(refuse / "crl" / f"{name}-changed", list_crl=changed(der), issuer_pem=issuers[name])
    record = {"content": public["ceremony-record.json"], "signature_p7s": public["ceremony-record.p7s"]}
    case(accept / "ceremony" / "record", **record)
    case(refuse / "ceremony" / "record-changed", **record | {"content": changed(record["content"], 100)})
    for court in ("pulled", "pushed"):
        delivery(group, court, raw / court)


def later(group):
    """The same packages as a court finds them sixty days on: event certificates and their lists long expired."""
    after = group.parent / f"{group.name}-later"
    shutil.copytree(group / "trust", after / "trust", dirs_exist_ok=True)
    at = datetime.now(timezone.utc) + timedelta(days=60)
    (after / "trust" / "time").write_text(at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    shutil.copytree(group / "accept" / "package", after / "accept" / "package", dirs_exist_ok=True)


def delivery(group, court, folder):
    opened = sorted((folder / "opened").glob("*.asice"))[0]
    sealed = (folder / "inbox" / f"{opened.stem}.p7m").read_bytes()
    accept, refuse = group / "accept", group / "refuse"
    case(accept / "package" / court, package_asice=opened.read_bytes())
    key = (folder / "encryption.key.pem").read_text()
    files = {
        "recipient_pem": (folder / "encryption.crt.pem").read_bytes(),
        "recipient_key_der": from_pem(key),
        "content": opened.read_bytes(),
    }
    case(accept / "envelope" / court, envelope_p7m=sealed, **files)
    case(refuse / "envelope" / f"{court}-changed-tag", envelope_p7m=changed(sealed), **files)
    case(refuse / "envelope" / f"{court}-changed-content", envelope_p7m=changed(sealed, len(sealed) // 2), **files)

    # The court's own authority signs its receipts: a group of its own.
    group = group.parent / f"court-{court}"
    case(group / "trust", root_pem=(folder / "ca.crt.pem").read_bytes())
    document = json.loads((folder / "receipts" / f"{opened.stem}.json").read_text())
    receipt, signature = (base64.b64decode(document[name]) for name in ("receipt", "signature"))
    case(group / "accept" / "receipt" / court, content=receipt, signature_p7s=signature)
    case(group / "refuse" / "receipt" / "changed", content=changed(receipt, 100), signature_p7s=signature)
    case(group / "refuse" / "receipt" / "changed-signature", content=receipt, signature_p7s=changed(signature))


def main():
    artifacts = Path(sys.argv[1])
    if (artifacts / "platform" / "raw").is_dir():
        platform(artifacts / "platform")
        later(artifacts / "platform")
    for package in sorted(artifacts.glob("*/accept/package/*/package.asice")):
        group, name = package.parents[3], package.parent.name
        with zipfile.ZipFile(package) as container:
            members = [(one, container.read(one)) for one in container.namelist()]
        accepted = group / "accept" / "inclusion" / name
        accepted.mkdir(parents=True, exist_ok=True)
        shutil.copy(package, accepted)
        for member, copy, changed in copies(members):
            write(changed, group / "refuse" / "package" / f"{name}-{copy}")
            if member in LOGGED:
                write(changed, group / "refuse" / "inclusion" / f"{name}-{copy}")


if __name__ == "__main__":
    main()
