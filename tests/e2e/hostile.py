"""A model server of raw sockets that lies, drips, floods and breaks off; and good answers."""

import gzip
import json
import socket
import threading
import time

from services import Recorder
from wire import reset, shut

MEGABYTE = 1024 * 1024


def document(text='{"feedback_items":[]}'):
    return json.dumps(Recorder.answer(text)).encode()


def head(*lines, status="200 OK"):
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def answer(body, *lines):
    return head("Content-Type: application/json", f"Content-Length: {len(body)}", *lines) + body


def chunked(*chunks, end=b"0\r\n\r\n"):
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head("Transfer-Encoding: chunked") + body + end


GOOD = answer(document())


def in_document(text):
    """A good document whose text is these raw bytes."""
    return answer(document("TEXT").replace(b"TEXT", text))


# Either is fine: libcurl reads to the end where a length has 30 digits.
ODD = {
    "length of 30 digits": head("Content-Length: " + "9" * 30) + document(),
    "three 100s in front": head(status="100 Continue") * 3 + GOOD,
    "a status without words": GOOD.replace(b"200 OK", b"200"),
}

# What the server sends as a whole, then closes. None of it is a usable answer.
LIES = {
    "no status": b"200 OK\r\n\r\n" + document(),
    "a status of 42 digits": b"HTTP/1.1 " + b"2" * 42 + b" OK\r\n\r\n",
    "HTTP/9.9": GOOD.replace(b"HTTP/1.1", b"HTTP/9.9"),
    "length too short": head(f"Content-Length: {len(document()) - 7}") + document(),
    "length too long": head(f"Content-Length: {len(document()) + 7}") + document(),
    "length negative": head("Content-Length: -5") + document(),
    "a chunk that is no number": head("Transfer-Encoding: chunked") + b"zz\r\n" + document(),
    "a chunk of 2^64": head("Transfer-Encoding: chunked") + b"ffffffffffffffffff\r\n" + document(),
    "a last chunk that never comes": chunked(document(), end=b""),
    "a NUL in the head": head("X-Evil: a\0b", "Content-Length: 5") + b"{}{}}",
    "a head of 10 MB": head("X-Large: " + "x" * 10 * MEGABYTE) + document(),
    "100000 headers": head(*[f"X-{n}: {n}" for n in range(100_000)]) + document(),
    "a redirect to the metadata service": head(
        "Location: http://169.254.169.254/latest/", "Content-Length: 0", status="302 Found"),
    "a redirect to a file": head(
        "Location: file:///etc/passwd", "Content-Length: 0", status="301 Moved"),
    "a gzip bomb": answer(gzip.compress(b" " * 50 * MEGABYTE), "Content-Encoding: gzip"),
    "bad UTF-8": in_document(b"\xff\xfe\xc0\xaf"),
    "a NUL in the text": in_document(b"\0"),
    "deep JSON": answer(b'{"output":' * 100_000 + b"}" * 100_000),
    "deep JSON in the text": in_document(b'{\\"a\\":' * 50_000),
    "two documents": answer(document() + document()),
    "an empty body": answer(b""),
    "an array": answer(b"[]"),
    "a number": answer(b"1e999"),
    "content of a wrong type": answer(b'{"output":{"message":{"content":{"text":7}}}}'),
    "text of a wrong type": answer(b'{"output":{"message":{"content":[{"text":["a"]}]}}}'),
    "tokens of 400 digits, no text": answer(document("").replace(b": 812", b": " + b"9" * 400)),
    "100000 empty blocks": answer(
        b'{"output":{"message":{"content":[' + b"{}," * 100_000 + b"{}]}}}"),
}


# What it does in time. They get the connection and may take as long as they like.
def hang_before_the_head(server, connection):
    server.gone.wait(30)


def hang_in_the_head(server, connection):
    connection.sendall(GOOD[:25])
    server.gone.wait(30)


def hang_in_the_body(server, connection):
    connection.sendall(GOOD[:-10])
    server.gone.wait(30)


def drip(server, connection):
    for at in range(len(GOOD)):
        connection.sendall(GOOD[at : at + 1])
        if server.gone.wait(0.1):
            return


def endless_100_continue(server, connection):
    while not server.gone.wait(0.001):
        connection.sendall(head(status="100 Continue") * 50)


def reset_in_the_head(server, connection):
    connection.sendall(GOOD[:25])
    time.sleep(0.02)
    reset(connection)


def reset_in_the_body(server, connection):
    connection.sendall(GOOD[:-10])
    time.sleep(0.02)
    reset(connection)


def flood(server, connection):
    connection.sendall(head("Content-Length: 104857600"))
    for _ in range(100):
        connection.sendall(b" " * MEGABYTE)


def flood_in_chunks(server, connection):
    connection.sendall(head("Transfer-Encoding: chunked"))
    for _ in range(100):
        connection.sendall(b"100000\r\n" + b" " * MEGABYTE + b"\r\n")


DEEDS = [
    hang_before_the_head, hang_in_the_head, hang_in_the_body, drip, endless_100_continue,
    reset_in_the_head, reset_in_the_body, flood, flood_in_chunks,
]


class HostileServer:
    """`deed` is done to the next request of the model that `victim` is in the path of; every
    other request gets a good answer."""

    def __init__(self, victim):
        self.victim = victim.encode()
        self.deed = None
        self.is_early = False
        self.gone = threading.Event()
        self.paths = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _serve(self, connection):
        try:
            connection.settimeout(30)
            while not self.gone.is_set():
                request = self._read(connection)
                if not request:
                    break
                self.paths.append(request.split(b" ", 2)[1].decode())
                if self.victim in request and self.deed is not None:
                    deed, self.deed = self.deed, None
                    self._do(deed, connection)
                    break
                connection.sendall(GOOD)
        except (OSError, ValueError):
            pass
        shut(connection)
        connection.close()

    def _do(self, deed, connection):
        if callable(deed):
            deed(self, connection)
        else:
            connection.sendall(deed)

    def _read(self, connection):
        """A whole request, or its head alone when the server answers early."""
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = connection.recv(65536)
            if not chunk:
                return b""
            data += chunk
        request, _, body = data.partition(b"\r\n\r\n")
        if self.is_early and self.victim in request:
            return request
        length = int(request.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while len(body) < length:
            chunk = connection.recv(65536)
            if not chunk:
                return b""
            body += chunk
        return request

    def down(self):
        self.gone.set()
        shut(self.listener)
        self.listener.close()
        for thread in self.threads:
            thread.join(5)
