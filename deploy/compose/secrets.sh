#!/bin/sh
# Makes the secrets that compose.yaml mounts, once: those that exist are left alone.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets
make_secret() {
    if [ ! -e "secrets/$1" ]; then
        printf '%s' "$2" > "secrets/$1"
        # Containers read them as users of their own; the folder keeps everybody else out.
        chmod 0444 "secrets/$1"
    fi
}
random() {
    head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'
}
make_secret pepper "$(random)"
make_secret audit-key "$(openssl genpkey -algorithm ed25519)"
make_secret postgres-password "$(random)"
make_secret grafana-password "$(random)"
make_secret store-url "postgresql://tollhouse:$(cat secrets/postgres-password)@postgres/tollhouse?sslmode=disable"
make_secret limits-url "redis://redis:6379/0"
echo "secrets are in $(pwd)/secrets; Grafana's password: $(cat secrets/grafana-password)"
