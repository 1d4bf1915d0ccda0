#!/usr/bin/env bash
# container-set-up.sh OUT: what the containers of infra/compose.yaml find when they start. Runs once, as the ceremony's
# container; on a second run everything is there and nothing is touched.
#
#   OUT/vault      the root key and everything the ceremony made: no other container mounts it
#   OUT/<role>     the role's configuration, its own keys and secrets, what is public; nothing of another role
#   OUT/nats, OUT/s3   configuration and users of the two servers
#
#   PUBLIC_ISSUANCE=URL   where courts reach the CRLs; it stands in every certificate
#   OPERATOR_NAME=NAME    who the certificates say operates this platform
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=infra/stack.sh
. "$root/infra/stack.sh"
out=$1
vault=$out/vault
umask 077
mkdir -p "$out"
if [ -e "$vault/done" ]; then
    echo "set up already: $vault/done"
    exit 0
fi
[ ! -e "$vault/keys" ] || die "$vault holds keys of a set-up that did not end: keep or remove it, then run this again"
mkdir -p "$vault"
permissions=$(make_secrets "$vault/secret" "$(command -v probityd)")
random_hex 24 >"$vault/secret/root-passphrase"
probity-ceremony make --out "$vault/keys" --operator-name "${OPERATOR_NAME:-Probity local}" \
    --passphrase-file "$vault/secret/passphrase" --root-passphrase-file "$vault/secret/root-passphrase" \
    --crl-url "${PUBLIC_ISSUANCE:=http://127.0.0.1:8083}/crl/issuing.crl" \
    --ca-issuers-url "$PUBLIC_ISSUANCE/certificates/ca/issuing.cer" --ocsp-url "$PUBLIC_ISSUANCE/ocsp"

# Where a container finds its own folder, and the ports that infra/compose.yaml publishes.
stack_dir=/etc/probity
nats_port=4222 redis_port=6379 s3_port=9000 ops_port=9090
intake_port=8080 identity_port=8082 issuance_port=8083 tsa_port=8084 log_port=8085 delivery_port=8086
intake_grpc_port=8090 delivery_grpc_port=8096

# The templates speak of one machine; between containers the servers have names, and edges listen to their networks.
container_config() {
    config_of "$1" "$ops_port" | sed -e 's|"nats://127.0.0.1:|"nats://nats:|' -e 's|"redis://127.0.0.1:|"redis://redis:|' \
        -e 's|^endpoint = "http://127.0.0.1:|endpoint = "http://s3:|' -e 's|listen = "127.0.0.1:|listen = "0.0.0.0:|' \
        -e "s|\"http://127.0.0.1:$issuance_port|\"$PUBLIC_ISSUANCE|"
}

for role in $ROLES; do
    own=$out/$role
    mkdir -p "$own/secret" "$own/keys" "$own/codes"
    container_config "$role" >"$own/probity.toml"
    cp -R "$vault/keys/public" "$own/keys/public"
    if [ -d "$vault/keys/$role" ]; then
        cp -R "$vault/keys/$role" "$own/keys/$role"
        cp "$vault/secret/passphrase" "$own/secret/passphrase"
    fi
    cp "$vault/secret/s3-access-key" "$vault/secret/s3-secret-key" "$vault/secret/nats-$role" "$own/secret/"
done
cp "$vault/secret/code-key" "$out/identity/secret/code-key"
mkdir -p "$out/nats" "$out/s3"
nats_config /data <(printf '%s\n' "$permissions") >"$out/nats/nats.conf"
cp "$vault/secret/s3-access-key" "$vault/secret/s3-secret-key" "$out/s3/"
touch "$vault/done"
echo "set up: $ROLES nats s3"
