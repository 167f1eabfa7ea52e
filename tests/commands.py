"""The command line in its own process, as a user runs it."""

import subprocess
import sys


def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `kzoo`; every such run starts from nothing."""
    command = [sys.executable, "-m", "kzoo", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done
