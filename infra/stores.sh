#!/usr/bin/env bash
# The port's suite (crates/platform/tests/it) against a second real store beside MinIO: versitygw, on a folder of its own.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
infra/tools.sh stores
. infra/stack.sh
# A bucket's default retention does not show on its objects there (docs/store.md): each PUT carries its own.
KNOWN=keeping::the_bucket_s_own_retention_is_enough

# The executable that the workspace's tests use: built alone it would have other features, hence other dependencies.
suite=$(cargo test --workspace --test it --no-run --message-format=json "$@" </dev/null | python3 -c '
import json, sys
for line in sys.stdin:
    if not line.startswith("{"):
        continue
    one = json.loads(line)
    if one.get("executable") and one["target"]["src_path"].endswith("crates/platform/tests/it/main.rs"):
        print(one["executable"])')

stack_dir=$(mktemp -d)
trap 'stack_stop; rm -rf "$stack_dir"' EXIT
mkdir "$stack_dir"/{log,pid,objects,versions}
port=$(free_port)
export PROBITY_S3_ENDPOINT=http://127.0.0.1:$port PROBITY_S3_ACCESS_KEY=probity
PROBITY_S3_SECRET_KEY=$(random_hex 20)
export PROBITY_S3_SECRET_KEY
export ROOT_ACCESS_KEY=$PROBITY_S3_ACCESS_KEY ROOT_SECRET_KEY=$PROBITY_S3_SECRET_KEY
launch versitygw .probity/tools/bin/versitygw --port "127.0.0.1:$port" --quiet posix --versioning-dir "$stack_dir/versions" "$stack_dir/objects"
wait_for 20 versitygw port_open "$port"
cd crates/platform
PATH=$root/.probity/tools/bin:$PATH "$suite" objects:: probe:: keeping:: ledger:: --skip "$KNOWN" --test-threads 2
