"""Payloads that are no job, that may be one, and that must be one however odd they look."""

import gzip
import json
import pickle


def job(job_id='"x"', content='"text"', extra=""):
    """A job as JSON text, of pieces that need not be JSON."""
    return f'{{"id":{job_id},"content":{content}{extra}}}'.encode()


def nested(opening, closing, depth):
    return opening * depth + closing * depth


GOOD = job()

# Dead letters, byte for byte, each with its reason.
DEAD = {
    # not JSON
    "empty": b"",
    "blanks": b"  \n\t ",
    "a word": b"hello",
    "truncated": GOOD[:-4],
    "single quotes": b"{'id':'x','content':'text'}",
    "trailing comma": job(extra=","),
    "hex number": job(extra=',"max_tokens":0x10'),
    "plus number": job(extra=',"max_tokens":+1'),
    "x escape": job(content=r'"\x41"'),
    "short u escape": job(content=r'"\u12"'),
    "yaml": b"id: x\ncontent: text\n",
    "xml": b"<job><id>x</id><content>text</content></job>",
    "resp": b"*1\r\n$4\r\nPING\r\n",
    "open brackets": b"[[[[",
    # JSON, not an object
    "null": b"null",
    "true": b"true",
    "number": b"42",
    "string": b'"x"',
    "empty array": b"[]",
    "array of jobs": b"[" + GOOD + b"]",
    "empty object": b"{}",
    # what lenient parsers take
    "trailing bytes": GOOD + b" x",
    "two documents": GOOD + GOOD,
    "comment": b"/* hi */" + GOOD,
    "NaN": job(extra=',"temperature":NaN'),
    "minus Infinity": job(extra=',"temperature":-Infinity'),
    "leading zeros": job(extra=',"max_tokens":007'),
    "number without fraction": job(extra=',"max_tokens":1.'),
    "number without whole part": job(extra=',"temperature":.5'),
    "vertical tab between": GOOD.replace(b":", b"\x0b:", 1),
    "no-break space between": GOOD.replace(b":", b"\xc2\xa0:", 1),
    "raw ESC": job(content='"a\x1b[31mb"'),
    "raw newline": job(content='"a\nb"'),
    "two ids": b'{"id":"x","id":"y","content":"text"}',
    "two ids, one escaped": b'{"id":"x","i\\u0064":"y","content":"text"}',
    # bytes
    "utf-16": GOOD.decode().encode("utf-16"),
    "utf-32": GOOD.decode().encode("utf-32"),
    "gzip": gzip.compress(GOOD, mtime=0),
    "pickle": pickle.dumps({"id": "x", "content": "text"}),
    "all bytes": bytes(range(256)),
    "all 0xff": b"\xff" * 64,
    "only NUL": b"\0",
    "NUL first": b"\0" + GOOD,
    "NUL in a string": b'{"id":"x","content":"a\0b"}',
    "NUL and junk behind": GOOD + b"\0junk",
    # ids
    "id true": job("true"),
    "id object": job("{}"),
    "id array": job("[]"),
    "id empty": job('""'),
    "id with newline": job(r'"a\nb"'),
    "id with a command": job(r'"a\r\nSET b c"'),
    "id with NUL": job(r'"a\u0000b"'),
    "id with ANSI": job(r'"\u001b[31mred"'),
    "id with tab": job(r'"a\tb"'),
    "id with DEL": job(r'"a\u007fb"'),
    "id of 257 bytes": job(f'"{"i" * 257}"'),
    "id of 1 MB": job(f'"{"i" * 1_000_000}"'),
    "id of bad UTF-8": b'{"id":"\xff\xfe","content":"text"}',
    "id of overlong UTF-8": b'{"id":"\xc0\xaf","content":"text"}',
    # prompts
    "content missing": b'{"id":"content-missing"}',
    "content null": job(content="null"),
    "content number": job(content="5"),
    "content false": job(content="false"),
    "content object": job(content="{}"),
    "content array": job(content="[1]"),
    "content of bad UTF-8": b'{"id":"x","content":"\xff"}',
    "chat without query": b'{"id":"x","type":"chat","content":"text"}',
    "unknown type": job(extra=',"type":"nonsense"'),
    "type number": job(extra=',"type":1'),
    # fields of a wrong type or range
    "models string": job(extra=',"models":"a"'),
    "models empty": job(extra=',"models":[]'),
    "models of 11": job(extra=',"models":' + json.dumps([f"m{n}" for n in range(11)])),
    "models with number": job(extra=',"models":[7]'),
    "prefer nonsense": job(extra=',"prefer":"nonsense"'),
    "timeout zero": job(extra=',"timeout":0'),
    "timeout too long": job(extra=',"timeout":3601'),
    "timeout negative": job(extra=',"timeout":-1'),
    "timeout 1e308": job(extra=',"timeout":1e308'),
    "max_attempts zero": job(extra=',"max_attempts":0'),
    "max_attempts 101": job(extra=',"max_attempts":101'),
    "max_attempts fraction": job(extra=',"max_attempts":1.5'),
    "run_at nonsense": job(extra=',"run_at":"tomorrow"'),
    "expires_at object": job(extra=',"expires_at":{}'),
    "reply_to number": job(extra=',"reply_to":1'),
    "track_started string": job(extra=',"track_started":"yes"'),
    "metadata array": job(extra=',"metadata":[]'),
    "temperature string": job(extra=',"temperature":"warm"'),
    "stop_sequences string": job(extra=',"stop_sequences":"END"'),
    # shape
    "100000 nested arrays": nested(b"[", b"]", 100_000),
    "100000 nested objects": nested(b'{"a":', b"}", 100_000),
    "deep unknown field": job(extra=f',"deep":{nested("[", "]", 50_000)}'),
}

# Processed rightly or a dead letter; nothing in between.
EITHER = {
    "byte order mark": b"\xef\xbb\xbf" + GOOD,
    "id null": job("null"),
    "id number": job("12345"),
    "id long number": job("12345678901234567890"),
    "id 1.0": job("1.0"),
    "id lone surrogate": job(r'"\ud800"'),
    "only ID": b'{"ID":"x","content":"text"}',
    **{
        f"{name} {text[:12]}": job(extra=f',"{name}":{text}')
        for name in ("temperature", "top_p")
        for text in ("1e999", "-1e999", "1e-999", "-1", "2", "9" * 400, "null", "true", "[1]")
    },
    "content empty": job(content='""'),
    "content lone surrogate": job(content=r'"a\ud800b"'),
    "content reversed surrogates": job(content=r'"a\udc00\ud800b"'),
    "content with NUL escape": job(content=r'"a\u0000b"'),
    **{
        f"max_tokens {text[:12]}": job(extra=f',"max_tokens":{text}')
        for text in ("1e999", "-1e999", "-1", "0", "1.5", '"64"', "9223372036854775808", "9" * 400,
                     "1e-999", "[64]", "null", "true")
    },
    "models with CRLF": job(extra=r',"models":["a\r\nX-Evil: 1"]'),
    "models with a path": job(extra=',"models":["../../etc/passwd"]'),
    "expires_at 1e308": job(extra=',"expires_at":1e308'),
    "run_at past": job(extra=',"run_at":-1e308'),
    "messages of bad shape": job(extra=',"messages":[{"role":[]}]'),
    "900 deep": job(extra=f',"deep":{nested("[", "]", 900)}'),
    "100000 keys": job(extra="".join(f',"k{n}":{n}' for n in range(100_000))),
    "key of 1 MB": job(extra=f',"{"k" * 1_000_000}":1'),
    "1 MB of escapes": job(content=f'"{chr(92)}u0041{(chr(92) + "u0041") * 170_000}"'),
    "key with NUL": job(extra=r',"a\u0000b":1'),
    "key with newline": job(extra=r',"a\nb":1'),
    "empty key": job(extra=',"":1'),
    "traceparent nonsense": job(extra=r',"traceparent":"a\r\nb"'),
}

# Ids that must stay one key in one slot, each its own job.
ODD_IDS = [
    "a:b", "lease:other", "{tag}", "x{other}", "{", "}..{", "*?[", "*", "../../", "a/b", "%00",
    "%n", "__proto__", "constructor", "a b", '"quoted"', "'", "<b>html</b>",
    "]]..redis.call('FLUSHALL')",
    "漢字🚀", "\u202eright to left", "e\u0301", "\u00e9", "trailing ", "trailing", "FLUSHALL",
    "-rf", ".", "i" * 256, "é" * 128, "\\", "running", "null",
]

# Fields that try to change where a request goes or what the worker believes.
HOSTILE_FIELDS = {
    "endpoint": "http://169.254.169.254/latest/meta-data/",
    "base_url": "file:///etc/passwd",
    "callback": "gopher://127.0.0.1:6379/_FLUSHALL",
    "model": "a\r\nX-Evil: 1",
    "headers": {"X-Evil": "1", "Authorization": "none"},
    "attempts": 99,
    "attempt": 99,
    "status": "succeeded",
    "state": "succeeded",
    "lease": "mine",
    "worker": "me",
    "token": "1",
    "result": {"success": True},
    "deadline": 1,
    "__proto__": {"id": "evil"},
    "priority": "high\n",
}
