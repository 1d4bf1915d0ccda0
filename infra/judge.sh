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

# part_bytes FILE OFFSET: how long the envelope is that begins there, as its first bytes say (DER: tag, then a length of one octet, or
# of as many as the octet says). A court was told with the package (Probity-Parts).
part_bytes() {
    local octets length=0 at
    read -ra octets < <(tail -c "+$(($2 + 1))" "$1" | head -c 10 | od -An -tu1 -w10)
    if [ "${octets[1]}" -lt 128 ]; then
        echo $((2 + octets[1]))
        return
    fi
    for ((at = 0; at < octets[1] - 128; at++)); do length=$((length * 256 + octets[2 + at])); done
    echo $((2 + octets[1] - 128 + length))
}

offset=0 size=$(stat -c %s "$encrypted")
while [ "$offset" -lt "$size" ]; do
    length=$(part_bytes "$encrypted" "$offset")
    part=$encrypted
    if [ "$length" -ne "$size" ]; then
        part=$work/part.p7m
        printf '   $ tail -c +%s %s | head -c %s >%s\n' "$((offset + 1))" "$encrypted" "$length" "$part"
        # `tail` is ended by `head` taking no more.
        { tail -c "+$((offset + 1))" "$encrypted" || true; } 2>/dev/null | head -c "$length" >"$part"
    fi
    show openssl cms -decrypt -binary -inform DER -in "$part" -recip "$dir/$court/encryption.crt.pem" \
        -inkey "$dir/$court/encryption.key.pem" -out "$work/opened"
    cat "$work/opened" >>"$work/package.asice"
    offset=$((offset + length))
done
rm -f "$work/opened" "$work/part.p7m"
"$here/judge-package.sh" "$work/package.asice" "$dir/keys/public/root-ca.crt.pem" "$work"
