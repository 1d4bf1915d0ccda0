#!/usr/bin/env bash
# Brings the programs that the demo and the tests need and this machine lacks.
#
# Servers go into .probity/tools/bin of this checkout and nowhere else; Debian packages (redis-tools,
# openssl, curl, unzip, python3, a C compiler) are installed only if the program is missing. Safe to run
# again: what is there is kept. Everything is an unmodified release of its own project.
#
#   tools.sh [judges]     with `judges` also what judges/run.sh needs: a JDK, Maven, Go, certtool, venv
#   tools.sh [chaos]      with `chaos` also what sets clocks for chaos.sh: libfaketime
#   tools.sh [stores]     with `stores` also a second S3 server for stores.sh: versitygw
#
#   GOFLAGS, GOPROXY      respected by go
#   PROBITY_S3_ENDPOINT   an S3 server to test with instead of MinIO (see crates/testkit/src/s3.rs)
set -euo pipefail

NATS_VERSION=v2.15.2
NATS_OLDEST=2.10.0
# What `latest` of the module resolves to: its source is published without tags that go can order.
MINIO_VERSION=v0.0.0-20260212201848-7aac2a2c5b7c
MINIO_GO_OLDEST=1.24.0
VERSITYGW_VERSION=v1.8.0

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$root/.probity/tools/bin
mkdir -p "$bin"

say() { printf 'tools: %s\n' "$*"; }
fail() { printf 'tools: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
# at_least HAVE WANTED
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }
# link NAME: the one in PATH under the name that scripts and tests look for.
link() { ln -sf "$(command -v "$1")" "$bin/$1"; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

apt_updated=
apt_install() {
    have apt-get || fail "$1 is missing and there is no apt-get here: install it with this system's means"
    [ "$(id -u)" = 0 ] || have sudo || fail "$* missing: install with root's help: apt-get install $*"
    say "installing Debian package $*"
    if [ -z "$apt_updated" ]; then as_root apt-get -qq update; apt_updated=1; fi
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -y --no-install-recommends install "$@" >/dev/null </dev/null
}

# unpack_deb SUITE PACKAGE FOLDER: one package of another Debian suite, its signature checked against
# this machine's own keys, unpacked and not installed.
unpack_deb() {
    local sources=/etc/apt/sources.list.d/debian.sources work
    have apt-get && [ -r "$sources" ] || return 1
    work=$(mktemp -d)
    mkdir -p "$work/lists/partial" "$3"
    awk -v suite="$1" '/^URIs:/ { uri = $2 }
        /^Signed-By:/ { print "deb [signed-by=" $2 "] " uri " " suite " main"; exit }' \
        "$sources" >"$work/sources.list"
    local apt=(apt-get -qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=-
        -o "Dir::State::lists=$work/lists" -o Acquire::Languages=none -o APT::Sandbox::User=root)
    "${apt[@]}" update && (cd "$work" && "${apt[@]}" download "$2") && dpkg-deb -x "$work"/*.deb "$3"
    local status=$?
    rm -rf "$work"
    return $status
}

# go_install MODULE@VERSION, with the go at hand.
go_install() {
    say "building $1 with $(go env GOVERSION) (minutes the first time)"
    GOBIN=$bin GO111MODULE=on go install "$1" </dev/null
}

nats_version() { "$1" --version 2>/dev/null | sed -n 's/.*v\([0-9][0-9.]*\).*/\1/p'; }

bring_nats() {
    local found
    if [ -x "$bin/nats-server" ]; then return; fi
    if have nats-server; then
        found=$(nats_version nats-server)
        if at_least "${found:-0}" "$NATS_OLDEST"; then link nats-server; return; fi
        say "nats-server $found in PATH is too old (JetStream of $NATS_OLDEST or later is needed)"
    fi
    if have go && go_install "github.com/nats-io/nats-server/v2@$NATS_VERSION"; then return; fi
    for suite in trixie sid; do
        say "unpacking nats-server of Debian $suite"
        if unpack_deb "$suite" nats-server "$root/.probity/tools/nats" &&
            at_least "$(nats_version "$root/.probity/tools/nats/usr/sbin/nats-server")" "$NATS_OLDEST"
        then
            ln -sf ../nats/usr/sbin/nats-server "$bin/nats-server"
            return
        fi
    done
    fail "no nats-server $NATS_OLDEST or later: install Go, or put nats-server into PATH"
}

go_good_for_minio() {
    have go && { [ "$(go env GOTOOLCHAIN)" != local ] ||
        at_least "$(go env GOVERSION | tr -d go)" "$MINIO_GO_OLDEST"; }
}

# build_store MODULE@VERSION: an S3 server, with the go at hand or one brought for it.
build_store() {
    local go=$root/.probity/tools/go
    if go_good_for_minio && go_install "$1"; then return; fi
    say "no Go $MINIO_GO_OLDEST or later: unpacking the one of Debian trixie"
    [ -d "$go" ] || { unpack_deb trixie golang-1.24-go "$go" && unpack_deb trixie golang-1.24-src "$go"; } || return 1
    PATH=$go/usr/lib/go-1.24/bin:$PATH GOROOT=$go/usr/lib/go-1.24 GOTOOLCHAIN=local go_install "$1"
}

bring_minio() {
    if [ -n "${PROBITY_S3_ENDPOINT:-}" ] || [ -x "$bin/minio" ]; then return; fi
    if have minio; then link minio; return; fi
    build_store "github.com/minio/minio@$MINIO_VERSION" ||
        fail "no MinIO: install Go $MINIO_GO_OLDEST or later, or set PROBITY_S3_ENDPOINT to an S3 server"
}

bring_versitygw() {
    if [ -x "$bin/versitygw" ]; then return; fi
    build_store "github.com/versity/versitygw/cmd/versitygw@$VERSITYGW_VERSION" ||
        fail "no versitygw: install Go $MINIO_GO_OLDEST or later"
}

bring_redis() {
    if [ -x "$bin/redis-server" ]; then return; fi
    if have redis-server; then link redis-server; return; fi
    # redis-tools holds the program without the system service that package redis-server would start.
    apt_install redis-tools
    ln -sf "$(command -v redis-check-rdb)" "$bin/redis-server"
}

# For `make lint`; without it lint says that it skips the scripts.
bring_shellcheck() {
    if [ -x "$bin/shellcheck" ] || have shellcheck; then return; fi
    local suite
    # shellcheck source=/dev/null
    suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    say "unpacking shellcheck of Debian $suite"
    if unpack_deb "$suite" shellcheck "$root/.probity/tools/shellcheck"; then
        ln -sf ../shellcheck/usr/bin/shellcheck "$bin/shellcheck"
    else
        say "no shellcheck: the scripts are not checked by make lint"
    fi
}

# The token that keys in tokens are tested with; without it those tests say that they are skipped.
bring_softhsm() {
    if have softhsm2-util; then return; fi
    (apt_install softhsm2) || say "no SoftHSM 2: keys in tokens will not be tested"
}

bring_judges() {
    have javac || apt_install default-jdk-headless
    have mvn || apt_install maven
    have certtool || apt_install gnutls-bin
    have go || apt_install golang-go
    python3 -c 'import ensurepip' 2>/dev/null || apt_install python3-venv
}

bring_rust() {
    local oldest found
    oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
    have cargo || fail "Rust is missing: install $oldest or later from https://rustup.rs"
    found=$(cargo --version | cut -d ' ' -f 2)
    at_least "$found" "$oldest" || fail "Rust $found is too old: $oldest or later, rustup update stable"
}

bring_rust
have cc || apt_install gcc libc6-dev
have make || apt_install make
have openssl || apt_install openssl
have curl || apt_install curl
have unzip || apt_install unzip
have python3 || apt_install python3-minimal
bring_softhsm
bring_redis
bring_nats
bring_minio
bring_shellcheck
[ "${1:-}" != judges ] || bring_judges
[ "${1:-}" != stores ] || bring_versitygw
[ "${1:-}" != chaos ] || have faketime || apt_install faketime

PATH=$bin:$PATH
say "rust    $(cargo --version)"
say "nats    $(nats_version nats-server) ($(command -v nats-server))"
say "redis   $(redis-server --version | sed 's/.*v=\([^ ]*\).*/\1/') ($(command -v redis-server))"
if [ -n "${PROBITY_S3_ENDPOINT:-}" ]; then
    say "s3      $PROBITY_S3_ENDPOINT (given)"
else
    say "s3      MinIO ($(command -v minio))"
fi
say "openssl $(openssl version | cut -d ' ' -f 2), unzip, $(python3 --version | tr '[:upper:]' '[:lower:]')"
