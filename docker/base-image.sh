#!/usr/bin/env bash
# A base image where no image registry can be reached: Debian 12 from its own mirror, and the Python of this machine.
#
#   docker/base-image.sh [NAME]            # default localhost/memorial-base:bookworm
#
# Needs root, debootstrap, podman, and a python3.11 (3.11.5 or newer) whose prefix can be copied (pyenv, or built from
# source; not a distribution's). For trying the Dockerfiles and for closed networks; elsewhere take the official image.
set -euo pipefail
name="${1:-localhost/memorial-base:bookworm}"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"  # it becomes / of the image: closed, nobody but root could walk through it
prefix="$(python3.11 -c 'import sys; print(sys.base_prefix)')"
if [ "$prefix" = /usr ]; then
    echo "python3.11 is the distribution's own; its prefix cannot be copied" >&2
    exit 1
fi
debootstrap --variant=minbase \
    --include=ca-certificates,libssl3,libffi8,libsqlite3-0,libbz2-1.0,liblzma5,libreadline8,zlib1g,libuuid1,libexpat1 \
    bookworm "$folder" >/dev/null
rm -rf "$folder"/var/cache/apt/archives/*.deb "$folder"/var/lib/apt/lists/*
cp -a "$prefix/bin" "$prefix/lib" "$prefix/include" "$folder/usr/local/"
# What was installed into that Python stays behind; pip and setuptools come with every venv.
rm -rf "$folder"/usr/local/lib/python3.11/site-packages/* "$folder"/usr/local/lib/python3.11/test
find "$folder/usr/local/lib/python3.11" -name __pycache__ -type d -prune -exec rm -rf {} +
find "$folder/usr/local/bin" -type f ! -name 'python3*' -delete
chroot "$folder" /sbin/ldconfig  # where libpython is shared
chroot "$folder" /usr/local/bin/python3 -c 'import ssl, sqlite3, lzma, bz2, ctypes, uuid, venv, ensurepip'
tar -C "$folder" -c . \
    | podman import --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - "$name" >/dev/null
echo "$name"
