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
python3 - "$programs/probity" verify "$dir/large.asice" --roots "$dir/root.pem" --log-key "$dir/log.vkey" --json <<'PYTHON'
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(f"peak memory of `probity verify` on the large one: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MiB")
PYTHON
