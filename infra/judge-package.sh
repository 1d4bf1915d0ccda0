#!/usr/bin/env bash
# judge-package.sh PACKAGE ROOT WORK: checks a package with unzip, OpenSSL and Python's hashlib alone, from a root
# certificate in PEM. Every command is shown before it runs; nothing of Probity takes part and no service is asked.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
package=$(realpath "$1") root=$(realpath "$2")
mkdir -p "$3"
work=$(cd "$3" && pwd)
show() { printf '   $ %s\n' "$*"; "$@" 2>&1 | sed 's/^/     /'; }

show unzip -q -o "$package" -d "$work/package"
cd "$work/package"
manifest=META-INF/ASiCManifest001.xml signature=META-INF/signature001.p7s
# The token is an unsigned attribute of the signature; the value it stamps is the signature itself.
"${PYTHON:-python3}" "$here/token.py" "$signature" "$work/token.der" "$work/signature.bin"
show openssl ts -verify -token_in -in "$work/token.der" -data "$work/signature.bin" -CAfile "$root" \
    ${ATTIME:+-attime "$ATTIME"}
openssl ts -reply -token_in -in "$work/token.der" -token_out -text >"$work/token.txt" 2>/dev/null
sed -n 's/^\(Time stamp\|Accuracy\|Serial\|Policy\)/     \1/p' "$work/token.txt"
# The signature is judged at the time that the token proves, today as in thirty years.
stamped=$(date -u -d "$(sed -n 's/^Time stamp: \(.*\)\.[0-9]* \(.*\)$/\1 \2/p; s/^Time stamp: \([^.]*\)$/\1/p' "$work/token.txt")" +%s)
show openssl cms -verify -cades -binary -inform DER -in "$signature" -content "$manifest" -CAfile "$root" \
    -attime "$stamped" -out /dev/null -signer "$work/signer.pem"
show openssl x509 -in "$work/signer.pem" -noout -subject -issuer -dates
# Every member the manifest names has the digest that it names.
"${PYTHON:-python3}" - "$manifest" <<'PY'
import base64, hashlib, sys, urllib.parse, xml.etree.ElementTree as ET
ns = {"a": "http://uri.etsi.org/02918/v1.2.1#", "d": "http://www.w3.org/2000/09/xmldsig#"}
names = 0
for ref in ET.parse(sys.argv[1]).getroot().findall("a:DataObjectReference", ns):
    name = urllib.parse.unquote(ref.get("URI"))
    with open(name, "rb") as f:
        found = hashlib.file_digest(f, "sha3_256").digest()
    if found != base64.b64decode(ref.find("d:DigestValue", ns).text):
        sys.exit(f"     {name}: the digest is not the manifest's")
    names += 1
print(f"     python hashlib: SHA3-256 of all {names} members named in {sys.argv[1]} is right")
PY
