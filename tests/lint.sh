#!/usr/bin/env bash
# What can be said of the sources without running them.
#
# usage: tests/lint.sh [CHECK...] [--build FOLDER] [--since COMMIT]
#
#   format    every C++ file is as clang-format has it
#   shell     shellcheck over every script
#   includes  which folder may include what
#   locks     clang's -Wthread-safety over every source that uses a mutex: what is
#             GUARDED_BY one is touched under it alone
#   tidy      clang-tidy over the program's sources. Minutes: only where it is named
#
# Without CHECK: the first four, in about two minutes.
#
#   --build   a folder that is built: its compile_commands.json and generated headers
#             serve locks and tidy (default: build)
#   --since   format and tidy look only at what differs from COMMIT
#
# Every check runs, also after one that failed; the exit code is 1 if one did.
set -euo pipefail
cd "$(dirname "$0")/.."

# One version for all, so that everybody's verdict is the same. The locks need a
# newer clang than Debian's default.
version=16
build=build
since=
checks=()
while [ $# -gt 0 ]; do
  case "$1" in
    format | shell | includes | locks | tidy) checks+=("$1") ;;
    --build | --since)
      if [ $# -lt 2 ]; then
        echo "tests/lint.sh: $1 wants a value (see --help)" >&2
        exit 2
      fi
      if [ "$1" = --build ]; then build=$2; else since=$2; fi
      shift
      ;;
    -h | --help)
      sed -n '2,21s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    *)
      echo "tests/lint.sh: unknown argument $1 (see --help)" >&2
      exit 2
      ;;
  esac
  shift
done
[ "${#checks[@]}" -gt 0 ] || checks=(format shell includes locks)

# The C++ files that a check looks at, each ended by a NUL.
cpp_files() {
  if [ -n "$since" ]; then
    git diff -z --name-only --diff-filter=d "$since" -- '*.cc' '*.h'
  else
    find common coordinator proto tests worker -name '*.cc' -print0 -o -name '*.h' -print0
  fi
}

check_format() {
  cpp_files | xargs -0 -r "clang-format-$version" --dry-run --Werror
}

check_shell() {
  find .ci deploy tests -type f \( -name '*.sh' -o -name '*.sbatch' -o -path .ci/run \
    -o -path 'deploy/packages/service/p*' \) -print0 |
    xargs -0 shellcheck -x
}

check_includes() {
  MERGANSER_SOURCE_DIR=$PWD /usr/bin/python3 tests/e2e/layering_test.py
}

check_locks() {
  /usr/bin/python3 tests/lint/over_sources.py --build "$build" --including common/base/mutex.h -- \
    "clang++-$version" -fsyntax-only -Wthread-safety -Werror=thread-safety
}

check_tidy() {
  local only=()
  [ -z "$since" ] || only=(--since "$since")
  /usr/bin/python3 tests/lint/over_sources.py --build "$build" "${only[@]}" -- \
    "clang-tidy-$version" --quiet
}

failed=()
for check in "${checks[@]}"; do
  printf '==> lint: %s\n' "$check"
  "check_$check" || failed+=("$check")
done
if [ "${#failed[@]}" -gt 0 ]; then
  echo "lint: failed: ${failed[*]}" >&2
  exit 1
fi
