"""A private redis-server, the queue's scripts as the worker sends them, and a look at all keys."""

import hashlib
import json
import os
import re
import socket
import subprocess
import time
from pathlib import Path

SERVER = os.environ.get("HEADGATE_TEST_REDIS", "redis-server")
LUA = Path(__file__).resolve().parents[2] / "worker" / "queue" / "lua"
SCRIPTS = ["claim", "begin", "settle", "dead", "retry", "release", "reap", "beat", "cancel",
           "dead_retry"]
# The scripts' clock is a list of seconds and microseconds, which the model moves.
REAL_TIME, MODEL_TIME = "redis.call('TIME')", "redis.call('LRANGE', 'clock', 0, 1)"
# One worker holds more than a reap takes at once, and more jobs wait than a claim sorts.
BATCHES = {"(#tokens, 500)": "(#tokens, 2)", "sorted, -2000, -1": "sorted, -2, -1",
           "PASSED_TURNS, GONE_TENANTS = 256, 4 * 1024 * 1024, 256, 1000":
               "PASSED_TURNS, GONE_TENANTS = 3, 100, 2, 2"}
# What stands between the prelude and a script.
PARTS = {"claim": ["tenant"]}
# The keys that every worker's step has at the end.
EXTRA_KEYS = ["sorted", "sorted:jobs", "turns", "returned", "busy"]
# Names of the scripts' headers that are no key's name.
KEY_NAMES = {"delayed_jobs": "delayed:jobs"}
PREFIX = "headgate:{q}:"
LOOK = """
local all = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
    local kind, value = redis.call('TYPE', key).ok, nil
    if kind == 'list' then value = redis.call('LRANGE', key, 0, -1)
    elseif kind == 'hash' then value = redis.call('HGETALL', key)
    elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    else value = redis.call('GET', key) end
    all[key] = value
end
return cjson.encode(all)
"""
SHA = {"look": hashlib.sha1(LOOK.encode()).hexdigest()}


class RedisError(Exception):
    pass


class Script:
    """One Lua file behind its prelude; which keys it wants stands in its header."""

    def __init__(self, name, mutation=None):
        self.name = name
        self.source = "".join(_text(part, mutation) for part in ["prelude", *PARTS.get(name, []), name])
        assert REAL_TIME in self.source
        for real, model in {REAL_TIME: MODEL_TIME, **BATCHES}.items():
            self.source = self.source.replace(real, model)
        self.sha = hashlib.sha1(self.source.encode()).hexdigest()
        header = re.search(r"^-- KEYS (.*?)^(?:-- [A-Z]|local)", _text(name), re.M | re.S).group(1)
        self.wanted = re.findall(r"\w+", header)
        self.extra = [PREFIX + key for key in EXTRA_KEYS] if name not in ("cancel", "dead_retry") else []

    def keys(self, worker="", id="", reply_to=None):
        own = {"queue": "q", "inflight": f"{PREFIX}inflight:{worker}",
               "begun": f"{PREFIX}begun:{worker}", "result": f"{PREFIX}result:{id}",
               "reply": f"{PREFIX}reply:{id}", "reply_to": reply_to}
        names = [own.get(name, PREFIX + KEY_NAMES.get(name, name)) for name in self.wanted]
        return [name for name in names if name is not None] + self.extra


def _text(name, mutation=None):
    text = (LUA / f"{name}.lua").read_text()
    if mutation and mutation.file == name:
        assert mutation.old in text, f"{mutation.name}: {name}.lua has changed"
        text = text.replace(mutation.old, mutation.new)
    return text


class Box:
    def __init__(self, directory):
        path = str(Path(directory) / "redis.sock")
        self.process = subprocess.Popen(
            [SERVER, "--port", "0", "--unixsocket", path, "--dir", str(directory), "--save", "",
             "--maxmemory-policy", "noeviction"], stdout=subprocess.DEVNULL)
        while True:
            try:
                self.socket = socket.socket(socket.AF_UNIX)
                self.socket.connect(path)
                break
            except OSError:
                assert self.process.poll() is None, "redis-server does not start"
                time.sleep(0.01)
        self.input = self.socket.makefile("rb")
        self.scripts = {}
        self.now = 0

    def close(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait()

    def begin(self, mutation=None):
        """All is empty; one script may be a broken one."""
        self.scripts = {name: Script(name, mutation) for name in SCRIPTS}
        sources = "".join(script.source for script in self.scripts.values())
        assert all(model in sources for model in BATCHES.values()), "a script has changed"
        self.ask(["FLUSHALL"], ["SCRIPT", "LOAD", LOOK])
        self.set_clock(1_700_000_000_000)

    def set_clock(self, ms):
        self.now = ms
        self.ask(["DEL", "clock"], ["RPUSH", "clock", ms // 1000, ms % 1000 * 1000])

    def ask(self, *commands):
        """Sends them all, then reads what each is answered; errors are values."""
        out = []
        for words in commands:
            out.append(b"*%d\r\n" % len(words))
            for word in words:
                word = word if isinstance(word, bytes) else str(word).encode()
                out.append(b"$%d\r\n%s\r\n" % (len(word), word))
        self.socket.sendall(b"".join(out))
        return [self._read() for _ in commands]

    def call(self, words, no_memory=False):
        """One command, or one script by its name; then all keys. -> (reply, keys)"""
        script = self.scripts.get(words[0])
        plain = [["EVALSHA", script.sha, *words[1:]]] if script else [words]
        around = [["CONFIG", "SET", "maxmemory", n] for n in (1, 0)] if no_memory else [[], []]
        wrapped = [c for c in (around[0], *plain, around[1]) if c]
        *replies, keys = self.ask(*wrapped, ["EVALSHA", SHA["look"], 0])
        reply = replies[1 if no_memory else 0]
        if isinstance(keys, RedisError):
            self.ask(["SCRIPT", "LOAD", LOOK])
            keys, = self.ask(["EVALSHA", SHA["look"], 0])
        if isinstance(reply, RedisError) and str(reply).startswith("NOSCRIPT"):
            self.ask(["SCRIPT", "LOAD", script.source])
            return self.call(words, no_memory)
        return reply, json.loads(keys)

    def _read(self):
        line = self.input.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            size = int(rest)
            return None if size < 0 else self.input.read(size + 2)[:-2].decode()
        assert kind == b"*", line
        return None if int(rest) < 0 else [self._read() for _ in range(int(rest))]
