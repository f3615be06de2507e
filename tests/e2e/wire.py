"""A TCP proxy between a worker and what it talks to: slow, sliced, cut, lossy, silent."""

import re
import socket
import struct
import threading

from support import PATIENCE

CHUNK = 65536


class Proxy:
    """Forwards each connection to `port` until told otherwise; faults hold for all connections.

    slice_bytes, delay_s: every piece that passes (both ways) is cut into slices of so many
    bytes, each that much later.
    """

    def __init__(self, port, host="127.0.0.1"):
        self.target = (host, port)
        self.slice_bytes = CHUNK
        self.delay_s = 0.0
        self.lost = None  # the reply that matches this never arrives
        self.budget = None  # replies' bytes that still pass before the cut
        self.passes = threading.Event()
        self.passes.set()
        self.is_down = False
        self.lock = threading.Lock()
        self.pairs = []
        self.threads = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self._run(self._accept)

    @property
    def redis_url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def http_url(self):
        return f"http://127.0.0.1:{self.port}"

    # ---- faults ----

    def lose_reply(self, pattern):
        """The next reply that matches is eaten, and its connection closed. Once."""
        self.lost = re.compile(pattern)

    def was_lost(self):
        return self.lost is None

    def cut_after(self, count):
        """The connection that brings the count-th byte of replies from now on is closed. Once."""
        self.budget = count

    def fall_silent(self):
        """Everything stays open and nothing passes: a cable that was pulled."""
        self.passes.clear()

    def speak(self):
        self.passes.set()

    def reset_all(self):
        """RST on every open connection."""
        for pair in self._take_pairs():
            for end in pair:
                reset(end)

    # ---- the works ----

    def _run(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self.threads = [old for old in self.threads if old.is_alive()] + [thread]
        thread.start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            # Not for long: while packets are dropped nobody else would be accepted.
            try:
                server = socket.create_connection(self.target, timeout=1)
            except OSError:
                reset(client)
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.pairs.append((client, server))
            self._run(self._pump, client, server, False)
            self._run(self._pump, server, client, True)

    def _pump(self, source, sink, is_reply):
        try:
            while data := source.recv(CHUNK):
                self.passes.wait()
                if self.is_down or (is_reply and self._is_lost(data)):
                    break
                if is_reply:
                    data, is_cut = self._within_budget(data)
                else:
                    is_cut = False
                self._send(sink, data)
                if is_cut:
                    break
        except OSError:
            pass
        for end in (source, sink):
            shut(end)
        with self.lock:
            self.pairs = [pair for pair in self.pairs if source not in pair]

    def _is_lost(self, data):
        with self.lock:
            if self.lost is None or not self.lost.search(data):
                return False
            self.lost = None
            return True

    def _within_budget(self, data):
        with self.lock:
            if self.budget is None:
                return data, False
            self.budget -= len(data)
            if self.budget > 0:
                return data, False
            data, self.budget = data[: len(data) + self.budget], None
            return data, True

    def _send(self, sink, data):
        for at in range(0, len(data), self.slice_bytes):
            if self.delay_s:
                threading.Event().wait(self.delay_s)
            sink.sendall(data[at : at + self.slice_bytes])

    def _take_pairs(self):
        with self.lock:
            pairs, self.pairs = self.pairs, []
        return pairs

    def down(self):
        self.is_down = True
        self.passes.set()
        shut(self.listener)
        self.listener.close()
        for pair in self._take_pairs():
            for end in pair:
                shut(end)
        for thread in self.threads:
            thread.join(5 * PATIENCE)


def shut(end):
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def reset(end):
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # close() alone would wait for the thread that reads here.
    try:
        end.shutdown(socket.SHUT_RD)
    except OSError:
        pass
    end.close()
