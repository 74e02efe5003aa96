#!/usr/bin/env bash
# What the tests cover: builds with gcc's coverage into build-coverage, runs tests, and prints a table of folders and
# the error paths of storage, engine, schedule and web that no test took (tests/coverage/report.py).
#
# usage: tests/coverage.sh [TEST...]
#
#   TEST   name of a test's binary, such as base_test: builds and runs these alone
#
# Without: all unit tests and the quickest end-to-end tests without a cluster, on the small data of
# sanitized builds. What was counted before is forgotten. A process that is killed with -9, and a
# coordinator, which ends at once when all is on disk, tell nothing of what they ran.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  -h | --help)
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  -*)
    echo "tests/coverage.sh: unknown argument $1 (see --help)" >&2
    exit 2
    ;;
esac

jobs=$(nproc)
memory=$(awk '/^MemAvailable:/ {print int($2 / 2097152)}' /proc/meminfo 2>/dev/null || echo "$jobs")
if [ "$memory" -lt "$jobs" ]; then jobs=$((memory > 0 ? memory : 1)); fi

cmake --preset coverage
find build-coverage -name '*.gcda' -delete
status=0
if [ $# -gt 0 ]; then
  cmake --build --preset coverage -j "$jobs" --target "$@"
  for test in "$@"; do
    "build-coverage/tests/$test" --gtest_brief=1 || status=1
  done
else
  cmake --build --preset coverage -j "$jobs"
  ctest --preset coverage || status=1
fi
/usr/bin/python3 tests/coverage/report.py build-coverage
exit "$status"
