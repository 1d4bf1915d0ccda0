#!/usr/bin/env bash
# The platform and its floor, side by side in one run on this machine: all roles, real NATS, Redis and MinIO.
#
#   BATCHES=4 BATCH_SIZE=1000 SIZE_BYTES=65536   what is submitted
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
tools=$root/.probity/tools/bin
cargo build --release --package probityd --package probity --package probity-ceremony --package probity-load-tests
programs=${CARGO_TARGET_DIR:-$root/target}/release
PATH=$tools:$PATH
. infra/stack.sh
dir=$root/.probity/bench
rm -rf "$dir"
mkdir -p "$dir"
trap 'stack_stop' EXIT
stack_start "$dir"
step "a vendor to submit with"
echo "agreement on electronic form, for measuring" >"$dir/agreement.txt"
"$programs/probity" enroll --intake "$INTAKE" --identity "$IDENTITY" --delivery "$DELIVERY" \
    --officer-key "$OFFICER_KEY_FILE" --profile "$dir/vendor.json" --party load --name Load --identifier 1 --country CN \
    --email load@example.com --legal-representative L --handler H --declare-true \
    --agreement-text "$dir/agreement.txt" --accept >/dev/null
sed -n 's/.*"credential": "\([^"]*\)".*/\1/p' "$dir/vendor.json" >"$dir/secret/vendor-key"

plan=(--batches "${BATCHES:-4}" --batch-size "${BATCH_SIZE:-1000}" --size-bytes "${SIZE_BYTES:-65536}")
run=("$programs/probity-load" run --intake "$INTAKE" --identity "$IDENTITY" --log "$LOG" --codes "$dir/codes"
    --key-file "$dir/secret/vendor-key")
step "the floor: hash, PUT, sign; nothing else"
"$programs/probity-load" floor "${plan[@]}" --seed 1 --config "$dir/config/storage.toml" | tee "$dir/floor.json"
step "the platform, all batches at once: saturation"
"${run[@]}" "${plan[@]}" --seed 2 | tee "$dir/run.json"
step "the floor again, for how much this machine drifts"
"$programs/probity-load" floor "${plan[@]}" --seed 3 --config "$dir/config/storage.toml" | tee "$dir/floor-again.json"

step "figures"
python3 - "$dir" <<'PY'
import json, pathlib, sys
d = pathlib.Path(sys.argv[1])
floor, again, run = (json.loads((d / f"{n}.json").read_text()) for n in ("floor", "floor-again", "run"))
mean = (floor["per_second"] + again["per_second"]) / 2
rows = [("deposits/s", f"{run['per_second']:.0f}"), ("floor, before and after", f"{floor['per_second']:.0f}, {again['per_second']:.0f}"),
        ("ratio to the floor", f"{run['per_second'] / mean:.2f}")]
for name in ("accepted", "deposited"):
    l = run[f"planned_to_{name}_per_batch"]
    rows.append((f"planned start to {name}, per batch", f"p50 {l['p50_ms']} ms, p99 {l['p99_ms']} ms"))
for pid in sorted((d / "pid").iterdir()):
    status = pathlib.Path(f"/proc/{pid.read_text().strip()}/status")
    if status.exists():
        peak = next(l for l in status.read_text().splitlines() if l.startswith("VmHWM")).split()[1]
        rows.append((f"peak memory of {pid.name}", f"{int(peak) // 1024} MiB"))
print("\n".join(f"| {a} | {b} |" for a, b in [("what", "figure"), ("---", "---"), *rows]))
PY
