#!/usr/bin/env bash
# Builds compose.yaml's images, runs the whole stack, answers the example questions through it, and looks at what each
# container may do. Needs `docker compose`, or podman with podman-compose (COMPOSE names another command, BUILD_ARGS
# what its build takes). Everything that it made is removed at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ -z "${COMPOSE:-}" ]; then
  if docker compose version >/dev/null 2>&1; then COMPOSE="docker compose"
  elif command -v podman-compose >/dev/null; then COMPOSE=podman-compose
  else echo "neither docker compose nor podman-compose is here" >&2; exit 1; fi
fi
engine=podman; [[ $COMPOSE == docker* ]] && engine=docker
export COMPOSE_PROJECT_NAME=sealbatch-test
compose() { $COMPOSE "$@"; }
name() { $engine ps -a --format '{{.Names}}' | grep -E "^$COMPOSE_PROJECT_NAME[-_]$1[-_]1$"; }
fail() { echo "FAILED: $*" >&2; exit 1; }

finish() {
  status=$?
  if [ $status -ne 0 ]; then compose logs 2>&1 | tail -60 >&2 || true; fi
  compose down -v >/dev/null 2>&1 || true
  exit $status
}
trap finish EXIT

began=$SECONDS
# shellcheck disable=SC2086
compose ${BUILD_ARGS:+--podman-build-args="$BUILD_ARGS"} build
echo "built in $((SECONDS - began)) s"
compose up -d
echo "up after $((SECONDS - began)) s"

ticket=$(compose run --rm -T producer submit /examples/benefits.jsonl 2>/dev/null | tail -1 | tr -d '\r')
[[ $ticket == sb1* || ${#ticket} -gt 40 ]] || fail "no ticket: $ticket"
compose run --rm -T reader wait "$ticket" --timeout 300
answers=$(compose run --rm -T reader fetch "$ticket" -o - 2>/dev/null | grep -c '"outcome"')
[ "$answers" = 66 ] || fail "$answers answers of 66"
echo "66 questions answered after $((SECONDS - began)) s"

for service in aws redis enclave bridge worker beat; do
  container=$(name $service) || fail "$service does not run"
  $engine exec "$container" sh -c 'test "$(id -u)" = 10001' || fail "$service runs as root"
  if $engine exec "$container" sh -c 'touch /opt/x' 2>/dev/null; then fail "$service can write to its own files"; fi
done
if $engine exec "$(name bridge)" python3 -c 'import torch' 2>/dev/null; then fail "the bridge has the model stack"; fi
if $engine exec "$(name bridge)" test -e /model; then fail "the bridge has the model"; fi
links=$($engine exec "$(name enclave)" sh -c 'cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d " "')
[ "$links" = lo ] || fail "the enclave has a network: $links"
if $engine exec "$(name enclave)" python3 -c 'import boto3' 2>/dev/null; then
  echo "note: boto3 is installed beside the worker, which does not import it"
fi

$engine exec "$(name worker)" cp /examples/benefits.jsonl /night/inbox/tonight.jsonl
compose run --rm -T producer schedule run-now night
for _ in $(seq 300); do
  if $engine exec "$(name worker)" sh -c 'ls /night/answers/night/*/*.answers.jsonl /night/answers/*/*.answers.jsonl' 2>/dev/null; then
    echo "a night's answers after $((SECONDS - began)) s"; exit 0
  fi
  sleep 1
done
fail "no answers of the night"
