#!/usr/bin/env bash
# The fault laboratory (docs/reliability.md): a fresh platform for each fault, load through its edge, faults, then the audit.
#
#   infra/chaos.sh FAULT... [--dose N] [--full] [--count N] [--rate N]     such as F3, wipe; no FAULT: the short set
#   infra/chaos.sh all                                                    every fault there is, scaled to an hour
#
# What is not a fault's name goes to `probity-load chaos`. Reports: .probity/chaos/<time>/report.{md,json}. Exit code 0: all held.
#
#   PROFILE=release    as in bench.sh; dev by default
#   KEEP=1             keeps the stores of runs that held, too
#   OLD=COMMIT         for F18: that commit is built into .probity/chaos-old, which is kept for the next time
#   OLD_PROGRAMS=DIR   for F18: a folder with the probityd of another build, and with its infra/local as `local`
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
tools=$root/.probity/tools/bin
profile=${PROFILE:-dev} folder=${PROFILE:-debug}
[ "$profile" != dev ] || folder=debug
[ -n "${SKIP_BUILD:-}" ] ||
    cargo build --profile "$profile" --workspace
programs=${CARGO_TARGET_DIR:-$root/target}/$folder
# As it was built: the tree may have moved on by the time the report is written.
commit=$(git describe --always --dirty 2>/dev/null || echo unknown)
PATH=$tools:$PATH
. infra/stack.sh

# The build that F18 changes to and from; with neither variable there is none.
old_programs=${OLD_PROGRAMS:-} old_templates=${OLD_PROGRAMS:+$OLD_PROGRAMS/local}
if [ -z "$old_programs" ] && [ -n "${OLD:-}" ]; then
    old=$root/.probity/chaos-old
    step "building $OLD, the old version of F18"
    if [ -e "$old/source/.git" ]; then
        git -C "$old/source" checkout --quiet --detach "$OLD"
    else
        git worktree prune
        git worktree add --quiet --detach "$old/source" "$OLD"
    fi
    (cd "$old/source" && CARGO_TARGET_DIR=$old/target cargo build --profile "$profile" --package probityd)
    old_programs=$old/target/$folder old_templates=$old/source/infra/local
fi

SHORT="wipe F1 F7 F8"
ALL="none bare wipe open F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 F10-single F11 F13 tsa F16 F17 F18 F19 F20 line-nats line-redis"
faults=()
while [ $# -gt 0 ]; do
    case $1 in
        -*) break ;;
        all) read -ra more <<<"$ALL"; faults+=("${more[@]}"); shift ;;
        *) faults+=("$1"); shift ;;
    esac
done
[ ${#faults[@]} -gt 0 ] || read -ra faults <<<"$SHORT"

runs=$root/.probity/chaos/$(date -u +%Y%m%dT%H%M%SZ)
mkdir -p "$runs"
# What a laboratory that was itself killed would leave.
clean_up() {
    local file pid
    for file in "$runs"/*/pid/*; do
        [ -f "$file" ] || continue
        pid=$(<"$file")
        # The id may have been given to somebody else since.
        if { tr '\0' ' ' <"/proc/$pid/cmdline"; readlink "/proc/$pid/cwd"; } 2>/dev/null | grep -qF "$runs"; then
            kill -KILL "$pid" 2>/dev/null || true
        fi
    done
    for file in "$runs"/*/nats; do
        ! mountpoint -q "$file" 2>/dev/null || umount -l "$file"
    done
}
trap clean_up EXIT
lab=
# The laboratory ends what it started; what it leaves is cleaned up.
trap '[ -z "$lab" ] || { kill -TERM "$lab"; wait "$lab"; } 2>/dev/null; exit 130' INT TERM

# A small volume for what F9 fills; only root may mount one.
small_volume() { mount -t tmpfs -o size=64m,mode=700 probity-chaos "$1" && mkdir -p "$1/tmp"; }

has_faketime() {
    [ -n "${FAKETIME_LIBRARY:-}" ] || [ -n "$(find /usr/lib -path '*/faketime/libfaketimeMT.so.1' -print -quit)" ]
}

# prepare DIR: a platform that nothing of runs yet, and the list of its ports; false if two of them happen to be the same.
prepare() {
    local name role port
    rm -rf "$1"
    stack_prepare "$1" >/dev/null
    for name in nats redis s3 intake intake_grpc identity issuance tsa log delivery delivery_grpc; do
        port=${name}_port
        echo "$name ${!port}"
    done >"$1/ports"
    for role in $ROLES; do
        port=ops_$role
        echo "ops_$role ${!port}"
    done >>"$1/ports"
    [ -z "$(cut -d ' ' -f 2 "$1/ports" | sort | uniq -d)" ]
}

status=0
for fault in "${faults[@]}"; do
    dir=$runs/$fault
    step "fault $fault"
    other_build=() templates=
    if [ "$fault" = F18 ]; then
        if [ -z "$old_programs" ]; then
            echo "fault F18 not run: it needs another build, OLD=COMMIT or OLD_PROGRAMS=DIR" | tee -a "$runs/skipped"
            continue
        fi
        other_build=(--old-programs "$old_programs")
        # Two versions side by side share the older one's configuration: it knows no newer settings.
        templates=$old_templates
    fi
    prepare "$dir" || prepare "$dir"
    # What an operator sets whose vendors are not to feel each other: three times what the one here brings.
    [ "$fault" != F17 ] || echo "uploads_per_second_max = 10" >>"$dir/config/intake.toml"
    if [ "$fault" = F13 ] && ! has_faketime; then
        echo "fault F13 not run: it needs libfaketime (infra/tools.sh chaos)" | tee -a "$runs/skipped"
        continue
    fi
    if [ "$fault" = F9 ] && ! small_volume "$dir/nats"; then
        echo "fault F9 not run: it needs the right to mount a small volume" | tee -a "$runs/skipped"
        continue
    fi
    "$programs/probity-load" chaos "$fault" --dir "$dir" --programs "$programs" --report "$dir/report.json" \
        --table "$runs/rows.md" "${other_build[@]}" "$@" &
    lab=$!
    if wait "$lab"; then
        [ -n "${KEEP:-}" ] || { clean_up; rm -rf "$dir/minio" "$dir/nats" "$dir/nats-copy"; }
    else
        status=1
        [ -f "$dir/report.json" ] || echo "fault $fault: the laboratory itself failed; logs are in $dir/log" >>"$runs/skipped"
    fi
    clean_up
done

{
    echo "Probity $commit, $profile build, $(date -u +%F\ %H:%MZ), $(nproc) cores."
    echo
    cat "$runs/rows.md" 2>/dev/null || true
    [ ! -f "$runs/skipped" ] || { echo; cat "$runs/skipped"; }
} >"$runs/report.md"
python3 - "$runs" <<'PYTHON'
import json, pathlib, sys
runs = pathlib.Path(sys.argv[1])
reports = [json.loads(path.read_text()) for path in sorted(runs.glob("*/report.json"))]
(runs / "report.json").write_text(json.dumps(reports, indent=1) + "\n")
# One run has too few pushes to speak of per cent (P6).
made = [report["deliveries"] for report in reports if report["fault"] != "none" and report["deliveries"]]
pushes, again = (sum(one[name] for one in made) for name in ("pushes", "pushes_repeated"))
if pushes:
    with open(runs / "report.md", "a") as table:
        table.write(f"\nUnder faults {again} of {pushes} pushes were repeated: {100 * again / pushes:.1f} %.\n")
PYTHON
step "report: $runs/report.md"
cat "$runs/report.md"
exit $status
