"""The step's command of a soak: hands one step over to `tests.support.noop_server`, where its reasons stand.

``python -I -S noop_client.py SOCKET STEP --job ... --secrets-fd N``. How quickly it starts is its whole purpose: it
imports nothing that is not compiled into the interpreter.
"""

import sys
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket
from posix import environ, getppid


def main(words: list[str]) -> int:
    """The exit status of the step; 5, worth another try, when the server is gone or our worker is."""
    place = words.index("--secrets-fd") + 1
    streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (1, 2, int(words[place])))
    words[place] = "SECRETS"
    request = b"\0".join([word.encode() for word in words[1:]] + [b""] + [b"=".join(pair) for pair in environ.items()])
    server, parent = socket(AF_UNIX, SOCK_STREAM), getppid()
    server.connect(words[0])
    server.sendmsg([request], [(SOL_SOCKET, SCM_RIGHTS, streams)])
    server.settimeout(1.0)
    while getppid() == parent:
        try:
            answer = server.recv(1)
        except TimeoutError:
            continue
        return answer[0] if answer else 5
    return 5


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
