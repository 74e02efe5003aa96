#!/usr/bin/env bash
# Submits a coordinator and its workers to Slurm.
#
# usage: deploy/slurm/start.sh RUN WORKERS [RECIPE OUTPUT [FLAGS]]
#   RUN       folder on storage that every node sees; is made. Afterwards it holds
#             `coordinator` and `workers`, the numbers of the jobs, and, while the
#             coordinator runs, its `address`, and the `token` and `ca.pem` to reach it with
#   WORKERS   how many
#   RECIPE OUTPUT [FLAGS]
#             one merge, after which everything ends (FLAGS of `merganser submit`); without
#             them the coordinator serves until it is cancelled:
#               merganser submit RECIPE OUTPUT --coordinator "$(cat RUN/address)" \
#                 --tls-ca RUN/ca.pem --token-file RUN/token
#               scancel $(cat RUN/workers RUN/coordinator)
#
#   MERGANSER_ALLOW_ROOT       folders that jobs may read and write, with colons between them;
#                              required where the coordinator listens beyond loopback
#   MERGANSER_STATE            the coordinator's journal, on a disk of the node
#   MERGANSER_STATE_NODE       that node; required with it
#   MERGANSER_COORDINATOR_SBATCH, MERGANSER_WORKERS_SBATCH
#                              options of sbatch, separated by blanks: partition, account,
#                              cores, memory, time
# The other settings are in coordinator.sbatch and job.sh. Prints the jobs' numbers.
set -euo pipefail

case "${1:-}" in
  -h | --help)
    sed -n '2,23s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
wrong() {
  echo "start.sh: $* (see --help)" >&2
  exit 2
}
[ "$#" -eq 2 ] || [ "$#" -ge 4 ] || wrong "found $# arguments, expected RUN WORKERS [RECIPE OUTPUT]"
[[ $2 =~ ^[1-9][0-9]*$ ]] || wrong "WORKERS: found $2, expected a number"

MERGANSER_RUN=$(realpath -m "$1")
MERGANSER_SLURM_DIR=$(cd "$(dirname "$0")" && pwd)
export MERGANSER_RUN MERGANSER_SLURM_DIR
workers=$2
shift 2

read -r -a coordinator_options <<<"${MERGANSER_COORDINATOR_SBATCH:-}"
read -r -a workers_options <<<"${MERGANSER_WORKERS_SBATCH:-}"
if [ -n "${MERGANSER_STATE:-}" ]; then
  [ -n "${MERGANSER_STATE_NODE:-}" ] ||
    wrong "MERGANSER_STATE is a folder of one node: MERGANSER_STATE_NODE must say which"
  coordinator_options+=("--nodelist=$MERGANSER_STATE_NODE")
fi

case ${MERGANSER_LISTEN:-0.0.0.0:0} in
  127.* | localhost:* | '[::1]:'*) ;;
  *)
    [ -n "${MERGANSER_ALLOW_ROOT:-}" ] ||
      [[ ${MERGANSER_COORDINATOR_ARGS:-} == *--allow-root* ]] ||
      wrong "MERGANSER_ALLOW_ROOT must say which folders jobs may read and write"
    ;;
esac

mkdir -p "$MERGANSER_RUN"
if [ -f "$MERGANSER_RUN/address" ]; then
  wrong "$MERGANSER_RUN/address: a coordinator runs there, or died there; if it is gone, remove it"
fi
# Held until it can be said which workers are to end with it.
coordinator=$(sbatch --parsable --hold --output="$MERGANSER_RUN/coordinator-%j.log" \
  "${coordinator_options[@]}" "$MERGANSER_SLURM_DIR/coordinator.sbatch" "$@")
coordinator=${coordinator%%;*}
# A coordinator without workers is not left behind.
trap 'scancel --quiet "$coordinator"' ERR
echo "$coordinator" >"$MERGANSER_RUN/coordinator"
array=$(sbatch --parsable --output="$MERGANSER_RUN/worker-%A_%a.log" --array="1-$workers" \
  --dependency="after:$coordinator" "${workers_options[@]}" "$MERGANSER_SLURM_DIR/workers.sbatch")
array=${array%%;*}
echo "$array" >"$MERGANSER_RUN/workers"
scontrol release "$coordinator"
echo "coordinator $coordinator"
echo "workers $array"
