"""Makes of each accepted package the tampered copies that every judge must refuse.

    tamper.py ARTIFACTS

Each copy is a whole ZIP with right checksums: what is wrong with it only signatures and proofs can tell.
"""

import shutil
import sys
import zipfile
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


def main():
    artifacts = Path(sys.argv[1])
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
