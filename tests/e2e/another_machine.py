"""Runs that take a claim's holder for one on another machine."""

import subprocess

# A claim is given up after six beats that are missed.
BEAT = ("--beat-every", "0.3")
_ELSEWHERE = ("unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh")


def prefix():
    """Of a command line: has it see another host name. Nothing for who may not unshare, whose tests write
    another name into the claim."""
    tried = subprocess.run([*_ELSEWHERE, "hostname"], capture_output=True, check=False)
    return _ELSEWHERE if tried.stdout == b"elsewhere\n" else ()
