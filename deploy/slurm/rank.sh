#!/usr/bin/env bash
# Runs one rank of merge-mpi.sbatch, which is told to stop with SIGUSR1: mpirun and srun pass
# that on to every process of a rank, while SIGTERM makes them kill the ranks. The program
# takes SIGTERM.
#
# usage: rank.sh COMMAND...
set -uo pipefail

signals=0
trap 'signals=$((signals + 1))' TERM # Slurm's, which the program has had as well
# The program inherits what is ignored.
trap '' USR1
"$@" &
child=$!
trap 'signals=$((signals + 1)); kill -TERM "$child"' USR1

while :; do
  before=$signals
  code=0
  wait "$child" || code=$?
  # A trapped signal ends `wait`; the program's own end is found by asking again.
  [ "$before" -eq "$signals" ] && exit "$code"
done
