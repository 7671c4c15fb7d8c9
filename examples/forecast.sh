#!/bin/sh
# What a kilogram of Chilean table wine is likely to cost, by curl.
# Set VINDIMA_NAME and VINDIMA_PASSWORD; VINDIMA_URL is http://localhost:8000 unless set.
set -eu
url="${VINDIMA_URL:-http://localhost:8000}"

token=$(curl -sS --fail-with-body --user "$VINDIMA_NAME:$VINDIMA_PASSWORD" --request POST "$url/v1/token" |
  sed 's/.*"access_token":"\([^"]*\)".*/\1/')

echo "As it is:"
curl -sS --fail-with-body --header "Authorization: Bearer $token" \
  "$url/v1/series/imports.table_wine.CHL/forecast?horizon=1&level=80"
echo

echo "If a dollar cost a tenth more reais:"
curl -sS --fail-with-body --header "Authorization: Bearer $token" --header "Content-Type: application/json" \
  --data '{"series": "imports.table_wine.CHL", "horizon": 1, "level": 80, "scenario": {"exchange_rate": {"pct": 10}}}' \
  "$url/v1/predictions"
echo
