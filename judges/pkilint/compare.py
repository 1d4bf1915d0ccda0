"""Compares the errors of our lint with those of pkilint and zlint, artifact by artifact."""

import contextlib
import io
import json
import pathlib
import shutil
import subprocess
import sys

from pkilint.bin import lint_crl, lint_ocsp_response, lint_pkix_cert

# What others call an error and our lint passes: a part of their words, and why ours is right.
EXPLAINED = {
    # RFC 5280 4.2.1.6 asks for a URI with scheme and scheme-specific part; pkilint knows URLs only.
    "pkilint:pkix.invalid_uri_syntax": "urn:uuid:",
}

LINTERS = {
    "certificate": (lint_pkix_cert.main, []),
    "crl": (lint_crl.main, ["-t", "CRL", "-p", "PKIX"]),
    "ocsp": (lint_ocsp_response.main, []),
}


def run(main, arguments):
    """What a linter's own command line prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = main(arguments)
    return code, out.getvalue()


def pkilint(file, kind):
    main, profile = LINTERS[kind]
    code, text = run(main, ["lint", *profile, "-s", "ERROR", "-f", "JSON", str(file)])
    try:
        results = json.loads(text)["results"]
    except (ValueError, KeyError):
        return {"pkilint:unreadable"} if code else set()
    return {
        name
        for result in results
        for finding in result["finding_descriptions"]
        if not explained(name := "pkilint:" + finding["code"], finding["message"] or "")
    }


def explained(name, message):
    return name in EXPLAINED and EXPLAINED[name] in message


def zlint(file, kind):
    """The lints of RFC 5280 alone: the others are about web servers."""
    program = shutil.which("zlint")
    if program is None or kind == "ocsp":
        return set()
    pem = file.with_suffix(".pem")
    form = {"crl": "crl", "certificate": "x509"}[kind]
    made = subprocess.run(
        ["openssl", form, "-inform", "DER", "-in", file, "-out", pem], capture_output=True
    )
    if made.returncode:
        return {"openssl:unreadable"}
    done = subprocess.run(
        [program, "-includeSources", "RFC5280,RFC5480", pem],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        return {"zlint:unreadable"}
    results = json.loads(done.stdout)
    return {"zlint:" + name for name, r in results.items() if r["result"] in ("error", "fatal")}


def main():
    samples = sorted(pathlib.Path(sys.argv[1]).glob("*.der"))
    if len(samples) < 50:
        sys.exit(f"only {len(samples)} samples")
    missed, agreed, ours_alone, clean = [], 0, 0, 0
    for file in samples:
        kind = file.stem.split("-")[1]
        ours = set(file.with_name(file.name + ".errors").read_text().split())
        theirs = pkilint(file, kind) | zlint(file, kind)
        if theirs and not ours:
            missed.append(file.name)
        agreed += bool(ours and theirs)
        ours_alone += bool(ours and not theirs)
        clean += not ours and not theirs
        print(f"{file.name:24} ours: {' '.join(sorted(ours)) or '-':44} theirs: {' '.join(sorted(theirs)) or '-'}")
    print(
        f"{len(samples)} artifacts: {clean} clean for all, {agreed} refused by all, "
        f"{ours_alone} by our lint alone, {len(missed)} by others alone {missed or ''}"
    )
    if shutil.which("zlint") is None:
        print("zlint is not in the path: pkilint alone judged")
    sys.exit(bool(missed))


main()
