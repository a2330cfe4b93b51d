# The control plane: Airflow's api-server, scheduler, DAG processor and triggerer, and the `memorial` command.
# No torch, no media libraries, no GPU: the work itself is done by the worker image.
#
#   docker build -f docker/airflow.Dockerfile -t memorial-airflow .
#
# BASE_IMAGE is any Debian 12 with Python 3.11.5 or newer, below 3.12 (python3, venv). Builds that are handed on name it by digest:
#   docker buildx imagetools inspect docker.io/library/python:3.11-slim-bookworm   # prints the digest of today
#   docker build --build-arg BASE_IMAGE=docker.io/library/python@sha256:<that digest> ...
#
# Behind a proxy or a private index, without leaving a trace in the image:
#   --secret id=pip_conf,src=pip.conf --secret id=ca_bundle,src=ca.pem     (pip.conf: cert = /run/secrets/ca_bundle)
ARG BASE_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
WORKDIR /src
RUN python3 -c 'import sys, venv, ensurepip; sys.exit(not (3, 11, 5) <= sys.version_info < (3, 12))' \
    || { echo "BASE_IMAGE needs Python 3.11.5 or newer, below 3.12, with venv" >&2; exit 1; }
# First what we depend on, by its pins, so that a change of our own code does not install Airflow again.
COPY pyproject.toml constraints.txt README.md setup.py ./
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=secret,id=ca_bundle \
    mkdir memorial_tasks && echo '__version__ = "0"' > memorial_tasks/__init__.py \
    && python3 -m venv /opt/memorial \
    && /opt/memorial/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt ".[control,cluster]" \
    && /opt/memorial/bin/pip uninstall --yes --quiet memorial-studio \
    && rm -rf memorial_tasks build
COPY MANIFEST.in ./
COPY tools/audit_verifier.py tools/
COPY sql sql
COPY dags dags
COPY infra/pods infra/pods
COPY memorial_tasks memorial_tasks
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=secret,id=ca_bundle \
    /opt/memorial/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps -c constraints.txt . \
    && /opt/memorial/bin/pip check

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="Memorial Studio, control plane" \
      org.opencontainers.image.licenses="Apache-2.0"
# The DAGs may come from a Git bundle, whose provider calls the program. Nothing else is installed here.
RUN apt-get update \
    && apt-get install -y --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/memorial /opt/memorial
# 10001: no user of the host; group 0 and group-writable, so that a platform may choose another user id.
RUN install -d -o 10001 -g 0 -m 0770 /var/lib/memorial /var/lib/memorial/airflow \
    && echo 'memorial:x:10001:0:Memorial Studio:/var/lib/memorial:/usr/sbin/nologin' >> /etc/passwd
ENV PATH=/opt/memorial/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/lib/memorial \
    MEMORIAL_HOME=/var/lib/memorial \
    AIRFLOW_HOME=/var/lib/memorial/airflow \
    AIRFLOW__CORE__LOAD_EXAMPLES=False
USER 10001:0
WORKDIR /var/lib/memorial
EXPOSE 8080
ENTRYPOINT ["airflow"]
CMD ["version"]
