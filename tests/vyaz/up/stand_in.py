"""A small real process for the supervisor to run: `stand_in.py KIND NAME JOURNAL [PORT]`.

It writes what happens to it into a journal. `api` answers every GET, `forker` has a child, `deaf` does not end when
asked, `faller` ends at once with exit code 3.
"""

import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import FrameType

kind, name, journal, *rest = sys.argv[1:]
asked = threading.Event()


def note(event: str) -> None:
    with open(journal, "a") as file:
        file.write(f"{name} {event} {os.getpid()}\n")


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


def on_term(number: int, frame: FrameType | None) -> None:
    note("asked")
    if kind != "deaf":
        asked.set()


signal.signal(signal.SIGTERM, on_term)
signal.signal(signal.SIGINT, lambda number, frame: note("interrupted"))
note("started")
if kind == "faller":
    print("it fell on purpose", flush=True)
    sys.exit(3)
if kind == "api":
    threading.Thread(target=HTTPServer(("127.0.0.1", int(rest[0])), Answer).serve_forever, daemon=True).start()
if kind == "forker" and os.fork() == 0:
    note("forked")
    threading.Event().wait(600)
asked.wait(600)
note("ended")
