#!/usr/bin/env bash
# Verifying packages, many small ones and one large: `probity verify`, the library, and the pipeline of unzip, OpenSSL
# and a script that a court's expert would write (infra/judge-package.sh), side by side in one run on this machine.
#
#   COUNT=200 LARGE_MIB=5120   how many small packages, and how large the other is (needs twice that on disk)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
cargo build --release --package probity
cargo build --release --package probity-verify --example bench
programs=${CARGO_TARGET_DIR:-$root/target}/release
dir=$root/.probity/bench-verify
rm -rf "$dir"
mkdir -p "$dir"
trap 'rm -rf "$dir"' EXIT
"$programs/examples/bench" "$dir" "$programs/probity" infra/judge-package.sh "${COUNT:-200}" "${LARGE_MIB:-5120}"
