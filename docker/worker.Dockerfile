# The data plane: one step of one order, then it ends. CUDA-enabled torch from the project's own pins; the machine
# brings the driver (NVIDIA container toolkit), nothing else. Holds no database driver, no Airflow, no key of anybody.
#
#   docker build -f docker/worker.Dockerfile -t memorial-worker .
#
# BASE_IMAGE, private indexes and certificates as in airflow.Dockerfile. Runs with a read-only root: what it writes
# goes to /tmp and MEMORIAL_SCRATCH, which the pod mounts from memory.
# EXTRAS=control,worker makes the one image of compose.yaml, where Airflow runs the steps as its own subprocesses.
ARG BASE_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
ARG EXTRAS=worker
WORKDIR /src
RUN python3 -c 'import sys, venv, ensurepip; sys.exit(not (3, 11, 5) <= sys.version_info < (3, 12))' \
    || { echo "BASE_IMAGE needs Python 3.11.5 or newer, below 3.12, with venv" >&2; exit 1; }
# pyworld comes as source: a compiler and Python's headers, in this stage only.
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && { test -f "$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" \
         || apt-get install -y --no-install-recommends libpython3-dev; } \
    && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml constraints.txt README.md setup.py ./
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=secret,id=ca_bundle \
    mkdir memorial_tasks && echo '__version__ = "0"' > memorial_tasks/__init__.py \
    && python3 -m venv /opt/memorial \
    && /opt/memorial/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt \
        "setuptools>=77,<82" wheel numpy cython \
    && /opt/memorial/bin/pip install --no-cache-dir --disable-pip-version-check --no-build-isolation \
        -c constraints.txt ".[${EXTRAS}]" \
    && /opt/memorial/bin/pip uninstall --yes --quiet memorial-studio cython wheel \
    && rm -rf memorial_tasks build
COPY memorial_tasks/__init__.py memorial_tasks/errors.py memorial_tasks/assets.py memorial_tasks/
# Face models and font, pinned by digest, out of wheels that are never installed. A folder of wheels carried over by
# hand may be given instead: --build-context or -v, and --build-arg MEMORIAL_WHEELS=/that/folder
ARG MEMORIAL_WHEELS=
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=secret,id=ca_bundle \
    MEMORIAL_WHEELS="${MEMORIAL_WHEELS}" /opt/memorial/bin/python -m memorial_tasks.assets /opt/memorial-assets
COPY MANIFEST.in ./
COPY tools/audit_verifier.py tools/
COPY sql sql
COPY dags dags
COPY infra/pods infra/pods
COPY memorial_tasks memorial_tasks
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=secret,id=ca_bundle \
    /opt/memorial/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation \
        -c constraints.txt . \
    && /opt/memorial/bin/pip check

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="Memorial Studio, data plane" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/memorial /opt/memorial
COPY --from=build /opt/memorial-assets /opt/memorial-assets
RUN echo 'memorial:x:10001:10001:Memorial Studio step:/tmp:/usr/sbin/nologin' >> /etc/passwd \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/memorial /var/lib/memorial/gate /var/lib/memorial/deliveries
# Caches of libraries go where a read-only root still lets them be written.
ENV PATH=/opt/memorial/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONHASHSEED=0 \
    HOME=/tmp \
    NUMBA_CACHE_DIR=/tmp/numba \
    MPLCONFIGDIR=/tmp/matplotlib \
    MEMORIAL_ASSETS=/opt/memorial-assets \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["python", "-m", "memorial_tasks.steps"]
CMD ["--help"]
