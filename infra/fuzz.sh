#!/usr/bin/env bash
# Fuzzes each decoder of strangers' bytes in turn and closes with a table: docs/fuzzing.md.
#
#   infra/fuzz.sh [DECODER…]      all of them if none is named
#   FUZZ_SECONDS=600              time for each, 60 if not set
#   PROBITY_VECTORS_DIR=DIR       also starts from the vectors of others
#   FUZZ_LOGS=DIR                 one log for each decoder, fuzz/logs if not set
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=$PWD/.probity/tools
PATH=$tools/bin:$PATH
seconds=${FUZZ_SECONDS:-60}
logs=${FUZZ_LOGS:-fuzz/logs}
# Longer inputs find nothing more and are slower.
vector_bytes_max=65536
# libFuzzer is built with flags that stable compilers keep back.
export RUSTC_BOOTSTRAP=1

if ! cargo fuzz --version >/dev/null 2>&1; then
    cargo install cargo-fuzz --version 0.13.2 --locked --quiet --root "$tools"
fi
# The product's own versions of everything; cargo adds the fuzzer's.
[ fuzz/Cargo.lock -nt Cargo.lock ] || cp Cargo.lock fuzz/Cargo.lock
cargo fuzz build --sanitizer none decoder
decoder=fuzz/target/$(rustc -vV | sed -n 's/^host: //p')/release/decoder
mkdir -p "$logs"

mapfile -t decoders < <(SEEDS=fuzz/seeds "$decoder" 2>/dev/null)
[ $# = 0 ] || decoders=("$@")

# take DECODER FILE…: vectors of others as starting points.
take() {
    local to=fuzz/seeds/$1 file
    shift
    for file in "$@"; do
        [ -f "$file" ] || continue
        [ "$(stat -c %s "$file")" -le $vector_bytes_max ] || continue
        cp "$file" "$to/$(cksum <"$file" | tr ' ' -)"
    done
}
if [ -n "${PROBITY_VECTORS_DIR:-}" ]; then
    from=$PROBITY_VECTORS_DIR
    take time_stamp_request "$from"/tsp/*/*request.der
    take time_stamp_response "$from"/tsp/*/*.tsr
    take pem "$from"/tsp/*/*.pem
    take checkpoint "$from"/tlog/sample-log/log/checkpoint*
    take entry_bundle "$from"/tlog/sample-log/log/tile/entries/000.p/*
    take container "$from"/captures/*.wacz
    take package "$from"/hostile-warc/*
fi

failed=0
table=''
for name in "${decoders[@]}"; do
    corpus=fuzz/corpus/$name
    found=fuzz/artifacts/$name
    log=$logs/$name.log
    mkdir -p "$corpus" "$found"
    printf 'fuzz: %s for %s s\n' "$name" "$seconds"
    result=clean
    # More memory, or more time for one input, than any decoder may take is a finding.
    DECODER=$name "$decoder" "$corpus" "fuzz/seeds/$name" -max_total_time="$seconds" -timeout=10 \
        -rss_limit_mb=512 -print_final_stats=1 -artifact_prefix="$found/" >>"$log" 2>&1 || {
        result="FAILED: see $log and $found"
        failed=1
    }
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
    table+=$(printf '%-20s %12s runs %8s kept  %s' "$name" "${runs:-?}" "$(find "$corpus" -type f | wc -l)" "$result")$'\n'
done
printf '\n%s' "$table"
exit $failed
