"""A named test double: one resident process that answers for the step processes of a soak.

``python -m tests.support.noop_server SOCKET`` has imported what a stand-in step needs and forks one process a step;
``python -I -S tests/support/noop_client.py SOCKET STEP --job ...`` is the step's command: it hands over its standard
streams, its secrets' pipe and its environment and ends with the step's exit status. The step itself, in a process of
its own, is `tests.support.noop_steps`, unchanged.

Reason: a step process needs 0.3 s of processor time to start Python and import the contract (measured by
``python -m tests.bench.soak``, which names it), thirteen times an order. A real step spends that on another machine, or
does not notice it beside its training; a soak of hundreds of orders on two cores would measure little else.

What stays as it is: killing the client kills the step (its connection ends), and a step whose parent, this server, is
killed dies with it.
"""

import array
import gc
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path

from memorial_tasks.observability.logs import set_up
from memorial_tasks.steps.__main__ import main
from tests.support.noop_steps import stand_in

MOST = 1 << 16  # bytes of a request: arguments and environment
STREAMS = 3  # standard output, standard error, the pipe with the secrets


def serve(address: str) -> None:
    """Answer until SIGTERM. Each request is one connection."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(address)
        door.listen(64)
        door.settimeout(1.0)
        gc.collect()
        gc.freeze()
        while True:
            _reap()
            try:
                connection, _ = door.accept()
            except TimeoutError:
                continue
            if os.fork() == 0:
                door.close()
                connection.settimeout(None)
                os._exit(_answer(connection))
            connection.close()


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _answer(connection: socket.socket) -> int:
    """One step, in this process. Returns its exit status after telling it."""
    text, ancillary, _, _ = connection.recvmsg(MOST, socket.CMSG_SPACE(STREAMS * array.array("i").itemsize))
    given = array.array("i")
    given.frombytes(ancillary[0][2])
    words, _, environment = text.decode().partition("\0\0")
    os.dup2(given[0], 1)
    os.dup2(given[1], 2)
    os.environ.clear()
    os.environ.update(pair.split("=", 1) for pair in environment.split("\0"))
    request = [str(given[2]) if word == "SECRETS" else word for word in words.split("\0")]
    threading.Thread(target=_watch, args=(connection,), daemon=True).start()
    try:
        set_up("step")
        code = main(request, load=stand_in)
    except SystemExit as ended:
        code = int(ended.code or 0)
    sys.stdout.flush()
    with suppress(OSError):
        connection.sendall(bytes([code]))
    return code


def _watch(connection: socket.socket) -> None:
    """The client says nothing more: whatever ends the wait is its death."""
    with suppress(OSError):
        connection.recv(1)
    os._exit(137)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Path(sys.argv[1]).unlink(missing_ok=True)
    serve(sys.argv[1])
