#!/usr/bin/env bash
# One evidence with a large artifact, delivered by push and by pull over the whole platform: what delivery takes of memory
# beyond what it takes when idle (P11). The court opens what it pulled with OpenSSL alone at the end.
# Prints a table and leaves it in .probity/bench-package/table.md.
#
#   MIB=2112      how large the artifact is; needs six times that on disk
#   PROFILE=dev   builds quickly; memory is the same, times are not
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
tools=$root/.probity/tools/bin
profile=${PROFILE:-release} folder=${PROFILE:-release} mib=${MIB:-2112}
[ "$profile" != dev ] || folder=debug
cargo build --profile "$profile" --workspace
programs=${CARGO_TARGET_DIR:-$root/target}/$folder probity=${CARGO_TARGET_DIR:-$root/target}/$folder/probity
PATH=$tools:$PATH
. infra/stack.sh
dir=$root/.probity/bench-package
rm -rf "$dir"
mkdir -p "$dir"
trap 'stack_stop; rm -rf "$dir"/{minio,captures,beijing,hangzhou,judge}' EXIT
stack_start "$dir"
delivery_pid=$(<"$dir/pid/delivery")

# memory FIELD: of the delivery process, in MiB: VmRSS is what it takes now, VmHWM the most since it was last asked for.
memory() { awk -v field="$1:" '$1 == field { printf "%.0f", $2 / 1024 }' "/proc/$delivery_pid/status"; }
forget_peak() { echo 5 >"/proc/$delivery_pid/clear_refs"; }
# row WHAT COMMAND...: how long it takes, and the most that delivery took meanwhile.
row() {
    local what=$1 began=$SECONDS
    shift
    forget_peak
    "$@"
    printf '| %s | %d s | %s MiB |\n' "$what" "$((SECONDS - began))" "$(memory VmHWM)" >>"$dir/rows.md"
}

step "a vendor, and two courts: one is pushed to, one pulls"
enrol_for_measuring
export PROBITY_PROFILE=$dir/vendor.json PROBITY_CODES=$dir/codes
register_court beijing push
register_court hangzhou pull
launch court "$probity" court serve --dir "$dir/beijing" --listen "127.0.0.1:$court_port" "${roots[@]}"
wait_for 20 "the court's platform" port_open "$court_port"

step "submit one capture of $mib MiB"
mkdir "$dir/captures"
# Bytes that no tool compresses; openssl is ended by `head` taking no more.
{ openssl enc -aes-256-ctr -pass pass:bench -nosalt -pbkdf2 -in /dev/zero 2>/dev/null || true; } |
    head -c "$((mib * 1024 * 1024))" >"$dir/captures/video.mp4"
"$probity" submit "$dir/captures/video.mp4" --case bench --purpose ownership --memory "$dir/submit" --out "$dir/numbers.jsonl" \
    --wait --patience 3600
rm -rf "$dir/captures"

deliver() { "$probity" deliver --case bench --to "$1" --wait "$2" --patience 3600; }
pull() {
    "$probity" court pull --dir "$dir/hangzhou" --delivery "$DELIVERY" --credential "$dir/hangzhou/credential" \
        --legal-basis "case bench" "${roots[@]}"
}
idle=$(memory VmRSS)
step "deliver by push, until the court's receipt is in"
row "prepared, pushed, opened and verified by the court, receipted" deliver beijing acknowledged
rm -rf "$dir"/beijing/{inbox,opened}/*
step "deliver by pull"
row "prepared" deliver hangzhou prepared
row "pulled, opened and verified by the court, receipted" pull
deliver hangzhou acknowledged
rm -rf "$dir"/hangzhou/opened/*
step "what the court pulled, opened and checked with OpenSSL alone"
infra/judge.sh "$dir" hangzhou

step "figures"
{
    printf '| a package with an artifact of %s MiB (%s) | time | delivery, most memory |\n| --- | --- | --- |\n' "$mib" "$profile"
    printf '| idle before | | %s MiB |\n' "$idle"
    cat "$dir/rows.md"
} | tee "$dir/table.md"
