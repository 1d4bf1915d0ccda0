#!/usr/bin/env bash
# captures.sh SAMPLES OUT COUNT: COUNT captures made from the samples in turn, no two with the same bytes.
set -euo pipefail
samples=$1 out=$2 count=$3
mkdir -p "$out"
shopt -s nullglob
kinds=("$samples"/*)
for ((n = 0; n < count; n++)); do
    kind=${kinds[$((n % ${#kinds[@]}))]}
    name=$(printf '%05d-%s' "$n" "$(basename "$kind")")
    cp -r "$kind" "$out/$name"
    if [ -d "$kind" ]; then
        printf '{"visit":%d}\n' "$n" >"$out/$name/visit.json"
    else
        printf '\n' >>"$out/$name"
        printf 'visit %d\n' "$n" >>"$out/$name"
    fi
done
