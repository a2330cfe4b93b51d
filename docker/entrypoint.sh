#!/bin/sh
# Start of every Airflow container of compose.yaml: puts the secrets where the libraries look for them, in memory and
# readable by this user alone (PostgreSQL's client ignores a password file others may read), then becomes the command.
set -eu
umask 077
mkdir -p "$HOME/.aws"
cp /run/secrets/pgpass "$PGPASSFILE"
chmod 600 "$PGPASSFILE"
if [ -f /run/secrets/s3_credentials ]; then # the gate has none
    cp /run/secrets/s3_credentials "$HOME/.aws/credentials"
    chmod 600 "$HOME/.aws/credentials"
fi
if [ "${1:-}" = memorial-init ]; then
    python -c '
import boto3, botocore
s3 = boto3.client("s3", endpoint_url="http://store:8333")
try:
    s3.create_bucket(Bucket="memorial-vault")
except (s3.exceptions.BucketAlreadyOwnedByYou, s3.exceptions.BucketAlreadyExists):
    pass
s3.put_bucket_versioning(Bucket="memorial-vault", VersioningConfiguration={"Status": "Enabled"})
'
    memorial init
    # The gate's login: a member of its one role, under the password that only it and this container are given.
    exec python -c '
import os, pathlib, psycopg2
connection = psycopg2.connect(os.environ["MEMORIAL_DATABASE_URL"])
with connection, connection.cursor() as cursor:
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", ("memorial_links",))
    verb = "ALTER" if cursor.fetchone() else "CREATE"
    password = pathlib.Path("/run/secrets/gate_password").read_text()
    cursor.execute(verb + " ROLE memorial_links LOGIN PASSWORD %s", (password,))
    cursor.execute("GRANT memorial_gate TO memorial_links")
'
fi
exec "$@"
