#!/bin/sh
# The words of the image: serve, train [FOLDER] and run; any other is a command of vindima (users, keys, doctor, …).
# The root file system may be read-only, but for /tmp and the folder of data.
set -eu
data=${VINDIMA_DATA:-/var/lib/vindima}
word=${1:-serve}
[ $# -eq 0 ] || shift

# A project that can be written: the image's own; what lasts is in the storage.
project() {
  if [ ! -f "$VINDIMA_ROOT/dvc.yaml" ]; then
    echo "vindima: this image holds the service alone: build the target pipeline for $word" >&2
    exit 1
  fi
  rm -rf "$data/project"
  mkdir -p "$data/project"
  cp -R "$VINDIMA_ROOT/." "$data/project"
  chmod -R u+w "$data/project"
  # DVC and IPython ask for a name and a home, which a number among users has not, and DVC for a folder of /var.
  export HOME="$data" LOGNAME=vindima DVC_SITE_CACHE_DIR="$data/project/.dvc/tmp/site" VINDIMA_ROOT="$data/project" VINDIMA_STORAGE="${VINDIMA_STORAGE:-$data/storage}"
  cd "$data/project"
}

# What a model host is told of a training that failed.
failed() {
  cat "$data/train.log"
  tail -n 1 "$data/train.log" >&2
  [ ! -d /opt/ml/output ] || tail -n 1 "$data/train.log" > /opt/ml/output/failure
  exit 1
}

case "$word" in
serve)
  # The set: what the host unpacked, what the storage keeps, or the image's own; a newer one is taken each hour, and
  # so are the users that the storage keeps.
  for place in /opt/ml/model "${AZUREML_MODEL_DIR:-/nowhere}" "${AZUREML_MODEL_DIR:-/nowhere}"/*; do
    if [ -f "$place/set.json" ]; then exec env VINDIMA_SERVED="$place" vindima serve "$@"; fi
  done
  from=${AIP_STORAGE_URI:-${VINDIMA_STORAGE:-}}
  if [ -n "$from" ]; then
    export VINDIMA_SERVED="$data/served"
    [ -d "$VINDIMA_SERVED" ] || cp -R "$VINDIMA_ROOT/data/served" "$VINDIMA_SERVED"
    chmod -R u+w "$VINDIMA_SERVED"
    # A model host asks without users.
    users() { [ -n "${VINDIMA_HOST_CONTRACT:-}${AIP_HTTP_PORT:-}" ] || vindima users copy --from "$from" >&2; }
    vindima switch --from "$from" >&2 || echo "vindima: the set on hand is served" >&2
    users || echo "vindima: the users on hand are asked" >&2
    ( while sleep "${VINDIMA_FETCH_SECONDS:-3600}" && kill -0 $$ 2> /dev/null; do
        vindima switch --from "$from" >&2 || echo "vindima: the last set goes on being served" >&2
        users || echo "vindima: the last users go on being asked" >&2
      done ) &
  fi
  exec vindima serve "$@"
  ;;
train)
  # Trains on the newest snapshot of a lake, and leaves the set where the host looks for a model.
  lake=${VINDIMA_LAKE:-}
  [ -n "$lake" ] || [ ! -d /opt/ml/input/data/lake ] || lake=/opt/ml/input/data/lake
  [ -n "$lake" ] || [ -z "${VINDIMA_STORAGE:-}" ] || lake="$VINDIMA_STORAGE/lake"
  project
  if [ -z "$lake" ]; then
    echo "vindima: train needs a lake: VINDIMA_LAKE, VINDIMA_STORAGE or /opt/ml/input/data/lake" > "$data/train.log"
    failed
  fi
  given=/opt/ml/input/config/hyperparameters.json
  if [ -f "$given" ]; then vindima check --take "$given" > "$data/train.log" 2>&1 || failed; fi
  VINDIMA_SOURCE="lake:$lake" vindima run --refresh > "$data/train.log" 2>&1 || failed
  # A lake without anything new ends that run before it looks at the parameters.
  if [ -f "$given" ]; then vindima run >> "$data/train.log" 2>&1 || failed; fi
  cat "$data/train.log"
  folder=${1:-}
  [ -n "$folder" ] || [ ! -d /opt/ml ] || folder=/opt/ml/model
  if [ -n "$folder" ]; then mkdir -p "$folder" && cp -R "$data/project/data/served/." "$folder"; fi
  [ -z "${AIP_MODEL_DIR:-}" ] || vindima switch --to "$AIP_MODEL_DIR"
  ;;
run)
  project
  exec vindima run --refresh "$@"
  ;;
*)
  exec vindima "$word" "$@"
  ;;
esac
