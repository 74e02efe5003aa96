#!/usr/bin/env bash
# From a fresh clone to a merged model: installs what building needs, builds the
# program, and merges the three sample experts.
#
# usage: deploy/quickstart.sh [OUTPUT]     default: build/quickstart-output
#
# May be run again: what is built stays built, and the output is replaced.
set -euo pipefail
case "${1:-}" in
  -h | --help)
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
output=$(realpath -m "${1:-$(dirname "$0")/../build/quickstart-output}")
cd "$(dirname "$0")/.."
# ccache keeps its files under HOME, which a bare container may not set.
export HOME="${HOME:-$(cd ~ 2>/dev/null && pwd || echo /tmp)}"

deploy/install-build-deps.sh
# A build folder that the tests configured already keeps its settings.
if [ ! -f build/build.ninja ]; then
  cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DMERGANSER_TESTS=OFF
fi
cmake --build build --target merganser

recipe=tests/data/recipes/resmerge.yaml
echo
echo "Merging as $recipe says:"
echo
build/bin/merganser merge "$recipe" "$output" --overwrite
echo
build/bin/merganser verify "$output"
echo
echo "The merged checkpoint is in $output"
echo "What was measured, tensor by tensor: $output/merge_report.json"
