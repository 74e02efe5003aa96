# shellcheck shell=bash
# What the batch scripts of this folder share. They source it; it runs nothing.
#
# From here on no command substitution is expanded in the shell that traps signals: bash 5.2
# runs a trap in the middle of parsing one, and then ends with "unexpected EOF while looking
# for matching". Functions set variables instead; subshells, whose traps are reset, are free.
#
# Settings, all of them environment variables that sbatch carries into the job:
#   MERGANSER_BIN_DIR          folder of merganser and merganser-mpi
#                              (default: build/bin of this repository, else the PATH)
#   MERGANSER_MEMORY           --memory of every process (default: nine tenths of what
#                              Slurm gives a task; the rest is for the launcher)
#   MERGANSER_MAX_RESTARTS     how often a job that failed is started again by itself (default:
#                              10); what Slurm preempts or requeues is not counted
#   MERGANSER_COORDINATOR_ARGS, MERGANSER_WORKER_ARGS, MERGANSER_CLIENT_ARGS
#                              more flags for `merganser coordinator`, for `merganser
#                              worker`, and for `merganser submit`, separated by blanks
#   MERGANSER_ALLOW_ROOT       folders and s3:// prefixes that jobs of a coordinator may read and
#                              write, with colons between them: --allow-root of coordinator and workers

# shellcheck disable=SC2034  # the scripts use them
read -r -a coordinator_args <<<"${MERGANSER_COORDINATOR_ARGS:-}"
# shellcheck disable=SC2034
read -r -a worker_args <<<"${MERGANSER_WORKER_ARGS:-}"
# shellcheck disable=SC2034
read -r -a client_args <<<"${MERGANSER_CLIENT_ARGS:-}"
IFS=: read -r -a roots <<<"${MERGANSER_ALLOW_ROOT:-}"
scheme=
for root in "${roots[@]}"; do
  # "s3://bucket" has a colon of its own.
  if [[ $root =~ ^[a-z][a-z0-9]*$ ]]; then
    scheme=$root
    continue
  fi
  [ -z "$scheme" ] || root=$scheme:$root
  scheme=
  coordinator_args+=(--allow-root "$root")
  worker_args+=(--allow-root "$root")
done

say() {
  printf '%(%F %T)T %s job %s: %s\n' -1 "${SLURMD_NODENAME:-$HOSTNAME}" \
    "${SLURM_JOB_ID:-none}" "$*" >&2
}

# read_line FILE: sets `line` to its first line, or to nothing.
read_line() {
  line=
  { read -r line <"$1"; } 2>/dev/null || true
}

# What is still to do where the job does not come again; a script may have its own.
for_good() {
  :
}

# Ends the job: the request is wrong, and will be wrong next time.
refuse() {
  say "error: $*"
  for_good
  exit 2
}

built=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build/bin # no trap is set yet

# find_program NAME: sets `program` to what runs it.
find_program() {
  local folder=${MERGANSER_BIN_DIR:-$built}
  program=$folder/$1
  [ ! -x "$program" ] || return 0
  [ -z "${MERGANSER_BIN_DIR:-}" ] || refuse "no $1 in $folder: set MERGANSER_BIN_DIR"
  command -v "$1" >/dev/null || refuse "no $1 in $folder nor in the PATH: set MERGANSER_BIN_DIR"
  program=$1
}

# has FLAG ARGUMENTS...: whether FLAG, with or without a value of its own, is among them.
has() {
  local flag=$1 argument
  shift
  for argument in "$@"; do
    case $argument in
      "$flag" | "$flag="*) return 0 ;;
    esac
  done
  return 1
}

# `connection=(...)`: the flags with which workers and clients reach the coordinator of this
# run, by what coordinator.sbatch made.
find_connection() {
  connection=()
  [ ! -f "$MERGANSER_RUN/ca.pem" ] || connection+=(--tls-ca "$MERGANSER_RUN/ca.pem")
  [ ! -f "$MERGANSER_RUN/token" ] || connection+=(--token-file "$MERGANSER_RUN/token")
}

# The flags that say what one task of this job has: `resources=(--threads ...)`.
find_resources() {
  local cores=${SLURM_CPUS_PER_TASK:-1} tasks=${SLURM_NTASKS_PER_NODE:-1} megabytes=
  resources=(--threads "$cores")
  if [ -n "${SLURM_MEM_PER_CPU:-}" ]; then
    megabytes=$((SLURM_MEM_PER_CPU * cores))
  elif [ "${SLURM_MEM_PER_NODE:-0}" -gt 0 ]; then
    megabytes=$((SLURM_MEM_PER_NODE / tasks))
  fi
  if [ -n "${MERGANSER_MEMORY:-}" ]; then
    resources+=(--memory "$MERGANSER_MEMORY")
  elif [ -n "$megabytes" ]; then
    resources+=(--memory "$((megabytes * 9 / 10))MiB")
  fi
}

# --- signals --------------------------------------------------------------------------
#
# Slurm ends a job (preempted, requeued or cancelled) with SIGTERM to every process of it,
# so the program has had its own: it is not sent a second, which would stop it at once.
# `#SBATCH --signal=B:USR1@N` announces the time limit to the script alone, which tells
# its children.

children=()
stop_with=TERM # the signal that tells a child to stop
ended_by= # what asked this job to stop: `slurm`, `limit`, or nothing

pass_on() {
  local child
  for child in "${children[@]}"; do
    kill -s "$stop_with" "$child" 2>/dev/null || true
  done
}
trap 'ended_by=slurm' TERM
trap 'ended_by=${ended_by:-limit}; pass_on' USR1

# pause SECONDS: ends early where Slurm ends the job, and with it `sleep`.
pause() {
  { sleep "$1"; } 2>/dev/null || true
}

# finish PID: waits for a child of ours, through signals, and sets `code`. A signal that comes
# while `wait` reaps the child makes bash 5.2 lose what it ended with: so `wait` is asked only once
# the child is gone, and again until it says the same, as a signal may still end one `wait`.
finish() {
  local last
  while kill -0 "$1" 2>/dev/null; do pause 0.5; done
  code=
  until [ "$code" = "${last:-none}" ]; do
    last=$code
    code=0
    wait "$1" || code=$?
  done
}

# run COMMAND...: runs it to its end; sets `code`.
run() {
  "$@" &
  children=($!)
  # A signal that came before there was a child.
  [ "$ended_by" = limit ] && pass_on
  finish "${children[0]}"
  children=()
}

# What Slurm calls this job. Of an array, SLURM_JOB_ID of one task is the array's own.
job_id=${SLURM_JOB_ID:-none}
if [ -n "${SLURM_ARRAY_JOB_ID:-}" ]; then
  job_id=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
fi

# slurm_ends: whether Slurm itself ends this job. It says so before it sends signals, of which
# the script's may come after the program's. Where it does not answer, it has not said so.
slurm_ends() {
  if [ -z "$ended_by" ] &&
    (state=$(scontrol -o show job "$job_id") && [[ $state != *JobState=RUNNING* ]]); then
    ended_by=slurm
  fi
  [ "$ended_by" = slurm ]
}

# job_over ID: whether Slurm says that the job with that number has ended for good, or knows none of
# that number any more. Where it does not answer, it has not said so.
job_over() (
  said=$(scontrol -o show job "$1" 2>&1)
  case $? in
    0) [[ $said =~ JobState=(BOOT_FAIL|CANCELLED|COMPLETED|DEADLINE|FAILED|NODE_FAIL|OUT_OF_MEMORY|TIMEOUT) ]] ;;
    *) [[ $said == *"Invalid job id"* ]] ;;
  esac
)

# --- the end --------------------------------------------------------------------------

# give_back CODE: puts the job into the queue again, where it was not put there too often. Slurm
# then ends every process of it, and must not end this one before it could say how it went.
#
# How often is in the job's comment, behind what its user wrote there, as that goes with the job
# to any node: Slurm's own count has those that were preempted or lost their node too. It serves
# where the comment cannot be changed.
give_back() (
  trap '' TERM
  most=${MERGANSER_MAX_RESTARTS:-10} restarts=0
  comment=$(scontrol show job "$job_id" | sed -n 's/^ *Comment=\(.*[^ ]\) *$/\1/p;T;q')
  if [[ $comment =~ ^(.*)\ ?\[merganser:\ restart\ ([0-9]+)\]$ ]]; then
    comment=${BASH_REMATCH[1]% } restarts=${BASH_REMATCH[2]}
  fi
  if [ "$restarts" -lt "$most" ] && ! scontrol update "JobId=$job_id" \
    "Comment=${comment:+$comment }[merganser: restart $((restarts + 1))]"; then
    restarts=${SLURM_RESTART_COUNT:-0}
  fi
  if [ "$restarts" -ge "$most" ]; then
    say "exit code $1: given up after $restarts restarts (MERGANSER_MAX_RESTARTS)"
    exit 1
  fi
  if ! scontrol requeue "$job_id"; then
    say "exit code $1: Slurm does not take it back"
    exit 1
  fi
  say "exit code $1: goes back to the queue, restart $((restarts + 1)) of $most"
)

# settle CODE: ends the script with the program's exit code. What a retry may mend is
# first given back to the queue:
#   0            done
#   2            the request is wrong: never again
#   4            a retry may mend it (storage gone, disk full)
#   130, 143     stopped by a signal
#   3, others    failed: never again by itself
# Where Slurm itself ends the job, Slurm knows whether it begins again: a preempted or
# requeued one does (--requeue), a cancelled one does not.
settle() {
  local code=$1
  if [ "$code" -eq 0 ]; then
    say "done"
    for_good
  elif slurm_ends; then
    say "exit code $code: stopped by Slurm"
  else
    case $code in
      4 | 130 | 143)
        if give_back "$code"; then
          pause 60 # Slurm ends this script meanwhile
        else
          for_good
        fi
        ;;
      2)
        say "exit code 2: the request is wrong; it is not tried again"
        for_good
        ;;
      *)
        say "exit code $code: failed; it is not tried again"
        for_good
        ;;
    esac
  fi
  exit "$code"
}
