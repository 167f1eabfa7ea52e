"""Child processes of the export that need not import their framework each time.

A run of the tests exports some hundred models, and the child of each spends most of its time on
imports. Here one server a framework imports it once, and forks for every job. The children are
otherwise what a user's are: `tests/kzoo_export/lowering/test_process.py` and whatever runs `kzoo`
in a process of its own start them as a user's are started.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kzoo_export.lowering import process
from kzoo_export.lowering.routes import ROUTES, SPEC_FILE

HERE = Path(__file__).parent
REAL_COMMAND = process._command


class Servers:
    """The servers of this test process, each started by the first job for it."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.sockets: dict[str, Path] = {}

    def command(self, source_folder: Path, folder: Path) -> list[str]:
        """Return the command of a client in place of that of a child."""
        route = json.loads((folder / SPEC_FILE).read_text())["route"]
        backend = ROUTES[route].backend
        if backend not in self.sockets:
            self.sockets[backend] = self._start(route)
        # Without site-packages: a client takes 20 ms.
        client = [sys.executable, "-I", "-S", str(HERE / "client.py"), str(self.sockets[backend])]
        return [*client, str(source_folder), str(folder)]

    def _start(self, route: str) -> Path:
        socket = self.folder / ROUTES[route].backend
        environment = process._environment(route, self.folder)
        server = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.kzoo_export.preload.server", str(socket), route],
            stdin=subprocess.PIPE,
            env=environment,
        )
        self.stack.enter_context(server)
        self.stack.callback(server.kill)
        return socket


@contextlib.contextmanager
def preloaded(folder: Path) -> Iterator[None]:
    """Run the children of all exports on servers.

    Args:
        folder: Where the servers' sockets are made: a short path.
    """
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        if hasattr(os, "fork"):
            patch.setattr(process, "_command", Servers(folder, stack).command)
        yield
