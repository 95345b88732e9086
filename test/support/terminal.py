"""Runs a program on a pseudo-terminal: types when a text has appeared, and writes what was shown as one JSON document.

Reads from standard input: {"args": [...], "columns": 60, "steps": [[text, keys], ...], "limit": seconds}.
"""

import fcntl
import json
import os
import pty
import select
import struct
import sys
import termios
import time

given = json.load(sys.stdin)
deadline = time.monotonic() + given["limit"]
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, given["columns"], 0, 0))
    os.execvp(given["args"][0], given["args"])

shown = b""


def read_more():
    """Reads what the program shows. Returns False at its end."""
    global shown
    ready, _, _ = select.select([terminal], [], [], 0.1)
    if not ready:
        return True
    try:
        part = os.read(terminal, 65536)
    except OSError:
        return False
    shown += part
    return part != b""


missed = []
for text, keys in given["steps"]:
    start = len(shown)
    alive = True
    while text.encode() not in shown[start:] and alive and time.monotonic() < deadline:
        alive = read_more()
    if text.encode() not in shown[start:]:
        missed.append(text)
        break
    os.write(terminal, keys.encode())
while read_more() and time.monotonic() < deadline:
    pass
if time.monotonic() >= deadline:
    os.kill(pid, 9)
_, status = os.waitpid(pid, 0)
json.dump({"shown": shown.decode(errors="replace"), "code": os.waitstatus_to_exitcode(status), "missed": missed}, sys.stdout)
