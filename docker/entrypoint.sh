#!/bin/sh
# Start of every Airflow container of compose.yaml: puts the secrets where the libraries look for them, in memory and
# readable by this user alone (PostgreSQL's client ignores a password file others may read), then becomes the command.
set -eu
umask 077
mkdir -p "$HOME/.aws"
cp /run/secrets/pgpass "$PGPASSFILE"
cp /run/secrets/s3_credentials "$HOME/.aws/credentials"
chmod 600 "$PGPASSFILE" "$HOME/.aws/credentials"
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
    exec memorial init
fi
exec "$@"
