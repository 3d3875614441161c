# syntax=docker/dockerfile:1
# The version the tests run on.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /opt/ocisource
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# The pinned dependencies first: they change less often than the source.
COPY requirements/image.txt requirements/
RUN /opt/ocisource/bin/pip install --require-hashes --only-binary :all: -r requirements/image.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY examples/podinfo examples/podinfo
RUN /opt/ocisource/bin/pip install --no-deps --no-build-isolation . \
 && /opt/ocisource/bin/pip uninstall --yes pip

FROM python:${PYTHON}-slim-bookworm
LABEL org.opencontainers.image.title="ocisource" \
      org.opencontainers.image.description="A source controller for OCI repositories" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/ocisource /opt/ocisource
RUN install -d -o 65532 -g 65532 -m 0750 /data
# malloc: reads of 256 KiB stay in the heap; glibc's default maps and unmaps memory for each of
# them, which doubles the cost of a request over plain HTTP.
ENV PATH=/opt/ocisource/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MALLOC_MMAP_THRESHOLD_=8388608 \
    MALLOC_TRIM_THRESHOLD_=16777216 \
    HOME=/tmp
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
WORKDIR /tmp
# Artifacts, metrics, health.
EXPOSE 9090 8080 9440
ENTRYPOINT ["ocisource"]
CMD ["--help"]
