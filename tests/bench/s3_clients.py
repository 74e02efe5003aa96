#!/usr/bin/env python3
"""Reading and writing a bucket: this program's driver beside other clients, side by side.

usage: s3_clients.py DIR [--size 1073741824] [--runs 3] [--bin build/bin/bench_s3] [--tls]

One object of SIZE bytes is written and read, to and from memory, by

  merganser   bench_s3
  awscrt      Amazon's C client, by its Python binding
  boto3       with transfers of 16 MiB parts, 16 at a time
  rclone      `rcat` from a pipe and `cat` into one (where it is installed)

against Ceph's radosgw on loopback; reads also against nginx with the file as it is, which is faster
than any client. Over plain HTTP with signed requests everyone hashes the bodies that he sends for
the signature (SHA-256); with --tls nobody does, and nobody asks for another checksum: encryption,
which all have alike, takes its place. Clients alternate, after a
round that does not count; the table has medians of seconds, of GB/s and of the client's own CPU
seconds (user and system, its children's with them), and ratios to merganser's.

Needs radosgw and nginx from Debian, awscrt and boto3 from PyPI (`pip install awscrt boto3`).
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
import radosgw  # noqa: E402
import s3_client  # noqa: E402

BUCKET = "bench"
PART = 16 << 20
WIDTH = 16

# What a child does: argv is CLIENT OP ENDPOINT KEY SIZE. Prints seconds and CPU seconds.
CHILD = r"""
import os, resource, sys, time
client, op, endpoint, key, size = sys.argv[1:5] + [int(sys.argv[5])]
host = endpoint.split("//")[1]
data = bytearray(size)

def awscrt():
    from awscrt import auth, http, io, s3
    group = io.EventLoopGroup()
    resolver = io.DefaultHostResolver(group)
    bootstrap = io.ClientBootstrap(group, resolver)
    credentials = auth.AwsCredentialsProvider.new_static(
        os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    config = s3.create_default_s3_signing_config(region="us-east-1",
                                                 credential_provider=credentials)
    mode, connect = s3.S3RequestTlsMode.DISABLED, None
    if endpoint.startswith("https"):
        options = io.TlsContextOptions()
        options.override_default_trust_store_from_path(None, os.environ["AWS_CA_BUNDLE"])
        connect = io.ClientTlsContext(options).new_connection_options()
        connect.set_server_name(host.split(":")[0])
        mode = s3.S3RequestTlsMode.ENABLED
    s3c = s3.S3Client(bootstrap=bootstrap, region="us-east-1", signing_config=config,
                      part_size=%(part)d, multipart_upload_threshold=%(part)d,
                      throughput_target_gbps=25.0, tls_mode=mode, tls_connection_options=connect)
    headers = http.HttpHeaders([("Host", host)])
    path = "/%(bucket)s/" + key
    def run():
        if op == "read":
            def body(chunk, offset, **_):
                data[offset:offset + len(chunk)] = chunk
            request = http.HttpRequest("GET", path, headers)
            made = s3c.make_request(type=s3.S3RequestType.GET_OBJECT, request=request,
                                    on_body=body)
        else:
            import io as pyio
            headers.add("Content-Length", str(size))
            request = http.HttpRequest("PUT", path, headers, pyio.BytesIO(data))
            made = s3c.make_request(type=s3.S3RequestType.PUT_OBJECT, request=request)
        made.finished_future.result()
    return run

def boto3_():
    import boto3, io
    from boto3.s3.transfer import TransferConfig
    from botocore.config import Config
    s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1",
                      config=Config(s3={"addressing_style": "path"},
                                    request_checksum_calculation="when_required",
                                    response_checksum_validation="when_required"))
    transfer = TransferConfig(multipart_threshold=%(part)d, multipart_chunksize=%(part)d,
                              max_concurrency=%(width)d)
    def run():
        if op == "read":
            s3.download_fileobj("%(bucket)s", key, io.BytesIO(), Config=transfer)
        else:
            s3.upload_fileobj(io.BytesIO(data), "%(bucket)s", key, Config=transfer)
    return run

run = {"awscrt": awscrt, "boto3": boto3_}[client]()
before = resource.getrusage(resource.RUSAGE_SELF)
began = time.perf_counter()
run()
seconds = time.perf_counter() - began
after = resource.getrusage(resource.RUSAGE_SELF)
print(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
""" % {"part": PART, "bucket": BUCKET, "width": WIDTH}


def by_python(client, op, endpoint, key, size):
    done = subprocess.run([sys.executable, "-c", CHILD, client, op, endpoint, key, str(size)],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit("%s %s: %s" % (client, op, done.stderr[-2000:]))
    return tuple(map(float, done.stdout.split()))


def by_merganser(program, op, key, size):
    words = [program, op, "s3://" + BUCKET, key] + ([str(size), "none"] if op == "write" else [])
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        sys.exit("%s: %s" % (" ".join(words), done.stderr))
    moved, seconds, cpu = done.stdout.split()
    assert int(moved) == size, done.stdout
    return float(seconds), float(cpu)


def by_rclone(op, key, size):
    base = ["rclone", "--config", "/dev/null", "--s3-provider", "Ceph", "--s3-env-auth",
            "--s3-endpoint", os.environ["AWS_ENDPOINT_URL"], "--s3-upload-concurrency", str(WIDTH),
            "--s3-chunk-size", "16M"]
    place = ":s3:%s/%s" % (BUCKET, key)
    if os.environ["AWS_ENDPOINT_URL"].startswith("https"):
        base += ["--ca-cert", os.environ["AWS_CA_BUNDLE"]]
    # Of certificates it wants to know nothing where there is no TLS.
    env = {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    if op == "read":
        subprocess.run(base + ["cat", place], stdout=subprocess.DEVNULL, check=True, env=env)
    else:
        with subprocess.Popen(base + ["rcat", place], stdin=subprocess.PIPE, env=env) as process:
            piece = bytes(PART)
            for _ in range(size // PART):
                process.stdin.write(piece)
            process.stdin.close()
            if process.wait() != 0:
                sys.exit("rclone rcat failed")
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Nginx:
    """Static files of a folder on loopback."""

    def __init__(self, folder, root, certificate=None):
        self.port = radosgw.free_ports(1)[0]
        self.endpoint = "%s://localhost:%d" % ("https" if certificate else "http", self.port)
        tls = "ssl; ssl_certificate %s; ssl_certificate_key %s" % ((certificate,) * 2)
        config = os.path.join(folder, "nginx.conf")
        with open(config, "w", encoding="utf-8") as f:
            f.write("""daemon off; master_process off; pid %s/nginx.pid; error_log %s/nginx.err;
events { worker_connections 512; }
http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000;
       client_body_temp_path %s/body; proxy_temp_path %s/proxy; fastcgi_temp_path %s/fastcgi;
       uwsgi_temp_path %s/uwsgi; scgi_temp_path %s/scgi;
       server { listen 127.0.0.1:%d %s; root %s; } }
""" % ((folder,) * 7 + (self.port, tls if certificate else "", root)))
        self.process = subprocess.Popen(["nginx", "-c", config, "-p", folder],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.5)

    def stop(self):
        self.process.kill()
        self.process.wait()


def certificate(folder):
    """A certificate of this machine for itself: for servers, with its key, and for clients."""
    path, both = os.path.join(folder, "ca.pem"), os.path.join(folder, "tls.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                    "-keyout", path + ".key", "-out", path], check=True, capture_output=True)
    with open(both, "w", encoding="utf-8") as f:
        for part in (path, path + ".key"):
            with open(part, encoding="utf-8") as source:
                f.write(source.read())
    return both, path


def clients(program):
    found = {"merganser": lambda op, endpoint, key, size: by_merganser(program, op, key, size)}
    for name in ("awscrt", "boto3"):
        if subprocess.run([sys.executable, "-c", "import " + name], capture_output=True,
                          check=False).returncode == 0:
            found[name] = (lambda n: lambda op, endpoint, key, size:
                           by_python(n, op, endpoint, key, size))(name)
    if shutil.which("rclone"):
        found["rclone"] = lambda op, endpoint, key, size: by_rclone(op, key, size)
    return found


def compare(title, endpoint, op, who, runs, size):
    os.environ["AWS_ENDPOINT_URL"] = endpoint
    measured = {name: [] for name in who}
    names = list(who)
    for turn in range(runs + 1):
        for name in (names if turn % 2 else names[::-1]):
            key = "object" if op == "read" else "written-" + name
            result = who[name](op, endpoint, key, size)
            if turn > 0:
                measured[name].append(result)
    print("\n%s, %.2f GiB, medians of %d" % (title, size / 2**30, runs))
    print("%-10s %8s %8s %8s %10s %10s" % ("client", "seconds", "GB/s", "CPU s", "time ratio",
                                           "CPU ratio"))
    table = {}
    base = [statistics.median(column) for column in zip(*measured["merganser"])]
    for name in names:
        seconds, cpu = (statistics.median(column) for column in zip(*measured[name]))
        print("%-10s %8.2f %8.2f %8.2f %10.2f %10.2f" % (name, seconds, size / seconds / 1e9, cpu,
                                                          seconds / base[0], cpu / base[1]))
        table[name] = {"seconds": seconds, "cpu_seconds": cpu, "all": measured[name]}
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir")
    parser.add_argument("--size", type=int, default=1 << 30)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--bin", default=os.path.join(ROOT, "build", "bin", "bench_s3"))
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--json")
    args = parser.parse_args()
    os.makedirs(args.dir, exist_ok=True)
    folder = tempfile.mkdtemp(dir=args.dir)
    root = os.path.join(folder, "files")
    os.makedirs(os.path.join(root, BUCKET))
    with open(os.path.join(root, BUCKET, "object"), "wb") as f:
        piece = os.urandom(1 << 20) * 16
        for _ in range(args.size // len(piece)):
            f.write(piece)
    who = clients(args.bin)
    print("clients: " + ", ".join(who))
    tables = {}
    pem = None
    if args.tls:
        pem, os.environ["AWS_CA_BUNDLE"] = certificate(folder)
    nginx = Nginx(folder, root, pem)
    try:
        server = radosgw.Server(os.path.join(folder, "ceph"), memory=16 << 30)
        endpoint = server.endpoint
        if pem:
            port = radosgw.free_ports(1)[0]
            endpoint = "https://localhost:%d" % port
            with open(server.config, "a", encoding="utf-8") as f:
                f.write("rgw frontends = beast endpoint=127.0.0.1:%d ssl_endpoint=127.0.0.1:%d "
                        "ssl_certificate=%s tcp_nodelay=1\n" % (server.port, port, pem))
        with server:
            os.environ.update({"AWS_ACCESS_KEY_ID": server.access_key, "AWS_REGION": "us-east-1",
                               "AWS_SECRET_ACCESS_KEY": server.secret_key})
            s3_client.Client(server.endpoint, server.access_key,
                             server.secret_key).create_bucket(BUCKET)
            tables["write_radosgw"] = compare("write to radosgw", endpoint, "write", who,
                                              args.runs, args.size)
            os.environ["AWS_ENDPOINT_URL"] = endpoint
            who["merganser"]("write", server.endpoint, "object", args.size)
            tables["read_radosgw"] = compare("read from radosgw", endpoint, "read", who,
                                             args.runs, args.size)
        readers = {name: run for name, run in who.items() if name != "rclone"}
        tables["read_nginx"] = compare("read from nginx", nginx.endpoint, "read", readers,
                                       args.runs, args.size)
    finally:
        nginx.stop()
        shutil.rmtree(folder, ignore_errors=True)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(tables, f, indent=1)


if __name__ == "__main__":
    main()
