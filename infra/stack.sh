# A whole platform on loopback, one process per role; sourced by demo.sh and bench.sh.
#
#   stack_start DIR   servers, ceremony, configuration, roles; everything under DIR
#   stack_stop        stops what stack_start started, and nothing else
#
# After stack_start: INTAKE IDENTITY DELIVERY ISSUANCE TSA LOG are base URLs, OFFICER_KEY_FILE and OPERATOR_KEY_FILE credentials.

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

start_nats() { launch nats "$tools/nats-server" -a 127.0.0.1 -p "$nats_port" -js -sd "$stack_dir/nats"; }
start_redis() {
    launch redis redis-server --bind 127.0.0.1 --port "$redis_port" --save '' --appendonly no \
        --maxmemory-policy noeviction --dir "$stack_dir"
}
start_s3() {
    MINIO_ROOT_USER=$s3_access_key MINIO_ROOT_PASSWORD=$s3_secret_key MINIO_BROWSER=off MINIO_UPDATE=off \
        launch minio "$tools/minio" server --quiet --address "127.0.0.1:$s3_port" "$stack_dir/minio"
}
start_role() { launch "$1" "$programs/probityd" run "$1" --config "$stack_dir/config/$1.toml"; }

write_config() {
    local role=$1 ops_port=$2
    sed -e "s|@DIR@|$stack_dir|g" -e "s|@OPS_PORT@|$ops_port|g" -e "s|@NATS_PORT@|$nats_port|g" \
        -e "s|@REDIS_PORT@|$redis_port|g" -e "s|@S3_PORT@|$s3_port|g" -e "s|@INTAKE_PORT@|$intake_port|g" \
        -e "s|@INTAKE_GRPC_PORT@|$intake_grpc_port|g" -e "s|@IDENTITY_PORT@|$identity_port|g" \
        -e "s|@ISSUANCE_PORT@|$issuance_port|g" -e "s|@TSA_PORT@|$tsa_port|g" -e "s|@LOG_PORT@|$log_port|g" \
        -e "s|@DELIVERY_PORT@|$delivery_port|g" -e "s|@DELIVERY_GRPC_PORT@|$delivery_grpc_port|g" \
        -e "s|@ROLE@|$role|g" "$root/infra/local/common.toml.in" "$root/infra/local/$role.toml.in" \
        >"$stack_dir/config/$role.toml"
}

stack_ports() {
    for name in nats redis s3 intake intake_grpc identity issuance tsa log delivery delivery_grpc; do
        printf -v "${name}_port" '%s' "$(free_port)"
    done
    INTAKE=http://127.0.0.1:$intake_port IDENTITY=http://127.0.0.1:$identity_port
    DELIVERY=http://127.0.0.1:$delivery_port ISSUANCE=http://127.0.0.1:$issuance_port
    TSA=http://127.0.0.1:$tsa_port/tsa LOG=http://127.0.0.1:$log_port
}

stack_start() {
    stack_dir=$1
    mkdir -p "$stack_dir"/{log,pid,config,secret,nats,minio,codes}
    chmod 700 "$stack_dir" "$stack_dir/secret"
    s3_access_key=probity-local s3_secret_key=$(random_hex 20)
    umask 077
    printf '%s' "$s3_access_key" >"$stack_dir/secret/s3-access-key"
    printf '%s' "$s3_secret_key" >"$stack_dir/secret/s3-secret-key"
    random_hex 32 >"$stack_dir/secret/code-key"
    random_hex 24 >"$stack_dir/secret/passphrase"
    stack_ports

    step "servers: nats-server, redis-server, minio (loopback, fresh stores under $stack_dir)"
    start_nats; start_redis; start_s3
    wait_for 30 nats-server port_open "$nats_port"
    wait_for 30 redis-server port_open "$redis_port"
    wait_for 60 minio curl -sf "http://127.0.0.1:$s3_port/minio/health/live"

    step "ceremony: root, issuing CA, time-stamping unit, OCSP responder, delivery seal, log key"
    "$programs/probity-ceremony" make --out "$stack_dir/keys" --operator-name "Probity local" \
        --passphrase-file "$stack_dir/secret/passphrase" --crl-url "$ISSUANCE/crl/issuing.crl" \
        --ocsp-url "$ISSUANCE/ocsp"

    step "roles: one process each"
    for role in $ROLES; do
        ops_port=$(free_port)
        write_config "$role" "$ops_port"
        printf -v "ops_$role" '%s' "$ops_port"
    done
    OFFICER_KEY_FILE=$stack_dir/secret/officer-key
    "$programs/probityd" prepare-store --config "$stack_dir/config/identity.toml"
    OPERATOR_KEY_FILE=$stack_dir/secret/operator-key
    "$programs/probityd" bootstrap-officer --config "$stack_dir/config/identity.toml" >"$OFFICER_KEY_FILE"
    "$programs/probityd" bootstrap-officer --role operator --config "$stack_dir/config/identity.toml" >"$OPERATOR_KEY_FILE"
    for role in $ROLES; do start_role "$role"; done
    for role in $ROLES; do
        local ops=ops_$role
        wait_for 60 "role $role" curl -sf "http://127.0.0.1:${!ops}/readyz"
        case $role in
            timestamping) wait_for 60 "$role's edge" port_open "$tsa_port" ;;
            storage) wait_for 60 "$role's edge" port_open "$log_port" ;;
            signing) ;;
            *) local edge=${role}_port && wait_for 60 "$role's edge" port_open "${!edge}" ;;
        esac
        printf '   %-13s pid %-8s ops http://127.0.0.1:%s\n' "$role" "$(cat "$stack_dir/pid/$role")" "${!ops}"
    done
}

stack_stop() {
    local pid
    for pid in "${stack_pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${stack_pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    stack_pids=()
}
