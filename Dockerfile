# harness with every library it needs; runs on the CPU, and on NVIDIA GPUs with driver R580 or newer.
#     docker build -t harness .           or `make image`, which also fills in the labels
#     docker run harness bench --ratios 4,8,12,16
# requirements-extras.lock and EXTRAS make an image with the codecs whose libraries are under the GPL.
# torch's wheels bring CUDA 13.0 themselves, so a -base image is enough.
ARG BASE_IMAGE=nvidia/cuda:13.0.3-base-ubuntu24.04@sha256:7c7413a56200486f71f181cad9310f6fd31b6bb21816ade15fc9c1e1e927a5c1

# Python is the base's own: Ubuntu 24.04 has 3.12, Debian 12 has 3.11.
FROM ${BASE_IMAGE} AS base
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/* /var/log/*

# uv, and the part of the lock file that is torch and CUDA: nine tenths of the image.
FROM base AS tools
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv
WORKDIR /src
COPY requirements-uv.lock ./
RUN python3 -m venv /opt/uv \
    && /opt/uv/bin/pip install --no-cache-dir --require-hashes -r requirements-uv.lock
ARG LOCK=requirements.lock
COPY $LOCK ./
RUN awk '/^[a-z]/ { big = /^(torch|torchvision|triton|nvidia-.*|cuda-.*)==/ } big && !/#/' "$LOCK" > torch.lock

# What the project itself needs of the lock file (not its tools), every file checked by its hash. torch and CUDA are a
# layer of their own: it stays until one of their pins moves.
FROM base AS libraries
ARG INSTALL="uv pip install --python /opt/harness --cache-dir /opt/uv-cache --no-progress --compile-bytecode"
ARG PYC_INVALIDATION_MODE=UNCHECKED_HASH
WORKDIR /src
COPY --from=tools /opt/uv/bin/uv /usr/local/bin/
COPY --from=tools /src/torch.lock ./
RUN uv venv --python /usr/bin/python3 /opt/harness \
    && $INSTALL --no-deps --require-hashes -r torch.lock \
    && rm -rf /opt/uv-cache /opt/harness/.lock
ARG LOCK=requirements.lock
ARG EXTRAS=
COPY $LOCK pyproject.toml ./
# hadolint ignore=SC2086
RUN $INSTALL --require-hashes --constraints "$LOCK" -r pyproject.toml $EXTRAS \
    && rm -rf /opt/uv-cache /opt/harness/.lock

# The project, as a wheel built with the locked setuptools, in a tree of its own.
FROM libraries AS project
ARG LOCK=requirements.lock
ARG PYC_INVALIDATION_MODE=UNCHECKED_HASH
ARG SOURCE_DATE_EPOCH=0
COPY . ./
RUN uv build --quiet --python /opt/harness --wheel --no-build-isolation --out-dir /opt/wheel \
    && uv pip install --quiet --python /opt/harness --prefix /opt/project --no-deps --compile-bytecode /opt/wheel/*.whl \
    && cp LICENSE "$LOCK" /opt/project \
    && find /opt/project -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

FROM libraries
COPY --from=project /opt/project/ /opt/harness/
# Any user may write here, and nowhere else; so the image runs as it is under any --user.
RUN mkdir /results /cache && chmod 1777 /results /cache
VOLUME ["/results", "/cache"]
# Where /tmp cannot be written (--read-only), temporary files go to the working folder.
WORKDIR /cache
USER 65532:65532

ARG BASE_IMAGE
ARG VERSION=unknown
ARG REVISION=unknown
ARG SOURCE=unknown
ARG LOCK_SHA256=unknown
ARG LICENSES=Apache-2.0
ENV PATH=/opt/harness/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/cache \
    MPLCONFIGDIR=/cache/matplotlib \
    LOGNAME=harness \
    HARNESS_RESULTS=/results \
    HARNESS_CACHE=/cache \
    HARNESS_IMAGE=harness:$VERSION \
    HARNESS_BASE_IMAGE=$BASE_IMAGE \
    HARNESS_REVISION=$REVISION \
    HARNESS_LOCK_SHA256=$LOCK_SHA256
LABEL org.opencontainers.image.title="harness" \
      org.opencontainers.image.description="Benchmark image compression, learned and classical, honestly." \
      org.opencontainers.image.licenses="$LICENSES" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="$BASE_IMAGE" \
      harness.lock.sha256="$LOCK_SHA256"
ENTRYPOINT ["harness"]
CMD ["--help"]
