#!/usr/bin/env bash
# From a fresh clone to a merged model: installs what building needs, builds the
# program, and merges the three sample experts.
#
# usage: deploy/quickstart.sh [OUTPUT]     default: build/quickstart-output
#        deploy/quickstart.sh --dashboard [--port PORT]
#
# May be run again: what is built stays built, and the output is replaced.
#
# --dashboard: starts a coordinator with its pages at 127.0.0.1:PORT (default: a
# free one) and two workers, submits the merge, and prints an address that logs a
# browser in, once. Runs until Ctrl-C, then ends what it started and removes what
# that wrote.
set -euo pipefail
dashboard=false
port=0
arguments=()
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help)
      sed -n '2,13s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    --dashboard) dashboard=true ;;
    --port)
      port="${2:-}"
      shift
      ;;
    -*)
      echo "quickstart.sh: found $1, expected OUTPUT, --dashboard, --port or --help" >&2
      exit 2
      ;;
    *) arguments+=("$1") ;;
  esac
  shift
done
if [ ${#arguments[@]} -gt 1 ] || { $dashboard && [ ${#arguments[@]} -gt 0 ]; }; then
  echo "quickstart.sh: found ${arguments[*]}, expected one OUTPUT, or none with --dashboard" >&2
  exit 2
fi
if ! [[ "$port" =~ ^[0-9]{1,5}$ ]]; then
  echo "quickstart.sh: --port: found '$port', expected a number" >&2
  exit 2
fi
output=$(realpath -m "${arguments[0]:-$(dirname "$0")/../build/quickstart-output}")
cd "$(dirname "$0")/.."
# ccache keeps its files under HOME, which a bare container may not set.
export HOME="${HOME:-$(cd ~ 2>/dev/null && pwd || echo /tmp)}"

# MERGANSER_BIN: a program that is there already.
program="${MERGANSER_BIN:-build/bin/merganser}"
if [ -z "${MERGANSER_BIN:-}" ]; then
  deploy/install-build-deps.sh
  # A build folder that the tests configured already keeps its settings.
  if [ ! -f build/build.ninja ]; then
    cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DMERGANSER_TESTS=OFF
  fi
  cmake --build build --target merganser
fi

recipe=tests/data/recipes/resmerge.yaml

if ! $dashboard; then
  echo
  echo "Merging as $recipe says:"
  echo
  "$program" merge "$recipe" "$output" --overwrite
  echo
  "$program" verify "$output"
  echo
  echo "The merged checkpoint is in $output"
  echo "What was measured, tensor by tensor: $output/merge_report.json"
  exit 0
fi

folder=$(mktemp -d "${TMPDIR:-/tmp}/merganser-dashboard-XXXXXX")
# Its token is left here, and nobody else's coordinator is touched.
export XDG_RUNTIME_DIR="$folder"
unset MERGANSER_TOKEN
pids=()

# Workers first, which hand back what they hold.
# shellcheck disable=SC2317  # called by a trap
finish() {
  trap - EXIT
  # A second Ctrl-C would leave what this removes.
  trap '' INT TERM
  local i
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    kill -TERM "${pids[i]}" 2>/dev/null || true
    wait "${pids[i]}" 2>/dev/null || true
  done
  rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

failed() {
  echo "quickstart.sh: $1" >&2
  cat "$folder"/*.log >&2
  exit 1
}

# In sessions of their own: a terminal's Ctrl-C is for this script, which tells them.
setsid "$program" coordinator --listen 127.0.0.1:0 --http "127.0.0.1:$port" \
  --state "$folder/state" --login-link "$folder/link" \
  >"$folder/coordinator.out" 2>"$folder/coordinator.log" &
pids+=($!)
for _ in $(seq 300); do
  if [ -s "$folder/link" ] && grep -q '^listening on' "$folder/coordinator.out"; then break; fi
  kill -0 "${pids[0]}" 2>/dev/null || failed "the coordinator ended"
  sleep 0.1
done
address=$(sed -n 's/^listening on //p' "$folder/coordinator.out")
if [ -z "$address" ] || [ ! -s "$folder/link" ]; then failed "the coordinator does not answer"; fi
for number in 1 2; do
  setsid "$program" worker --coordinator "$address" --threads 1 --memory 1GiB \
    >"$folder/worker-$number.log" 2>&1 &
  pids+=($!)
done
job=$("$program" submit "$recipe" "$folder/merged" --coordinator "$address" --name "sample experts") ||
  failed "the merge could not be submitted"

echo
echo "Merging as $recipe says, with two workers: $job"
echo
echo "Open this within ten minutes; it logs in once:"
echo
echo "    $(cat "$folder/link")"
echo
echo "State, output and logs are in $folder until Ctrl-C."
wait "${pids[0]}" || true
failed "the coordinator ended"
