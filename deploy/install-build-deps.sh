#!/usr/bin/env bash
# Installs the Debian 12 packages that building Merganser needs.
#
# usage: deploy/install-build-deps.sh [--tests] [--benchmarks] [--full] [--fuzz]
#   --tests       also what the tests need
#   --benchmarks  also what the benchmarks need (implies --tests)
#   --full        also what `tests/run.sh --full` needs (implies --tests)
#   --fuzz        also what `tests/run.sh --fuzz` needs (implies --tests)
#
# Does nothing, and needs neither root nor network, where all of it is installed.
set -euo pipefail

packages=(
  g++ cmake ninja-build ccache pkg-config ca-certificates
  libgrpc++-dev libssl-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc libabsl-dev
  libeigen3-dev libhwy-dev libyaml-cpp-dev nlohmann-json3-dev libcli11-dev libspdlog-dev
  libxxhash-dev libsqlitecpp-dev libsqlite3-dev libnghttp2-dev libmicrohttpd-dev libcurl4-openssl-dev
  libpugixml-dev libisal-dev libre2-dev prometheus-cpp-dev libopenmpi-dev openmpi-bin
  dpkg-dev file
)
tests=(
  libgtest-dev libgmock-dev python3 python3-numpy python3-yaml procps openssl iproute2
  clang-16 clang-format-16 clang-tidy-16 shellcheck haproxy nginx libnginx-mod-stream
  chromium chromium-driver python3-selenium
  ceph-mon ceph-osd radosgw prometheus
  systemd man-db groff-base zsh fish
)
benchmarks=(libbenchmark-dev liblapacke-dev libopenblas-dev libspectra-dev)
full=(python3-venv slurmctld slurmd slurm-client munge debootstrap)
fuzz=(libclang-rt-16-dev)
# Node of other sources brings its npm along, and Debian's is in conflict with it.
command -v npm >/dev/null || full+=(nodejs npm)

for argument in "$@"; do
  case "$argument" in
    --tests) packages+=("${tests[@]}") ;;
    --benchmarks) packages+=("${tests[@]}" "${benchmarks[@]}") ;;
    --full) packages+=("${tests[@]}" "${full[@]}") ;;
    --fuzz) packages+=("${tests[@]}" "${fuzz[@]}") ;;
    -h | --help)
      sed -n '2,10s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    *)
      echo "install-build-deps.sh: unknown argument $argument (see --help)" >&2
      exit 2
      ;;
  esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "install-build-deps.sh: no apt here; install these or their like: ${packages[*]}" >&2
  exit 1
fi

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
if [ "${#missing[@]}" -eq 0 ]; then
  exit 0
fi

sudo=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "install-build-deps.sh: not root and no sudo; as root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  sudo=(sudo)
fi
echo "Installing: ${missing[*]}"
# Tests start what they need by themselves: no service begins now, as nginx would on port 80.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap '"${sudo[@]}" rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" install -m 755 /dev/stdin "$policy"
fi
# The variable is set behind sudo, which would drop it.
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends "${missing[@]}"
