# Two images with the same words, serve, train and run (deploy/entrypoint.sh). The last, `service`, has what `vindima serve`
# imports, and the set that `make` left in data/served; `pipeline` has the whole project beside: --target pipeline.
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
COPY data/served /srv/vindima/data/served
COPY --chmod=755 deploy/entrypoint.sh /opt/vindima/bin/entrypoint.sh
RUN chmod -R u=rwX,go=rX /opt/vindima /srv/vindima

FROM build AS lean
# Babel and pycountry bring hundreds of languages that nobody is answered in: nearly as many bytes as all else.
RUN find /opt/vindima/lib -path '*/babel/locale-data/*' ! -name 'root.*' ! -name 'en*' ! -name 'pt*' -delete \
    -o -path '*/pycountry/locales/*' ! -path '*/locales/pt_BR*' -delete

FROM build AS project
COPY deploy/locks/pipeline.txt ./
# One package has no wheel; what builds it is of the lock, too.
RUN awk '/^setuptools==/ {on = 1} on {print; if (!/\\$/) exit}' pipeline.txt > setuptools.txt \
 && tools/bin/pip --python /opt/vindima/bin/python install --no-cache-dir --only-binary :all: --require-hashes -r setuptools.txt \
 && tools/bin/pip --python /opt/vindima/bin/python install --no-cache-dir --only-binary :all: --no-binary antlr4-python3-runtime \
    --no-build-isolation --require-hashes -r pipeline.txt
COPY .dvc/config /srv/vindima/.dvc/config
COPY README.md requirements.txt params.yaml dvc.yaml dvc.lock /srv/vindima/
COPY src /srv/vindima/src
COPY notebooks /srv/vindima/notebooks
COPY data /srv/vindima/data
COPY reports /srv/vindima/reports
RUN chmod -R u=rwX,go=rX /opt/vindima /srv/vindima

FROM ${BASE} AS ground
LABEL org.opencontainers.image.title="vindima" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.description="Price forecasts of Brazil's wine statistics that say how sure they are, over HTTP." \
      org.opencontainers.image.vendor="The Vindima authors" \
      org.opencontainers.image.licenses="BSD-3-Clause"
RUN install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/vindima
ENV PATH=/opt/vindima/bin:$PATH \
    HOST=0.0.0.0 \
    VINDIMA_ROOT=/srv/vindima \
    VINDIMA_USERS=/var/lib/vindima/users.sqlite
WORKDIR /srv/vindima
USER 10001:10001
EXPOSE 8000 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["python", "-m", "vindima.serving.health"]
ENTRYPOINT ["entrypoint.sh"]
CMD ["serve"]

FROM ground AS pipeline
COPY --from=project /opt/vindima /opt/vindima
COPY --from=project /srv/vindima /srv/vindima

FROM ground AS service
COPY --from=lean /opt/vindima /opt/vindima
COPY --from=lean /srv/vindima /srv/vindima
