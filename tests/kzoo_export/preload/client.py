"""What the export starts in place of a child: it hands a server its job and its streams.

`python client.py SOCKET ARGUMENT...`; nothing but the standard library, for it must start quickly.
"""

import json
import os
import socket
import sys
import time
from pathlib import Path


def connect(path: str) -> socket.socket:
    """Connect to a server, which may still be importing its framework."""
    connection = socket.socket(socket.AF_UNIX)
    while True:
        try:
            connection.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            time.sleep(0.02)
        else:
            return connection


def main() -> None:
    """Send the job, and end as it does."""
    job = {"arguments": sys.argv[2:], "environment": dict(os.environ), "folder": str(Path.cwd())}
    content = json.dumps(job).encode()
    with connect(sys.argv[1]) as connection:
        socket.send_fds(connection, [len(content).to_bytes(4, "big")], [0, 1, 2])
        connection.sendall(content)
        status = int(connection.recv(16) or b"1")
    if status < 0:
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main()
