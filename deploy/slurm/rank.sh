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

last=
while :; do
  before=$signals
  code=0
  wait "$child" || code=$?
  # A trapped signal ends `wait`, and may end the next as well; what the program ended with is
  # told as often as one asks.
  [ "$before" -eq "$signals" ] && [ "$code" = "$last" ] && break
  last=$code
done
# Bash 5.2 loses what a child ended with where a signal comes at that very moment.
[ "$code" -ge 0 ] || code=143
exit "$code"
