# One image for every process of the Procfile; the command says which. Settings come from the environment.

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
COPY requirements.txt /build/requirements.txt
# Every package as it was tested, by its hash; nothing is compiled, so the next stage needs no compiler either.
RUN /opt/venv/bin/pip install --require-hashes --only-binary :all: --requirement /build/requirements.txt

FROM python:3.11-slim
# Nobody's account: it owns nothing that it runs, and may write to /tmp alone.
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin cfar
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY pyproject.toml ./
COPY shared shared
COPY webhook_gateway webhook_gateway
COPY workers workers
COPY --chmod=755 docker-cfar.sh /usr/local/bin/cfar
# Logs leave at once; no bytecode is written, for there is nowhere to write it.
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PORT=8000
USER 10001
EXPOSE 8000
# Of the web process; compose.yaml switches it off for the others. Alive, not ready: a database that is away is no
# reason to restart.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/livez', timeout=4)"]
# Each process ends within 25 s of SIGTERM: let the engine wait for 30.
STOPSIGNAL SIGTERM
CMD ["gunicorn", "--config", "webhook_gateway/gunicorn_conf.py", "webhook_gateway.wsgi:app"]
