#!/usr/bin/env bash
# judge.sh DIR COURT: opens one of the court's encrypted packages with OpenSSL alone and checks what is in it.
# Every command is shown before it runs; nothing of Probity takes part and no service is asked.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$(cd "$1" && pwd) court=$2
work=$dir/judge
rm -rf "$work"
mkdir -p "$work"
encrypted=$(find "$dir/$court" -name '*.p7m' | sort | head -n 1)
show() { printf '   $ %s\n' "$*"; "$@" 2>&1 | sed 's/^/     /'; }

show openssl cms -decrypt -binary -inform DER -in "$encrypted" -recip "$dir/$court/encryption.crt.pem" \
    -inkey "$dir/$court/encryption.key.pem" -out "$work/package.asice"
"$here/judge-package.sh" "$work/package.asice" "$dir/keys/public/root-ca.crt.pem" "$work"
