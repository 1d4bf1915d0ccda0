#!/usr/bin/env bash
# Runs every test of the workspace and closes with one line: N passed, N failed.
#
# Arguments go to cargo test. Fails if a test fails, if something does not build, or if nothing ran.
#
#   PROBITY_VECTORS_DIR    a folder with others' vectors (docs/judges.md); without it those tests skip themselves
#   PROBITY_ARTIFACTS_DIR  where tests leave what judges/run.sh judges
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
PATH=$PWD/.probity/tools/bin:$PATH
log=$(mktemp)
trap 'rm -f "$log"' EXIT

[ -n "${PROBITY_VECTORS_DIR:-}" ] || echo 'tests: PROBITY_VECTORS_DIR is not set: vectors of others are skipped'
{
    status=0
    cargo test --workspace --no-fail-fast "$@" || status=$?
    # The model lies outside the workspace; arguments that choose among the workspace's tests mean nothing to it.
    case "$*" in
        '' | --locked)
            cargo test --manifest-path model/Cargo.toml --target-dir target/model "$@" || status=$?
            ;;
    esac
    exit "$status"
} </dev/null 2>&1 | tee "$log"
status=${PIPESTATUS[0]}

# Adds up "test result: ok. 4 passed; 0 failed; 1 ignored; …" over all executables.
read -r passed failed ignored < <(sed 's/\x1b\[[0-9;]*m//g' "$log" | awk '
    /^test result: / {
        for (i = 2; i <= NF; i++) {
            if ($i ~ /^passed/) passed += $(i - 1)
            if ($i ~ /^failed/) failed += $(i - 1)
            if ($i ~ /^ignored/) ignored += $(i - 1)
        }
    }
    END { print passed + 0, failed + 0, ignored + 0 }')

if [ "$status" != 0 ] && [ "$failed" = 0 ]; then
    echo "tests: cargo ended with status $status though no test failed: something did not build or crashed"
    failed=1
fi
if [ "$passed" = 0 ]; then
    echo "tests: not a single test passed"
    [ "$failed" != 0 ] || failed=1
fi
skipped=
[ "$ignored" = 0 ] || skipped=", $ignored skipped"
echo "$passed passed, $failed failed$skipped"
[ "$failed" = 0 ]
