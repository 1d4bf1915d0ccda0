#!/usr/bin/env bash
# Formatting and clippy with warnings denied, as far as the toolchain has them; shell scripts parse.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
status=0

check() {
    local what=$1
    shift
    printf 'lint: %s\n' "$what"
    "$@" </dev/null || { printf 'lint: %s FAILED\n' "$what" >&2; status=1; }
}

for script in infra/*.sh judges/*.sh .ci/run; do
    check "$script parses" bash -n "$script"
done
if cargo fmt --version >/dev/null 2>&1; then
    check 'formatting' cargo fmt --all --check
else
    echo 'lint: rustfmt is not installed (rustup component add rustfmt): skipped'
fi
if cargo clippy --version >/dev/null 2>&1; then
    check 'clippy' cargo clippy --workspace --all-targets --quiet -- --deny warnings
else
    echo 'lint: clippy is not installed (rustup component add clippy): skipped'
fi
exit $status
