"""Certificates of tests, made by openssl: P-256, for two days."""

import os
import subprocess


def make(folder, name, names=None, ca=None, file=None):
    """A key that its owner alone reads and a certificate of common name `name` for `names`, such as
    `IP:127.0.0.1`, signed by the authority `ca` of the same folder or by itself. Its path and the key's:
    FILE.pem and FILE.key, by default by its name; they are replaced at once."""
    base = os.path.join(folder, file or name)
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
               "-nodes", "-days", "2", "-subj", "/CN=" + name, "-keyout", base + ".key.new",
               "-out", base + ".pem.new"]
    if names:
        command += ["-addext", "subjectAltName=" + names]
    if ca:
        ca = os.path.join(folder, ca)
        command += ["-CA", ca + ".pem", "-CAkey", ca + ".key"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        raise AssertionError("openssl: " + done.stderr.decode("utf-8", "replace"))
    os.chmod(base + ".key.new", 0o600)
    for ending in (".key", ".pem"):
        os.rename(base + ending + ".new", base + ending)
    return base + ".pem", base + ".key"
