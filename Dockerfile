# syntax=docker/dockerfile:1
# Two images from one file: `api` (api, migrations, CLI; no torch) and `worker` (worker and beat).
# The Python is the one the tests run on.

FROM python:3.11-slim-bookworm AS python
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
ENV PATH=/opt/venv/bin:$PATH

FROM python AS wheel
WORKDIR /build
COPY requirements/build.txt requirements/
RUN python -m venv /opt/venv && pip install --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY api api
COPY core core
COPY migrations migrations
COPY vyaz vyaz
COPY worker worker
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python AS api-packages
COPY requirements/api.txt /tmp/
RUN python -m venv /opt/venv && pip install --require-hashes -r /tmp/api.txt
COPY --from=wheel /wheels /wheels
RUN pip install --no-deps /wheels/*.whl

FROM python AS worker-packages
COPY requirements/worker.txt /tmp/
RUN python -m venv /opt/venv && pip install --require-hashes -r /tmp/worker.txt
COPY --from=wheel /wheels /wheels
RUN pip install --no-deps /wheels/*.whl

# What both images are when they run: no compiler, no pip cache, one ordinary user, one folder that may be written.
FROM python AS runtime
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/vyaz --shell /usr/sbin/nologin vyaz \
    && install --directory --owner vyaz --group vyaz /var/lib/vyaz /var/lib/vyaz/store
ENV HOME=/var/lib/vyaz VYAZ_DATA=/var/lib/vyaz
WORKDIR /opt/vyaz
COPY pyproject.toml ./
USER 10001:10001

FROM runtime AS api
COPY --from=api-packages /opt/venv /opt/venv
EXPOSE 8000

FROM runtime AS worker
COPY --from=worker-packages /opt/venv /opt/venv
