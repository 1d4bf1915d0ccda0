#!/usr/bin/env bash
# Formatting, clippy with warnings denied, shell scripts and the compose file, as far as this machine has the tools.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
PATH=$PWD/.probity/tools/bin:$PATH
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
if command -v shellcheck >/dev/null; then
    check 'shell scripts' shellcheck --external-sources infra/*.sh judges/*.sh judges/*/*.sh .ci/run
else
    echo 'lint: shellcheck is not installed (make tools brings it): skipped'
fi
if docker compose version >/dev/null 2>&1; then
    check 'compose file' docker compose -f infra/compose.yaml --profile by-hand config --quiet
elif command -v docker-compose >/dev/null; then
    check 'compose file' docker-compose -f infra/compose.yaml --profile by-hand config --quiet
elif python3 -c 'import yaml' 2>/dev/null; then
    check 'compose file is YAML' python3 -c 'import sys, yaml; yaml.safe_load(open(sys.argv[1]))' infra/compose.yaml
else
    echo 'lint: neither docker compose nor python3-yaml is installed: compose file skipped'
fi
if cargo fmt --version >/dev/null 2>&1; then
    check 'formatting' cargo fmt --all --check
    check 'formatting of the model' cargo fmt --manifest-path model/Cargo.toml --check
else
    echo 'lint: rustfmt is not installed (rustup component add rustfmt): skipped'
fi
if cargo clippy --version >/dev/null 2>&1; then
    check 'clippy' cargo clippy --workspace --all-targets --quiet -- --deny warnings
else
    echo 'lint: clippy is not installed (rustup component add clippy): skipped'
fi
exit $status
