"""Input files as nobody should write them, each with one thing wrong or odd about
it.
"""

from __future__ import annotations

import gzip

GOOD = b'{"id": "good", "prompt": "hi"}\n'

FILES: dict[str, bytes] = {
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "two byte order marks": b"\xef\xbb\xbf\xef\xbb\xbf" + GOOD,
    "lines that end in CR LF": GOOD.replace(b"\n", b"\r\n"),
    "a lone CR between two objects": b'{"prompt": "a"}\r{"prompt": "b"}\n',
    "no newline at the end": GOOD.rstrip(),
    "blank lines and blanks": b"\n  \n\t\n" + GOOD + b"\n\n",
    "nothing at all": b"",
    "only blank lines": b"\n\n \n",
    "a NUL in a prompt": GOOD + b'{"prompt": "a\x00b"}\n',
    "an escaped NUL in a prompt": GOOD + b'{"prompt": "a\\u0000b"}\n',
    "leading NULs": b"\x00\x00\x00" + GOOD,
    "invalid UTF-8": GOOD + b'{"prompt": "caf\xe9"}\n',
    "an encoded surrogate": GOOD + b'{"prompt": "\xed\xa0\x80"}\n',
    "an escaped lone surrogate": GOOD + b'{"prompt": "\\ud800"}\n',
    "NaN": GOOD + b'{"prompt": "a", "metadata": {"x": NaN}}\n',
    "Infinity": GOOD + b'{"prompt": "a", "max_tokens": Infinity}\n',
    "a float beyond all floats": GOOD + b'{"prompt": "a", "metadata": {"x": 1e999}}\n',
    "an integer of 65 bits": GOOD + b'{"prompt": "a", "max_tokens": 18446744073709551616}\n',
    "an integer of 5,000 digits": GOOD + b'{"prompt": "a", "max_tokens": ' + b"9" * 5000 + b"}\n",
    "nesting of 100,000 levels": GOOD + b'{"prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
    "a key given twice": b'{"prompt": "first", "prompt": "second"}\n',
    "an id given twice": GOOD + b'{"id": "good", "prompt": "another"}\n',
    "the ids 1 and '1'": b'{"id": 1, "prompt": "a"}\n{"id": "1", "prompt": "b"}\n',
    "an id of true": GOOD + b'{"id": true, "prompt": "a"}\n',
    "no prompt": GOOD + b'{"id": "x"}\n',
    "a prompt of the wrong kind": GOOD + b'{"prompt": 7}\n',
    "an empty prompt": GOOD + b'{"prompt": ""}\n',
    "a field that does not exist": GOOD + b'{"prompt": "a", "promt": "b"}\n',
    "temperature": GOOD + b'{"prompt": "a", "temperature": 0.5}\n',
    "a number": GOOD + b"42\n",
    "null": GOOD + b"null\n",
    "an empty object": GOOD + b"{}\n",
    "half an object": GOOD + b'{"prompt": "a"\n',
    "two objects on one line": GOOD + b'{"prompt": "a"} {"prompt": "b"}\n',
    "single quotes": GOOD + b"{'prompt': 'a'}\n",
    "a comma at the end": GOOD + b'{"prompt": "a",}\n',
    "plain text": GOOD + b"Summarise this.\n",
    "U+2028 in a prompt": '{"id": "good", "prompt": "a\u2028b\u0085c"}\n'.encode(),
    "a row id of rich markup": b'{"id": "[/foo][bold]", "prompt": 7}\n',
    "a row id of escapes": b'{"id": "\\u001b[2J\\u202e\\u009b31m", "prompt": 7}\n',
    "UTF-16": GOOD.decode().encode("utf-16"),
    "gzip": gzip.compress(GOOD, mtime=0),
    "a JSON array": b'[{"prompt": "a"}, {"prompt": "b"}]\n',
    "an indented JSON object": b'{\n  "prompt": "a"\n}\n',
    "binary": bytes(range(256)),
}
"""By what is odd about them."""
