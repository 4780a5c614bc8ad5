# syntax=docker/dockerfile:1
# The container image of `pipe server`: it executes no run, so it has no torch, no GDAL and no Dask.
#
#   docker build --file infra/docker/server.Dockerfile --tag swath-server .
#   docker run --volume swath:/data --publish 8270:8270 swath-server --url https://swath.example.org --behind-proxy
#
# tests/server/test_serving.py holds the list of packages: the server works where nothing else can be imported.

ARG PYTHON=3.11
# "@sha256:..." of base.digest, so that the tag may not change what is built.
ARG BASE_DIGEST=""

FROM python:${PYTHON}-slim-bookworm${BASE_DIGEST} AS python
ENV PATH=/opt/swath/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1

FROM python AS packages
WORKDIR /build
COPY README.md LICENSE pyproject.toml constraints.txt ./
# Versions are those of constraints.txt.
# hadolint ignore=DL3013
RUN python -m venv /opt/swath \
    && pip install --constraint constraints.txt argon2-cffi cronsim fastapi jinja2 joserfc psutil "psycopg[binary]" psycopg-pool pydantic PyYAML starlette typer tzdata urllib3 uvicorn
COPY swath swath
COPY cli cli
COPY pipelines pipelines
RUN pip install --no-deps --constraint constraints.txt .

FROM python AS server
RUN groupadd --gid 10001 swath \
    && useradd --uid 10001 --gid swath --create-home swath \
    && install --directory --owner=swath --group=swath --mode=700 /data
COPY --from=packages /opt/swath /opt/swath
VOLUME /data
EXPOSE 8270
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8270/healthz', timeout=5)"]
ENTRYPOINT ["pipe", "server", "--data", "/data", "--host", "0.0.0.0"]
CMD ["--help"]
LABEL org.opencontainers.image.title="swath server" \
      org.opencontainers.image.licenses="MIT"
USER 10001:10001
