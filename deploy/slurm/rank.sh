#!/usr/bin/env bash
# Runs one rank of merge-mpi.sbatch, which is told to stop with SIGUSR1: mpirun and srun pass
# that on to every process of a rank, while SIGTERM makes them kill the ranks. The program
# takes SIGTERM.
#
# usage: rank.sh COMMAND...
set -uo pipefail

trap : TERM # Slurm's, which the program has had as well
# The program inherits what is ignored.
trap '' USR1
"$@" &
child=$!
trap 'kill -TERM "$child"' USR1

# As `finish` of job.sh.
while kill -0 "$child" 2>/dev/null; do
  { sleep 0.2; } 2>/dev/null
done
code=
until [ "$code" = "${last:-none}" ]; do
  last=$code
  code=0
  wait "$child" || code=$?
done
exit "$code"
