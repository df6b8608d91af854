"""A wire to a server that can be cut or frozen, for what happens when the server behind the API is away."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


class Wire:
    """Passes TCP connections on to an address (a Unix socket's path).

    `freeze` lets nothing through, `cut` hangs up, `mute` swallows what comes over the connections of this moment.
    """

    def __init__(self, target: str, host: str = "127.0.0.1") -> None:
        self._target = target
        self._flows = threading.Event()
        self._flows.set()
        self._cut = False
        self._muted: frozenset[socket.socket] = frozenset()
        self._ends: set[socket.socket] = set()
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()

    def freeze(self) -> None:
        """As a stopped server: connections stay, nothing is answered."""
        self._flows.clear()

    def thaw(self) -> None:
        """Let what waited through."""
        self._flows.set()

    def mute(self) -> None:
        """As a peer that went without a word: what is connected hears nothing more; new connections are well."""
        self._muted = frozenset(self._ends)

    def cut(self) -> None:
        """As a server that is gone: hang up, and on everybody who calls."""
        self._cut = True
        self._flows.set()
        for end in list(self._ends):
            _hang_up(end)

    def mend(self) -> None:
        """As a server that came back."""
        self._cut = False

    def _listen(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._cut:
                near.close()
                continue
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._target)
            self._ends |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                if source not in self._muted:
                    sink.sendall(data)
        _hang_up(source)
        _hang_up(sink)


def _hang_up(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
