#!/usr/bin/env bash
# The platform and its floor, side by side in one run on this machine: all roles, real NATS, Redis and MinIO.
# Prints a table and leaves it in .probity/bench/table.md.
#
#   BATCHES=4 BATCH_SIZE=1000 SIZE_BYTES=65536   what is submitted all at once, and what the floor does
#   RATE_BATCH_SIZE=50 RATE_SECONDS=60           instructions of the planned-rate runs, and how long each lasts
#   PROFILE=dev                                  builds quickly to try the script; its figures mean nothing
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
tools=$root/.probity/tools/bin
profile=${PROFILE:-release} folder=${PROFILE:-release}
[ "$profile" != dev ] || folder=debug
cargo build --profile "$profile" --workspace
programs=${CARGO_TARGET_DIR:-$root/target}/$folder
PATH=$tools:$PATH
. infra/stack.sh
dir=$root/.probity/bench
rm -rf "$dir"
mkdir -p "$dir"
trap 'stack_stop' EXIT
stack_start "$dir"
step "a vendor to submit with"
enrol_for_measuring
sed -n 's/.*"credential": "\([^"]*\)".*/\1/p' "$dir/vendor.json" >"$dir/secret/vendor-key"

batches=${BATCHES:-4} batch_size=${BATCH_SIZE:-1000} size_bytes=${SIZE_BYTES:-65536}
rate_batch_size=${RATE_BATCH_SIZE:-50} rate_seconds=${RATE_SECONDS:-60}
seed=0
# load NAME COMMAND ARGUMENT...: a run with a seed of its own; its report is NAME.json.
load() {
    local name=$1
    shift
    seed=$((seed + 1))
    "$programs/probity-load" "$@" --size-bytes "$size_bytes" --seed "$seed" | tee "$dir/$name.json"
}
platform=(run --intake "$INTAKE" --identity "$IDENTITY" --log "$LOG" --codes "$dir/codes" --key-file "$dir/secret/vendor-key")
floor=(floor --config "$dir/config/storage.toml" --batches "$batches" --batch-size "$batch_size")
# What MinIO counted so far, request by request.
requests() { curl -sf "http://127.0.0.1:$s3_port/minio/metrics/v3/api/requests" >"$dir/requests-$1"; }
# planned PERCENT BATCHES_PER_SECOND ARGUMENT...: instructions at a planned rate, as many as last long enough.
planned() {
    local percent=$1 rate=$2 count
    shift 2
    count=$(awk -v rate="$rate" -v seconds="$rate_seconds" 'BEGIN { n = int(rate * seconds); print (n < 4) ? 4 : n }')
    step "the platform at $percent % of saturation: $count instructions, $rate a second"
    load "rate-$percent" "${platform[@]}" --batches "$count" --batch-size "$rate_batch_size" --rate "$rate" "$@"
}

step "the floor: hash, PUT, sign, one token a batch; nothing else"
load floor "${floor[@]}"
step "the platform, all batches at once: saturation"
requests before
load saturation "${platform[@]}" --batches "$batches" --batch-size "$batch_size"
requests after
step "the floor again, for how much this machine drifts"
load floor-again "${floor[@]}"
step "the platform in instructions of $rate_batch_size, all at once: saturation of that shape"
load rate-saturation "${platform[@]}" --batches "$(((batches * batch_size + rate_batch_size - 1) / rate_batch_size))" \
    --batch-size "$rate_batch_size"
for percent in 50 80; do
    planned "$percent" "$(python3 infra/bench-table.py rate "$dir" "$percent" "$rate_batch_size")"
done
# Twice what can be done, by a vendor that sends as much at once as it likes.
planned 200 "$(python3 infra/bench-table.py rate "$dir" 200 "$rate_batch_size")" --overload --in-flight 64

# once ROW COMMAND...: a row with how long the command takes, the start of its process included.
once() {
    local row=$1 began
    shift
    began=$(date +%s%N)
    "$@" >>"$dir/log/once.log" 2>&1
    awk -v row="$row" -v ns="$(($(date +%s%N) - began))" 'BEGIN { printf "| %s | %.2f s |\n", row, ns / 1e9 }' >>"$dir/once.md"
}
step "what an operator runs: the index anew, the store's examination"
entries=$(curl -sf "$LOG/checkpoint" | sed -n 2p)
once "index of $entries entries made anew (\`probityd rebuild-index\`)" \
    "$programs/probityd" rebuild-index --config "$dir/config/storage.toml"
once "64 writers race 200 times (\`probityd probe-store\`): one winner each time" \
    "$programs/probityd" probe-store --config "$dir/config/storage.toml"

step "figures"
{
    python3 infra/bench-table.py table "$dir" "$profile" "$batches" "$batch_size" "$rate_batch_size" "$size_bytes"
    printf '\n| once | time |\n| --- | --- |\n'
    cat "$dir/once.md"
} | tee "$dir/table.md"
