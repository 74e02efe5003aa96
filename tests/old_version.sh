#!/usr/bin/env bash
# Builds the last version (tests/e2e/versions.json) into build-old, for tests/e2e/versions_test.py:
# the program alone, from git's history. What is built already is left as it is.
#
# usage: tests/old_version.sh
#
# Ends with 77 where this is no clone, or one without that commit, and says what to do.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  "") ;;
  -h | --help)
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  *)
    echo "tests/old_version.sh: unknown argument $1 (see --help)" >&2
    exit 2
    ;;
esac

field() {
  /usr/bin/python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' \
    tests/e2e/versions.json "$1"
}
version=$(field version)
commit=$(field commit)

if [ -x build-old/bin/merganser ] && [ "$(cat build-old/commit 2>/dev/null)" = "$commit" ]; then
  exit 0
fi
if ! git rev-parse --git-dir >/dev/null 2>&1; then
  echo "tests/old_version.sh: this folder is no clone, so version $version (commit $commit) cannot be" \
    "had from its history: run this in a clone, or set MERGANSER_OLD_BIN to a merganser $version" >&2
  exit 77
fi
if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
  echo "tests/old_version.sh: this clone has no commit $commit (version $version): git fetch" \
    "--unshallow, or git fetch origin $commit" >&2
  exit 77
fi

rm -rf build-old
mkdir -p build-old/source
git archive "$commit" | tar -x -C build-old/source
cmake -S build-old/source -B build-old -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DMERGANSER_TESTS=OFF -DMERGANSER_MPI=OFF
# A translation unit takes 2 GiB at most.
jobs=$(nproc)
memory=$(awk '/^MemAvailable:/ {print int($2 / 2097152)}' /proc/meminfo 2>/dev/null || echo "$jobs")
if [ "$memory" -lt "$jobs" ]; then jobs=$((memory > 0 ? memory : 1)); fi
cmake --build build-old --target merganser -j "$jobs"
echo "$commit" >build-old/commit
