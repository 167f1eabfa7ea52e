"""The server: `python -m tests.kzoo_export.preload.server SOCKET ROUTE`.

It imports what a route needs and then only forks: whatever starts threads belongs to the children.
"""

import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

# What the routes import while they work.
LATER = {
    "tensorflow": ("tensorflow", "kzoo_export.tflite.convert"),
    "torch": ("torch.export", "torch.onnx._internal.exporter._core", "kzoo_export.onnx.convert"),
}


def main(path: str, route: str) -> None:
    """Serve jobs until standard input ends: the test process is gone."""
    child = importlib.import_module("kzoo_export.lowering.__main__")
    for name in ("kzoo", "kzoo_export.source.saving", f"kzoo_export.lowering.{route}"):
        importlib.import_module(name)
    for name in LATER.get(route, ()):
        importlib.import_module(name)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for who waits for a job
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            serve(connection, child)
        connection.close()


def serve(connection: socket.socket, child: Any) -> None:
    """Run one job in a process of its own, and tell the client how it ended."""
    length, streams, *_ = socket.recv_fds(connection, 4, 3)
    content = b""
    while len(content) < int.from_bytes(length, "big"):
        content += connection.recv(1 << 16)
    job = json.loads(content)
    number = os.fork()
    if number == 0:
        connection.close()
        for target, stream in enumerate(streams):
            os.dup2(stream, target)
            os.close(stream)
        os.environ.clear()
        os.environ.update(job["environment"])
        os.chdir(job["folder"])
        sys.path[:] = [*job["environment"]["PYTHONPATH"].split(os.pathsep), *sys.path]
        threading.Thread(target=child._end_with_parent, daemon=True).start()
        status = child.main(*map(Path, job["arguments"]))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
    connection.sendall(str(status).encode())
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
