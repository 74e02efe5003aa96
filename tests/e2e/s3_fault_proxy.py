"""A proxy before an S3 server that does what networks and stores do to requests, by a seed.

    with FaultProxy(server.port, seed=7, rates=dict.fromkeys(KINDS, 0.05)) as proxy:
        proxy.endpoint

Which fault a request gets hangs on the seed, on what is asked for and on how often that was asked
before, not on the order of threads: the same seed disturbs the same requests of the same job.

Only what real stores do is done. The meaning of a condition is never changed: a put with
If-None-Match is never sent twice, and a POST neither, as no proxy does. Bytes of objects are not
altered in answers, which a client over plain HTTP without checksums cannot see; those of a request
are, as its signature holds their digest, and XML is, in a way that makes it none.
"""

import collections
import hashlib
import re
import socket
import struct
import threading
import time

# Before anything is done.
DELAY = "delay"  # up to half a second
RESET = "reset"  # the connection, before the request is passed on
ERROR = "500"
SLOW_DOWN = "503"
TOO_MANY = "429"
EXPIRED = "expired token"  # of one request at most once, as credentials are renewed then
SPOILED = "spoiled request"  # one byte of a body is another
# After the store did what was asked for.
CUT = "cut answer"  # reset in the middle of the answer
SHORT = "short answer"  # closed in the middle of the answer, whose length is told rightly
GARBLED = "garbled answer"  # XML that is none
STALL = "stall"  # silence in the middle of the answer
DUPLICATE = "duplicate"  # done twice, of what may be
LOST = "lost answer"
LOST_500 = "lost answer, told as 500"
KINDS = (DELAY, RESET, ERROR, SLOW_DOWN, TOO_MANY, EXPIRED, SPOILED, CUT, SHORT, GARBLED, STALL,
         DUPLICATE, LOST, LOST_500)

TOLD = {ERROR: (500, "InternalError"), SLOW_DOWN: (503, "SlowDown"),
        TOO_MANY: (429, "TooManyRequests"), EXPIRED: (400, "ExpiredToken"),
        LOST_500: (500, "InternalError")}
BUFFER = 1 << 20
# What differs from run to run of one job.
OWN = re.compile(r"uploadId=[^&]*|\.merganser/[^/?]+/")


class Request:
    def __init__(self, head):
        lines = head.decode("latin-1").split("\r\n")
        self.head = head
        self.method, self.target, _ = lines[0].split(" ", 2)
        self.headers = {name.strip().lower(): value.strip()
                        for name, value in (line.split(":", 1) for line in lines[1:] if line)}
        self.size = int(self.headers.get("content-length", 0))

    def place(self):
        return "%s %s %s" % (self.method, OWN.sub("", self.target), self.headers.get("range", ""))

    def __str__(self):
        return "%s %s" % (self.method, self.target)


class Stream:
    """A socket and what was read of it too early."""

    def __init__(self, connection):
        self.socket, self.rest = connection, bytearray()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def head(self):
        """Up to the empty line; empty at the end of the stream."""
        while True:
            end = self.rest.find(b"\r\n\r\n")
            if end >= 0:
                head = bytes(self.rest[:end + 2])
                del self.rest[:end + 4]
                return head
            data = self.socket.recv(1 << 16)
            if not data:
                return b""
            self.rest += data

    def line(self):
        while b"\r\n" not in self.rest:
            data = self.socket.recv(1 << 16)
            if not data:
                raise ConnectionError("ended in a chunk")
            self.rest += data
        line, _, rest = bytes(self.rest).partition(b"\r\n")
        self.rest = bytearray(rest)
        return line

    def pieces(self, size):
        """The next `size` bytes, a piece at a time, each valid until the next is asked for."""
        if self.rest and size:
            piece = bytes(self.rest[:size])
            del self.rest[:size]
            size -= len(piece)
            yield piece
        buffer = memoryview(bytearray(min(BUFFER, size)))
        while size:
            got = self.socket.recv_into(buffer[:min(len(buffer), size)])
            if not got:
                raise ConnectionError("ended in a body")
            size -= got
            yield buffer[:got]

    def body(self, size):
        return b"".join(bytes(piece) for piece in self.pieces(size))

    def reset(self):
        """What is left of the connection is forgotten, and the other side told so."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Closed(Exception):
    """This connection is done with."""


class FaultProxy:
    """`rates`: of the kinds, how many of the requests get it. `first`: kinds of which every fourth
    kind of request gets one when it is made for the first time; under four times as many seeds as
    there are kinds each gets each. `stall`: the longest silence, in seconds. `before` is called
    with every Request before it is passed on, by the thread of its connection, and may say a kind
    that it is to get."""

    def __init__(self, port, seed=0, rates=None, first=(), before=lambda request: None,
                 stall=1.3):
        self.port, self.seed, self.before, self.stall = port, seed, before, stall
        self.rates, self.first = dict(rates or {}), first
        self.counts = collections.Counter()  # by kind, and "requests"
        self._asked, self._expired = collections.Counter(), set()
        self._lock = threading.Lock()
        self._sockets, self._threads = set(), set()
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.endpoint = "http://127.0.0.1:%d" % self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        with self._lock:
            sockets, threads = list(self._sockets), list(self._threads)
        for each in sockets:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in threads:
            thread.join()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            with self._lock:
                self._sockets.add(connection)
                self._threads.add(thread)
            thread.start()

    def _serve(self, connection):
        near, far = Stream(connection), None
        try:
            while not self._stopping.is_set():
                head = near.head()
                if not head:
                    break
                if far is None or self._ended(far):
                    far = self._connect(far)
                self._answer(Request(head), near, far)
        except (Closed, OSError):
            pass
        finally:
            with self._lock:
                self._sockets.discard(connection)
                if far is not None:
                    self._sockets.discard(far.socket)
                self._threads.discard(threading.current_thread())
            for stream in (near, far):
                if stream is not None:
                    stream.socket.close()

    def _connect(self, before):
        if before is not None:
            before.socket.close()
        connection = socket.create_connection(("127.0.0.1", self.port))
        with self._lock:
            if before is not None:
                self._sockets.discard(before.socket)
            self._sockets.add(connection)
        return Stream(connection)

    @staticmethod
    def _ended(stream):
        """Whether the server closed a connection on which nothing was asked for."""
        stream.socket.setblocking(False)
        try:
            return stream.socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        finally:
            stream.socket.setblocking(True)

    def _draw(self, request):
        """A kind or None, and a number from 0 to 1 for how it is done."""
        place = request.place()
        with self._lock:
            self.counts["requests"] += 1
            self._asked[place] += 1
            asked = self._asked[place]
        digest = hashlib.sha256(("%d %d %s" % (self.seed, asked, place)).encode()).digest()
        at, how = (int.from_bytes(digest[i:i + 8], "big") / 2**64 for i in (0, 8))
        if self.first and asked == 1:
            number = int.from_bytes(hashlib.sha256(place.encode()).digest()[:8], "big")
            if (number // len(self.first) + self.seed // len(self.first)) % 4 == 0:
                kind = self.first[(number + self.seed) % len(self.first)]
                return (kind if self._fits(kind, request, place) else None), how
        for kind in KINDS:
            at -= self.rates.get(kind, 0)
            if at < 0:
                return (kind if self._fits(kind, request, place) else None), how
        return None, how

    def _fits(self, kind, request, place):
        if kind == DUPLICATE:
            return request.method != "POST" and "if-none-match" not in request.headers
        if kind == SPOILED:
            # Else nobody could see it.
            return request.size > 0 and re.fullmatch(
                "[0-9a-f]{64}", request.headers.get("x-amz-content-sha256", "")) is not None
        if kind == EXPIRED:
            with self._lock:
                fits = place not in self._expired
                self._expired.add(place)
            return fits
        return True

    def _answer(self, request, near, far):
        kind, how = self._draw(request)
        kind = self.before(request) or kind
        if kind is not None:
            with self._lock:
                self.counts[kind] += 1
        if kind == DELAY:
            self._stopping.wait(0.5 * how)
        if kind == RESET:
            near.reset()
            raise Closed
        if kind in TOLD and kind != LOST_500:
            for _ in near.pieces(request.size):
                pass
            self._tell(request, near, kind)
            return
        self._pass_on(request, near, far, kind, how)
        answer = Answer(request, far)
        if kind in (LOST, LOST_500):
            answer.body()
            if kind == LOST_500:
                self._tell(request, near, kind)
                return
            near.reset()
            raise Closed
        self._pass_back(answer, near, kind, how)
        if answer.last or "close" in request.headers.get("connection", "").lower():
            raise Closed

    @staticmethod
    def _tell(request, near, kind):
        code, name = TOLD[kind]
        body = ("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>%s</Code><Message>by the "
                "fault proxy</Message></Error>" % name).encode()
        near.socket.sendall(
            b"HTTP/1.1 %d Told\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n"
            % (code, len(body)) + (b"" if request.method == "HEAD" else body))

    @staticmethod
    def _pass_on(request, near, far, kind, how):
        head = request.head + b"\r\n"
        if kind not in (DUPLICATE, SPOILED):
            far.socket.sendall(head)
            for piece in near.pieces(request.size):
                far.socket.sendall(piece)
            return
        body = bytearray(near.body(request.size))
        if kind == SPOILED:
            body[int(how * len(body))] ^= 0x10
        else:
            far.socket.sendall(head + body)
            Answer(request, far).body()
        far.socket.sendall(head + body)

    def _pass_back(self, answer, near, kind, how):
        if kind == GARBLED and answer.xml:
            body = answer.body()
            opened = body.rfind(b"<")
            near.socket.sendall(answer.whole(body[:opened] + b"#" + body[opened + 1:]))
            return
        if kind not in (CUT, SHORT, STALL):
            near.socket.sendall(answer.head)
            for piece in answer.pieces():
                near.socket.sendall(piece)
            return
        # In the middle of all that is sent: of the head, where there is no body.
        everything = answer.whole(answer.body())
        middle = max(1, int(how * len(everything)))
        near.socket.sendall(everything[:middle])
        if kind == STALL:
            self._stopping.wait(self.stall * (1 + how) / 2)
            near.socket.sendall(everything[middle:])
            return
        if kind == CUT:
            # Not before what was sent has arrived: a reset overtakes it.
            time.sleep(0.01)
            near.reset()
        raise Closed


class Answer:
    """What the server says to a request; its body is read once."""

    def __init__(self, request, far):
        self._far = far
        head = far.head()
        if not head:
            raise ConnectionError("no answer")
        self.head = head + b"\r\n"
        lines = head.decode("latin-1").split("\r\n")
        self._code = int(lines[0].split(" ")[1])
        headers = {name.strip().lower(): value.strip()
                   for name, value in (line.split(":", 1) for line in lines[1:] if line)}
        self.last = "close" in headers.get("connection", "").lower()
        self.xml = "xml" in headers.get("content-type", "") and request.method != "HEAD"
        self._bodiless = request.method == "HEAD" or self._code in (204, 304)
        self._chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        self._size = 0 if self._bodiless else int(headers.get("content-length", 0))

    def pieces(self):
        """The body as it comes, chunks and all."""
        if self._bodiless or not self._chunked:
            yield from self._far.pieces(self._size)
            return
        while True:
            line = self._far.line()
            size = int(line.split(b";")[0], 16)
            yield line + b"\r\n"
            yield from self._far.pieces(size + 2)
            if size == 0:
                return

    def body(self):
        """All of it, without chunks."""
        if self._bodiless or not self._chunked:
            return self._far.body(self._size)
        whole = b""
        while True:
            size = int(self._far.line().split(b";")[0], 16)
            whole += self._far.body(size)
            self._far.line()
            if size == 0:
                return whole

    def whole(self, body):
        """Head and body to be sent at once, with the length that the body has."""
        if not self._chunked or self._bodiless:
            return self.head + body
        lines = [line for line in self.head[:-4].split(b"\r\n")
                 if not line.lower().startswith(b"transfer-encoding:")]
        return b"\r\n".join(lines + [b"Content-Length: %d" % len(body)]) + b"\r\n\r\n" + body
