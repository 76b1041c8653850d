# The gateway alone: no torch, no model, no root. EXTRAS=embedded adds the in-process MiniLM and the
# on-disk engine, for a container that needs neither TEI nor Qdrant; EXTRAS=local makes the image of
# the model server, with sentence-transformers and the CUDA build of torch.
FROM python:3.13.9-slim-bookworm AS build

ARG EXTRAS=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/venv
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY gateway ./gateway
RUN /opt/venv/bin/pip install -c constraints.txt ".${EXTRAS:+[$EXTRAS]}"

FROM python:3.13.9-slim-bookworm

RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin gateway \
    && install -d -o 10001 -g 10001 /data
COPY --from=build /opt/venv /opt/venv
# Binding all addresses needs API keys: without GATEWAY_SERVER__API_KEYS the server refuses to start.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GATEWAY_DATA_DIR=/data \
    GATEWAY_SERVER__HOST=0.0.0.0 \
    GATEWAY_SERVER__PORT=8080
WORKDIR /data
USER 10001:10001
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=6 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/livez', timeout=4)"]
ENTRYPOINT ["gateway"]
CMD ["serve"]
