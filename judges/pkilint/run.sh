#!/usr/bin/env bash
# Our lint beside others': pkilint (PyPI) and, where it is in the path, zlint. Judged are the good
# and the broken certificates, lists and OCSP responses that
# the lint's own test makes, one broken artifact for each rule.
#
#   judges/pkilint/run.sh      fails when another linter sees an error in what our lint passes
set -euo pipefail
cd "$(dirname "$0")/../.."

work=.probity/judges/pkilint
samples=$PWD/$work/samples
rm -rf "$samples"
mkdir -p "$samples"
if [ ! -x "$work/venv/bin/lint_pkix_cert" ]; then
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet pkilint==0.13.3
fi
PROBITY_LINT_SAMPLES_DIR=$samples cargo test --quiet -p probity-pki --lib lint::tests::each_rule
"$work/venv/bin/python" judges/pkilint/compare.py "$samples"
