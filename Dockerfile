# The service alone: what `vindima serve` imports, and the set that `make` left in data/served.
# The base by its digest: --build-arg BASE=python:3.13-slim-trixie@sha256:…
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
WORKDIR /build
RUN python3 -m venv tools && python3 -m venv --without-pip /opt/vindima
COPY deploy/locks/build.txt deploy/locks/service.txt ./
RUN tools/bin/pip install --no-cache-dir --only-binary :all: --require-hashes -r build.txt \
 && tools/bin/pip --python /opt/vindima/bin/python install --no-cache-dir --only-binary :all: --require-hashes -r service.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir wheels . \
 && tools/bin/pip --python /opt/vindima/bin/python install --no-cache-dir --no-deps wheels/*.whl
# Babel and pycountry bring hundreds of languages that nobody is answered in: nearly as many bytes as all else.
RUN find /opt/vindima/lib -path '*/babel/locale-data/*' ! -name 'root.*' ! -name 'en*' ! -name 'pt*' -delete \
    -o -path '*/pycountry/locales/*' ! -path '*/locales/pt_BR*' -delete
COPY data/served /srv/vindima/data/served
RUN chmod -R u=rwX,go=rX /opt/vindima /srv/vindima

FROM ${BASE}
LABEL org.opencontainers.image.title="vindima" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.description="Price forecasts of Brazil's wine statistics that say how sure they are, over HTTP." \
      org.opencontainers.image.vendor="The Vindima authors" \
      org.opencontainers.image.licenses="BSD-3-Clause"
RUN install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/vindima
COPY --from=build /opt/vindima /opt/vindima
COPY --from=build /srv/vindima /srv/vindima
ENV PATH=/opt/vindima/bin:$PATH \
    HOST=0.0.0.0 \
    VINDIMA_ROOT=/srv/vindima \
    VINDIMA_USERS=/var/lib/vindima/users.sqlite
WORKDIR /srv/vindima
USER 10001:10001
EXPOSE 8000 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["python", "-m", "vindima.serving.health"]
ENTRYPOINT ["vindima"]
CMD ["serve"]
