#!/usr/bin/env bash
# Every test, from a fresh clone, as CI runs them.
#
# usage: tests/run.sh [--fast | --full | --chaos | --architectures | --peers | --fuzz [SECONDS] |
#        --soak [MINUTES] | --coverage]
#
#   (none)   release build with warnings as errors; tests/lint.sh; all tests; then a build with
#            AddressSanitizer and UBSan: unit tests and the quickest end-to-end tests
#            without a cluster
#   --fast   release build, tests/lint.sh, unit tests and the quickest end-to-end tests
#   --full   as without, and: many more seeds, all tests under AddressSanitizer,
#            all but clusters under ThreadSanitizer, the interop group (PyPI, npm), a
#            Slurm of one node, packages and image in a bare Debian 12, clang-tidy, and clusters of
#            this version with the last
#   --chaos  release build; jobs that are disturbed, under many more seeds (no part of --full)
#   --architectures
#            release build; a hundred and more tiny models of transformers' own classes, merged and
#            loaded (PyPI; no part of --full)
#   --peers  release build; whole merges held against mergekit's and against torch's, 40 minutes on a
#            machine with nothing else to do (PyPI; no part of --full). Models and results stay in
#            merganser-peers-UID of the folder for temporary files: a second run goes on
#   --fuzz [SECONDS]
#            a build of its own with Clang, AddressSanitizer and UBSan; every fuzz target for so many
#            seconds (60), from its seeds or from where the last run ended (no part of --full)
#   --soak [MINUTES]
#            release build; jobs of every method from disk and bucket under disturbances for so many
#            minutes (120): flat lines, drawn in build/soak/soak.md (no part of --full)
#   --coverage
#            a build of its own; what the tests run, and the error paths that none takes (no part of
#            --full)
#
# Needs Debian 12 and root or sudo where packages are missing. Ends with CTest's
# own summary; exits non-zero as soon as a group fails. See tests/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."

mode=normal
case "${1:-}" in
  "") ;;
  --fast) mode=fast ;;
  --full) mode=full ;;
  --chaos) mode=chaos ;;
  --architectures) mode=architectures ;;
  --peers) mode=peers ;;
  --fuzz) mode=fuzz ;;
  --soak) mode=soak ;;
  --coverage) mode=coverage ;;
  -h | --help)
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  *)
    echo "tests/run.sh: unknown argument $1 (see --help)" >&2
    exit 2
    ;;
esac

export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
# ccache keeps its files under HOME, which a bare container may not set.
export HOME="${HOME:-$(cd ~ 2>/dev/null && pwd || echo /tmp)}"

stage() {
  printf '\n==> %s\n' "$*"
}

if [ "$mode" = full ] || [ "$mode" = peers ]; then
  deploy/install-build-deps.sh --full
else
  deploy/install-build-deps.sh --tests
fi

# A sanitized translation unit may take 2 GiB to compile.
jobs=$(nproc)
memory=$(awk '/^MemAvailable:/ {print int($2 / 2097152)}' /proc/meminfo 2>/dev/null || true)
if [ -n "$memory" ] && [ "$memory" -lt "$jobs" ]; then
  jobs=$((memory > 0 ? memory : 1))
fi

# build PRESET
build() {
  stage "Building $1"
  cmake --preset "$1" -DMERGANSER_WERROR=ON
  cmake --build --preset "$1" -j "$jobs"
}

# beside FUNCTION ARGUMENT...: runs it in the background with what processors others leave, as tests
# wait most of their time. In a process group of its own, which ends with this script; not in a
# session of its own, as systems that share processors by session would not heed its niceness then.
# One at a time: its process is $beside, and `finish` waits for it and prints what it said.
beside=''
beside_log=''
beside() {
  beside_log=$(mktemp)
  set -m
  (
    renice -n 19 -p "$BASHPID" >/dev/null
    "$@"
  ) >"$beside_log" 2>&1 &
  beside=$!
  set +m
}
finish() {
  local status=0
  wait "$beside" || status=$?
  beside=''
  cat "$beside_log"
  return "$status"
}
probe=''
tidy_up() {
  if [ -n "$beside" ]; then kill -- "-$beside" 2>/dev/null || true; fi
  rm -rf "$probe" "$beside_log"
}
trap tidy_up EXIT

# check PRESET
check() {
  stage "Testing $1"
  ctest --preset "$1"
}

# Libraries of PyPI that outputs are held against, in a folder of their own.
interop_environment() {
  if [ ! -x .venv-interop/bin/python ]; then
    /usr/bin/python3 -m venv .venv-interop
  fi
  .venv-interop/bin/pip install --quiet -r tests/interop/requirements.txt
}
interop() {
  MERGANSER_BIN="$PWD/build/bin/merganser" MERGANSER_SOURCE_DIR="$PWD" HF_HUB_OFFLINE=1 \
    NODE_PATH="$PWD/.venv-interop/node/node_modules" \
    .venv-interop/bin/python "tests/interop/$1" "${@:2}"
}

if [ "$mode" = fuzz ]; then
  build fuzz
  stage "Fuzzing"
  tests/fuzz/fuzz.py --seconds "${2:-60}"
  exit 0
fi
if [ "$mode" = coverage ]; then
  stage "Coverage"
  tests/coverage.sh
  exit 0
fi
build release
if [ "$mode" = soak ]; then
  stage "Soak"
  MERGANSER_BIN="$PWD/build/bin/merganser" MERGANSER_SOURCE_DIR="$PWD" \
    MERGANSER_DATA="$PWD/build/e2e-data" /usr/bin/python3 tests/e2e/soak.py \
    --minutes "${2:-120}" --out build/soak
  exit 0
fi
if [ "$mode" = chaos ]; then
  check chaos
  exit 0
fi
if [ "$mode" = architectures ]; then
  stage "Architectures: models of transformers' own classes, merged and loaded"
  interop_environment
  interop architectures/architectures_test.py --check tests/interop/architectures/README.md
  exit 0
fi
if [ "$mode" = peers ]; then
  stage "Beside mergekit and torch"
  interop_environment
  tests/bench/peers.py "${TMPDIR:-/tmp}/merganser-peers-$(id -u)"
  exit 0
fi
stage "Sources"
tests/lint.sh
if [ "$mode" = fast ]; then
  check fast
  exit 0
fi
if [ "$mode" = full ]; then
  # Nothing beside it: it holds answers under floods to the bars of the docs.
  check long

  build tsan
  # Sanitized tests and those of interop hold nothing to a time.
  tidy_and_asan() {
    tests/lint.sh tidy
    build asan
    tests/old_version.sh || [ $? -eq 77 ]
  }
  beside tidy_and_asan
  # GCC 12's ThreadSanitizer does not know the address layouts that newer
  # kernels choose at random; without randomisation it does.
  fixed=()
  if setarch "$(uname -m)" -R true 2>/dev/null; then
    fixed=(setarch "$(uname -m)" -R)
  fi
  stage "Testing tsan"
  "${fixed[@]}" ctest --preset tsan

  stage "Interop: gRPC clients, official safetensors and transformers, mergekit, accuracies"
  interop_environment
  mkdir -p .venv-interop/node
  cp tests/interop/package.json .venv-interop/node/
  npm install --prefix .venv-interop/node --ignore-scripts --no-audit --no-fund --silent
  interop reflection_test.py
  interop moto_test.py
  interop hf_test.py
  interop lora_test.py
  interop mergekit_test.py
  interop public_recipes_test.py
  interop tokenizer_union_test.py
  interop quantised_test.py
  interop extract_lora_test.py
  interop merge_lora_test.py
  interop peers_test.py
  interop accuracy_table.py --check common/methods/METHODS.md
  # With Debian's selenium, which stands beside Debian's browser.
  stage "Interop: axe over the dashboard and the report"
  MERGANSER_BIN="$PWD/build/bin/merganser" MERGANSER_SOURCE_DIR="$PWD" \
    NODE_PATH="$PWD/.venv-interop/node/node_modules" /usr/bin/python3 tests/interop/axe_test.py

  stage "Packages, and the image's RUN lines, in a bare Debian 12"
  MERGANSER_LONG=1 ctest --preset debian

  stage "clang-tidy, the build of asan, and that of the last version"
  finish
  stage "This version and the last together"
  ctest --test-dir build -R '^e2e\.versions$' --no-tests=error --output-on-failure
else
  beside build asan
  check release
  finish
fi

# LeakSanitizer stops the world with ptrace, which some containers forbid: ask a
# program of one line.
probe=$(mktemp -d)
echo 'int main() { return 0; }' >"$probe/probe.cc"
g++ -fsanitize=address "$probe/probe.cc" -o "$probe/probe"
if ! ASAN_OPTIONS=detect_leaks=1 "$probe/probe" 2>"$probe/log"; then
  echo "Leaks are not looked for: $(grep -m 1 -i leaksanitizer "$probe/log" || head -n 1 "$probe/log")"
  export MERGANSER_ASAN_OPTIONS=detect_leaks=0
fi
if [ "$mode" = full ]; then
  check asan-clusters
else
  check asan
fi
