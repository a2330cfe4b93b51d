"""Running the gate: uvicorn without an access log, without trust in proxy headers, and with little patience."""

from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from memorial_tasks.delivery.door import Door
from memorial_tasks.delivery.gate import application
from memorial_tasks.observability.logs import set_up

HEADER_SECONDS = 15
CONNECTIONS = 200


class ImpatientProtocol(H11Protocol):
    """Closes a connection on which no request is on its way for too long: uvicorn itself would wait for a slow header
    for ever."""

    def connection_made(self, transport: Any) -> None:
        """Starts the watch."""
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        self._look()

    def _look(self) -> None:
        cycle: Any = self.cycle
        now = self.loop.time()
        if cycle is not None and not cycle.response_complete:
            self._idle_since = now
        if now - self._idle_since > HEADER_SECONDS:
            self.transport.close()
        else:
            self._watch = self.loop.call_later(1, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends it."""
        self._watch.cancel()
        super().connection_lost(exc)


def server(door: Door, host: str, port: int) -> uvicorn.Server:
    """The gate's server, not yet running."""
    set_up("gate")  # every request is worth a line here, unlike in a command
    config = uvicorn.Config(
        application(door),
        host=host,
        port=port,
        http=ImpatientProtocol,
        ws="none",
        lifespan="off",
        access_log=False,  # it would write tokens
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=10,
    )
    return uvicorn.Server(config)
