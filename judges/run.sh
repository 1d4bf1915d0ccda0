#!/usr/bin/env bash
# Lets programs that we did not write judge what leaves the platform; closes with a table (docs/judges.md).
#
#   PROBITY_ARTIFACTS_DIR  a folder that the tests have filled already; without it they are run for it here
#   LARGE=1                containers beyond 4 GiB too: minutes and 5 GiB of disk
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$PWD/.probity/judges
mkdir -p "$work"
say() { printf 'judges: %s\n' "$*"; }

# changed STAMP FILE…: whether the files differ from those that the stamp was written for.
changed() {
    local stamp=$1
    shift
    now=$(cat "$@" | sha256sum)
    [ "$(cat "$stamp" 2>/dev/null)" != "$now" ]
}

make_artifacts() {
    export PROBITY_ARTIFACTS_DIR=$work/artifacts
    rm -rf "$PROBITY_ARTIFACTS_DIR"
    say 'running the tests that leave artifacts'
    # The end-to-end test runs every executable of the workspace.
    cargo build --workspace </dev/null
    cargo test -p probity-pki -p probity-verify --test it artifacts:: </dev/null
    cargo test -p probityd --test it end_to_end:: </dev/null
    [ -z "${LARGE:-}" ] || cargo test -p probity-pki --test it -- --ignored beyond_4_gib </dev/null
}

build_jvm() {
    local sources
    mapfile -t sources < <(find judges/jvm/src -name '*.java' | sort)
    changed "$work/jvm.stamp" judges/jvm/pom.xml "${sources[@]}" || return 0
    say 'building the JVM judges (EU DSS, Bouncy Castle)'
    mvn --quiet --batch-mode --file judges/jvm/pom.xml "-Djudges.target=$work/jvm" package </dev/null
    echo "$now" >"$work/jvm.stamp"
}

build_python() {
    changed "$work/python.stamp" judges/python/requirements.txt || return 0
    say 'installing the Python judges (pyHanko, rfc3161-client)'
    rm -rf "$work/venv"
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet --requirement judges/python/requirements.txt </dev/null
    echo "$now" >"$work/python.stamp"
}

[ -n "${PROBITY_ARTIFACTS_DIR:-}" ] || make_artifacts
artifacts=$PROBITY_ARTIFACTS_DIR
build_jvm
build_python
go build -C judges/go -o "$work/go-judges" .

python3 judges/prepare.py "$artifacts"
results=$work/results.tsv
say 'OpenSSL, GnuTLS, unzip'
python3 judges/commands.py "$artifacts" >"$results"
say 'Go'
"$work/go-judges" "$artifacts" >>"$results"
say 'Python'
"$work/venv/bin/python" judges/python/judge.py "$artifacts" >>"$results"
say 'JVM'
java -cp "$work/jvm/judges-0.jar:$work/jvm/lib/*" probity.judges.Main "$artifacts" "$work/reports" \
    >>"$results" 2>"$work/jvm.log"
python3 judges/table.py "$artifacts" "$results"
