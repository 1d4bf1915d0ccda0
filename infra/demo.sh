#!/usr/bin/env bash
# The main job, start to end: captures become evidence in front of two courts.
#
#   CAPTURES=DIR   your own captures instead of the samples (each file and each sub-folder is one)
#   KEEP=1         leaves everything running and prints the addresses; Ctrl-C stops it
#   COUNT=N        how many captures to make from the samples (200)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
tools=$root/.probity/tools/bin programs=${CARGO_TARGET_DIR:-$root/target}/debug
PATH=$tools:$PATH
. infra/stack.sh

count=${COUNT:-200}
dir=$root/.probity/demo
rm -rf "$dir"
mkdir -p "$dir"
trap 'stack_stop' EXIT
trap 'exit 130' INT TERM
began=$SECONDS
clock() { date +%s%N; }
# lap NAME: the time since the last lap, for the table.
laps=() last=$(clock)
lap() { local now; now=$(clock); laps+=("$1|$(((now - last) / 1000000))"); last=$now; }

stack_start "$dir"
lap "servers, ceremony, roles up"
probity=$programs/probity

step "enrol a vendor: application, officer's decision, agreement on electronic form, credential"
cat >"$dir/agreement.txt" <<'TEXT'
Agreement on electronic form. The party agrees that instructions given to Probity in electronic form, confirmed by a
one-time code sent to its registered address and bound to the instruction, are its own, and that signatures made under
an event certificate for such an instruction have the effect of its signature. It takes effect on acceptance by click,
tick or command. 本协议自以点击、勾选或命令方式接受之时起生效。
TEXT
"$probity" enroll "${edges[@]}" --officer-key "$OFFICER_KEY_FILE" --profile "$dir/vendor.json" --party acme --name "Acme Rights Ltd" \
    --identifier 91110000MA01ABCD2X --country CN --email evidence@acme.example --legal-representative "Li Wei" \
    --handler "Wang Fang" --declare-true --document README.md --agreement-text "$dir/agreement.txt" --accept
export PROBITY_PROFILE=$dir/vendor.json PROBITY_CODES=$dir/codes
lap "vendor enrolled"

step "two courts: one is pushed to, one pulls"
register_court beijing push
register_court hangzhou pull
launch court "$probity" court serve --dir "$dir/beijing" --listen "127.0.0.1:$court_port" "${roots[@]}"
wait_for 20 "the court's platform" port_open "$court_port"
lap "courts ready"

captures=${CAPTURES:-}
if [ -z "$captures" ]; then
    captures=$dir/captures
    step "captures: $count of them, made from samples/ with different content each"
    infra/captures.sh samples "$captures" "$count"
fi
step "submit: hash, upload, one-time code bound to the instruction, evidence numbers, deposit"
"$probity" submit "$captures" --case "(2026)京0491民初1号" --purpose ownership --memory "$dir/submit" --out "$dir/numbers.jsonl" --wait
lap "submitted and deposited"
total=$(grep -c '"state":"accepted"' "$dir/numbers.jsonl")
mapfile -t numbers < <(sed -n 's/.*"evidence":"\([^"]*\)".*/\1/p' "$dir/numbers.jsonl")
push=("${numbers[@]:0:20}") pull=("${numbers[@]:20:20}")
[ "${#pull[@]}" -gt 0 ] || pull=("${push[@]}")
curl -sf "$LOG/checkpoint" | sed 's/^/   /'

step "deliver by push: ${#push[@]} packages, encrypted to the court's certificate; each comes back with a signed receipt"
"$probity" deliver --case "(2026)京0491民初1号" --to beijing "${push[@]}" --wait acknowledged
lap "${#push[@]} delivered by push, receipts in"
step "deliver by pull: the other court fetches ${#pull[@]}, decrypts, verifies, signs receipts"
"$probity" deliver --case "(2026)京0491民初1号" --to hangzhou "${pull[@]}" --wait prepared
"$probity" court pull --dir "$dir/hangzhou" --delivery "$DELIVERY" --credential "$dir/hangzhou/credential" \
    --legal-basis "case (2026)京0491民初1号" "${roots[@]}"
"$probity" deliver --case "(2026)京0491民初1号" --to hangzhou "${pull[@]}" --wait acknowledged
lap "${#pull[@]} delivered by pull, receipts in"

step "what a court holds, checked without Probity"
infra/judge.sh "$dir" hangzhou
lap "judged by OpenSSL"
step "the same package and the court's receipt for it by probity verify"
package=$(find "$dir/hangzhou/opened" -name '*.asice' | sort | head -n 1)
"$probity" verify "$package" "${roots[@]}" --receipt "$dir/hangzhou/receipts/$(basename "$package" .asice).json" \
    --recipient "hangzhou=$dir/hangzhou/signing.crt.pem" --recipient-roots "$dir/hangzhou/ca.crt.pem"

step "the demonstration in figures"
printf '   %-36s %s\n' "captures accepted and deposited" "$total" "roles, one process each" "$(echo "$ROLES" | wc -w)" \
    "delivered by push with receipt" "${#push[@]}" "delivered by pull with receipt" "${#pull[@]}"
for entry in "${laps[@]}"; do printf '   %-36s %8.1f s\n' "${entry%|*}" "$((${entry#*|}))e-3"; done
printf '   %-36s %8d s\n' "all together" "$((SECONDS - began))"
echo
echo "   a decrypted package: $package"
echo "   the readable page in it: certificate.html (unzip -p \"$package\" certificate.html)"
if [ -n "${KEEP:-}" ]; then
    step "left running: intake $INTAKE  identity $IDENTITY  delivery $DELIVERY  time stamps $TSA  log $LOG"
    echo "   profile: $PROBITY_PROFILE   officer: $OFFICER_KEY_FILE   logs: $dir/log   Ctrl-C stops everything"
    wait
fi
