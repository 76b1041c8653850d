"""Free ports of this machine, none of them given out twice."""

import socket

_given: set[int] = set()


def free_port() -> int:
    """Return a port that nobody listens at, and that nobody else of this process was told of.

    The system may name one port to two callers that have not begun to listen.
    """
    while True:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = int(probe.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port
