# The model server as an image: docker build --target serve -t mlflowkit-serve:0.1.0 .
# docs/how-to/deploy.md says how it is used, and how to bring it to nodes without a registry.

ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS base
ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
# The uid is the one that the manifests of mlflowkit/ml/manifests.py run as.
RUN groupadd --gid 10001 mlflowkit \
 && useradd --uid 10001 --gid 10001 --create-home --shell /usr/sbin/nologin mlflowkit

FROM base AS build
# An index with CPU builds of PyTorch makes the image some gigabytes smaller; empty: pip's own.
ARG TORCH_INDEX_URL=""
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /src
COPY constraints.txt ./
# PyTorch first: a change of our own code does not install it again.
RUN pip install --constraint constraints.txt \
    ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} torch torchvision
COPY pyproject.toml README.md LICENSE ./
COPY mlflowkit ./mlflowkit
RUN pip install --constraint constraints.txt ".[serve,kubernetes]"

FROM base AS serve
COPY --from=build /opt/venv /opt/venv
# `/` is not writable for the server, so nothing can be put before its modules.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    MLFLOWKIT_HOME=/tmp/mlflowkit
WORKDIR /
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["python", "-m", "mlflowkit.ml.serve"]
CMD ["--help"]
