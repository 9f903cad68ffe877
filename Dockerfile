# syntax=docker/dockerfile:1
# The gateway, its command line and the simulator in one image. Build: docker build -t tillgate .

# -- wheels of exactly what requirements.lock names, checked against its hashes, and Tillgate itself
FROM python:3.11-slim-bookworm AS wheels
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

COPY requirements.lock ./
RUN pip wheel --require-hashes --requirement requirements.lock --wheel-dir /wheels

COPY pyproject.toml README.md ./
COPY gateway gateway
COPY device_sim device_sim
RUN pip install --no-index --find-links /wheels setuptools \
    && pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && python -m venv /opt/tillgate \
    && /opt/tillgate/bin/pip install --no-index --find-links /wheels tillgate
# The last step takes from those wheels only what runs: the tools for development stay behind in this stage.

# -- what is shipped
FROM python:3.11-slim-bookworm
RUN groupadd --system --gid 10001 tillgate \
    && useradd --system --uid 10001 --gid tillgate --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin tillgate \
    && install --directory --owner tillgate --group tillgate --mode 0750 /etc/tillgate /var/lib/tillgate
COPY --from=wheels /opt/tillgate /opt/tillgate

# Settings: a file made by `tillgate init`, over which any TILLGATE_* variable wins. What is written lies on one volume.
ENV PATH=/opt/tillgate/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TILLGATE_CONFIG=/etc/tillgate/tillgate.toml \
    TILLGATE_STORE_PATH=/var/lib/tillgate/tillgate.db \
    TILLGATE_PACKAGES_PATH=/var/lib/tillgate/packages \
    TILLGATE_HTTP_HOST=0.0.0.0 \
    TILLGATE_HTTP_PORT=8080

USER tillgate
WORKDIR /var/lib/tillgate
VOLUME /var/lib/tillgate
EXPOSE 8080

# Alive is not ready: a gateway whose broker is away answers here, and must not be restarted for it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"TILLGATE_HTTP_PORT\"]}/healthz', timeout=2)"]

# SIGTERM, the default, is an orderly stop: open requests and commits are finished first (at most 10 seconds).
ENTRYPOINT ["tillgate"]
CMD ["serve"]
