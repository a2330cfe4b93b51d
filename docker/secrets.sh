#!/bin/sh
# The secrets of compose.yaml, made once into docker/secrets (git and the build context ignore it). Run it again and
# nothing changes; delete a file to have it made anew. The folder belongs to the user of the containers (10001) where
# that can be done, so that nobody else on the host reads it.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets
random() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }
fresh() { [ -s "secrets/$1" ] || printf '%s' "$2" > "secrets/$1"; }
fresh database_password "$(random 24)"
fresh pgpass "database:5432:*:memorial:$(cat secrets/database_password)"
fresh gate_password "$(random 24)"
fresh gate_pgpass "database:5432:memorial:memorial_links:$(cat secrets/gate_password)"
fresh fernet_key "$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')"
fresh jwt_secret "$(random 32)"
fresh session_secret "$(random 24)"
fresh passwords.json "{\"operator\": \"$(random 12)\"}"
key="$(random 10)" secret="$(random 20)"
if [ ! -s secrets/store_identities.json ]; then
    fresh s3_credentials "$(printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s' "$key" "$secret")"
    fresh store_identities.json "{\"identities\": [{\"name\": \"studio\", \"credentials\": [{\"accessKey\": \"$key\", \"secretKey\": \"$secret\"}], \"actions\": [\"Admin\"]}]}"
fi
chmod 600 secrets/*
if [ "$(id -u)" = 0 ]; then
    chown 10001 secrets/*
    chown 999 secrets/database_password # the user inside the PostgreSQL image
    chown 0 secrets/store_identities.json # SeaweedFS starts as root
fi
echo "the operator's password is in docker/secrets/passwords.json"
