# Wolfhound in a container: the command `wolfhound`, not root, no compiler and no package manager of Python's in it.
#
#   docker build -t wolfhound .                                      for the CPU
#   docker build -t wolfhound --build-arg TORCH_BACKEND=cu130 .      for CUDA 13.0; run it with `docker run --gpus all`
#   docker build -t wolfhound --build-arg TORCH_BACKEND= .           whatever PyTorch publishes for this platform
#
#   docker run --rm -v "$PWD:/audit" -v wolfhound:/cache wolfhound demo
#   docker run --rm -v "$PWD:/audit" -v wolfhound:/cache --user "$(id -u):$(id -g)" wolfhound run plan.yaml
#
# /audit is the working folder: plans, images and weights are read from it, runs are written to it. /cache keeps decoded
# images and trained demonstration classifiers from one container to the next.
#
# Tried: built by buildah and run as user 1000 and as another, on a stand-in for the base image (Debian 12 with its own
# Python 3.11) with TORCH_BACKEND= ; hadolint. Not tried: Docker itself, the cpu and cu130 builds, --gpus.

ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
# uv knows by itself where PyTorch keeps its builds for the CPU and for each CUDA version.
ARG TORCH_BACKEND=cpu
ARG UV=0.13.9
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
RUN python3 -m venv /opt/uv \
    && /opt/uv/bin/pip install --no-cache-dir "uv==${UV}" \
    && /opt/uv/bin/uv venv --python "$(command -v python3)" /opt/wolfhound
WORKDIR /source
# The dependencies first, so that a change of the code alone does not install them again.
COPY pyproject.toml constraints.txt ./
RUN /opt/uv/bin/uv pip install --python /opt/wolfhound --constraints constraints.txt \
    ${TORCH_BACKEND:+"--torch-backend=${TORCH_BACKEND}"} --requirements pyproject.toml
COPY . .
RUN /opt/uv/bin/uv pip install --python /opt/wolfhound --build-constraints constraints.txt --no-deps .

FROM python:${PYTHON}
# The libraries that WeasyPrint opens, and a font, in the versions of the day: Debian keeps no older ones.
# /audit and /cache can be written by whatever user the container gets.
# hadolint ignore=DL3008
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        fonts-dejavu-core libharfbuzz-subset0 libpangoft2-1.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --home-dir /cache --no-create-home wolfhound \
    && install --directory --mode 1777 /audit /cache
COPY --from=build /opt/wolfhound /opt/wolfhound
ENV PATH=/opt/wolfhound/bin:$PATH HOME=/cache WOLFHOUND_CACHE=/cache/wolfhound MPLCONFIGDIR=/cache/matplotlib
USER 1000
WORKDIR /audit
# An interrupted audit can be resumed, so `docker stop` interrupts; Python as the first process would ignore SIGTERM.
STOPSIGNAL SIGINT
ENTRYPOINT ["wolfhound"]
CMD ["--help"]
