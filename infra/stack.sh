# A whole platform on loopback, one process per role; sourced by demo.sh, bench.sh, chaos.sh and container-set-up.sh.
#
#   stack_start DIR   servers, ceremony, configuration, roles; everything under DIR
#   stack_prepare DIR the part of it that starts nothing: ports, secrets, ceremony, configuration
#   stack_stop        stops what stack_start started, and nothing else
#
#   register_court NAME push|pull   a court with keys of its own under DIR/NAME, registered by an operator
#   enrol_for_measuring             a vendor whose profile is DIR/vendor.json
#
# After stack_start: INTAKE IDENTITY DELIVERY ISSUANCE TSA LOG are base URLs, OFFICER_KEY_FILE and OPERATOR_KEY_FILE credentials,
# `edges` what tells `probity` where the platform is, `roots` what tells it whom to believe, court_port where a court can listen.
# shellcheck shell=bash disable=SC2034,SC2154  # names given by, and for, the script that sources this

ROLES="identity issuance signing timestamping storage delivery intake"
stack_pids=()

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# A loopback port nobody listens on.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
}

# wait_for SECONDS WHAT COMMAND...: until COMMAND succeeds.
wait_for() {
    local seconds=$1 what=$2 end
    shift 2
    end=$((SECONDS + seconds))
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || die "$what did not come up within $seconds s; logs are in $stack_dir/log"
        sleep 0.2
    done
}

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
random_hex() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

# launch NAME COMMAND...: in the background, output to its log.
launch() {
    local name=$1
    shift
    "$@" >>"$stack_dir/log/$name.log" 2>&1 &
    stack_pids+=($!)
    echo $! >"$stack_dir/pid/$name"
}

start_nats() { launch nats "$tools/nats-server" -a 127.0.0.1 -p "$nats_port" -c "$stack_dir/config/nats.conf"; }
start_redis() {
    launch redis redis-server --bind 127.0.0.1 --port "$redis_port" --save '' --appendonly no \
        --maxmemory-policy noeviction --dir "$stack_dir"
}
start_s3() {
    MINIO_ROOT_USER=$(<"$stack_dir/secret/s3-access-key") MINIO_ROOT_PASSWORD=$(<"$stack_dir/secret/s3-secret-key") \
        MINIO_BROWSER=off MINIO_UPDATE=off MINIO_PROMETHEUS_AUTH_TYPE=public \
        launch minio "$tools/minio" server --quiet --address "127.0.0.1:$s3_port" "$stack_dir/minio"
}
start_role() { launch "$1" "$programs/probityd" run "$1" --config "$stack_dir/config/$1.toml"; }

# make_secrets DIR PROBITYD: what no file of the repository may hold, readable by this user alone.
make_secrets() (
    umask 077
    mkdir -p "$1"
    printf probity-local >"$1/s3-access-key"
    for secret in "s3-secret-key 20" "code-key 32" "passphrase 24"; do
        random_hex "${secret#* }" >"$1/${secret% *}"
    done
    # The seeds of the bus's users; what each may say and hear is printed and holds no secret.
    "$2" nats-permissions --make --seeds "$1"
)

# nats_config STORE PERMISSIONS: JetStream, and the users.
nats_config() {
    printf 'jetstream { store_dir: "%s" }\nmax_payload: 1MB\n' "$1"
    cat "$2"
}

# config_of ROLE OPS_PORT: the role's configuration, made from the templates, which lie in infra/local unless $templates says otherwise.
config_of() {
    local role=$1 ops_port=$2
    sed -e "s|@DIR@|$stack_dir|g" -e "s|@OPS_PORT@|$ops_port|g" -e "s|@NATS_PORT@|$nats_port|g" \
        -e "s|@REDIS_PORT@|$redis_port|g" -e "s|@S3_PORT@|$s3_port|g" -e "s|@INTAKE_PORT@|$intake_port|g" \
        -e "s|@INTAKE_GRPC_PORT@|$intake_grpc_port|g" -e "s|@IDENTITY_PORT@|$identity_port|g" \
        -e "s|@ISSUANCE_PORT@|$issuance_port|g" -e "s|@TSA_PORT@|$tsa_port|g" -e "s|@LOG_PORT@|$log_port|g" \
        -e "s|@DELIVERY_PORT@|$delivery_port|g" -e "s|@DELIVERY_GRPC_PORT@|$delivery_grpc_port|g" \
        -e "s|@ROLE@|$role|g" "${templates:-$root/infra/local}/common.toml.in" "${templates:-$root/infra/local}/$role.toml.in"
}

stack_ports() {
    for name in nats redis s3 intake intake_grpc identity issuance tsa log delivery delivery_grpc; do
        printf -v "${name}_port" '%s' "$(free_port)"
    done
    INTAKE=http://127.0.0.1:$intake_port IDENTITY=http://127.0.0.1:$identity_port
    DELIVERY=http://127.0.0.1:$delivery_port ISSUANCE=http://127.0.0.1:$issuance_port
    TSA=http://127.0.0.1:$tsa_port/tsa LOG=http://127.0.0.1:$log_port
    edges=(--intake "$INTAKE" --identity "$IDENTITY" --delivery "$DELIVERY")
    roots=(--roots "$stack_dir/keys/public/root-ca.crt.pem" --log-key "$stack_dir/keys/public/log.vkey")
    court_port=$(free_port)
}

stack_prepare() {
    stack_dir=$1
    mkdir -p "$stack_dir"/{log,pid,config,secret,nats,minio,codes}
    chmod 700 "$stack_dir" "$stack_dir/secret"
    umask 077
    stack_ports
    make_secrets "$stack_dir/secret" "$programs/probityd" >"$stack_dir/config/nats-permissions.conf"
    nats_config "$stack_dir/nats" "$stack_dir/config/nats-permissions.conf" >"$stack_dir/config/nats.conf"

    step "ceremony: root, issuing CA, time-stamping unit, OCSP responder, delivery seal, log key"
    "$programs/probity-ceremony" make --out "$stack_dir/keys" --operator-name "Probity local" \
        --passphrase-file "$stack_dir/secret/passphrase" --crl-url "$ISSUANCE/crl/issuing.crl" \
        --ca-issuers-url "$ISSUANCE/certificates/ca/issuing.cer" --ocsp-url "$ISSUANCE/ocsp"
    for role in $ROLES; do
        ops_port=$(free_port)
        config_of "$role" "$ops_port" >"$stack_dir/config/$role.toml"
        printf -v "ops_$role" '%s' "$ops_port"
    done
}

stack_start() {
    stack_prepare "$1"
    step "servers: nats-server, redis-server, minio (loopback, fresh stores under $stack_dir)"
    start_nats; start_redis; start_s3
    wait_for 30 nats-server port_open "$nats_port"
    wait_for 30 redis-server port_open "$redis_port"
    wait_for 60 minio curl -sf "http://127.0.0.1:$s3_port/minio/health/live"

    step "roles: one process each"
    OFFICER_KEY_FILE=$stack_dir/secret/officer-key
    "$programs/probityd" prepare-store --config "$stack_dir/config/identity.toml"
    OPERATOR_KEY_FILE=$stack_dir/secret/operator-key
    "$programs/probityd" bootstrap-officer --config "$stack_dir/config/identity.toml" >"$OFFICER_KEY_FILE"
    "$programs/probityd" bootstrap-officer --role operator --config "$stack_dir/config/identity.toml" >"$OPERATOR_KEY_FILE"
    for role in $ROLES; do start_role "$role"; done
    for role in $ROLES; do
        local ops=ops_$role
        wait_for 180 "role $role" curl -sf "http://127.0.0.1:${!ops}/readyz"
        printf '   %-13s pid %-8s ops http://127.0.0.1:%s\n' "$role" "$(cat "$stack_dir/pid/$role")" "${!ops}"
    done
}

# Courts on loopback: private addresses are an operator's to allow, so an operator registers them.
register_court() {
    local name=$1 channel=$2 endpoint=()
    if [ "$channel" = push ]; then endpoint=(--endpoint "https://127.0.0.1:$court_port"); fi
    "$programs/probity" court init --dir "$stack_dir/$name" --name "${name^} Internet Court (demonstration)" --recipient "$name" \
        --place "${name^}, China" --channel "$channel" "${endpoint[@]}" --allow-private-address
    "$programs/probity" officer recipient "${edges[@]}" --officer-key "$OPERATOR_KEY_FILE" "$name" --document "$stack_dir/$name/recipient.json"
    [ "$channel" = push ] || "$programs/probity" officer credential "${edges[@]}" --officer-key "$OFFICER_KEY_FILE" --role court \
        --recipient "$name" --out "$stack_dir/$name/credential"
}

enrol_for_measuring() {
    echo "agreement on electronic form, for measuring" >"$stack_dir/agreement.txt"
    "$programs/probity" enroll "${edges[@]}" --officer-key "$OFFICER_KEY_FILE" --profile "$stack_dir/vendor.json" --party load \
        --name Load --identifier 1 --country CN --email load@example.com --legal-representative L --handler H --declare-true \
        --agreement-text "$stack_dir/agreement.txt" --accept >/dev/null
}

stack_stop() {
    local pid
    for pid in "${stack_pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${stack_pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    stack_pids=()
}
