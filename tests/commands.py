"""The command line: in its own process, as a user runs it, or in this one, which takes no start."""

import subprocess
import sys

from typer.testing import CliRunner, Result


def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `kzoo`; every such run starts from nothing."""
    command = [sys.executable, "-m", "kzoo", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def run_here(*arguments: object) -> str:
    """Run `kzoo` in this process, in a window of 80 columns; return what it prints."""
    done = _invoke(arguments)
    assert done.exit_code == 0, done.output + str(done.exception)
    return done.stdout


def failure_of(*arguments: object) -> str:
    """Run `kzoo` in this process; return the mistake that it tells."""
    done = _invoke(arguments)
    assert done.exit_code == 1, done.output
    return str(done.exception)


def _invoke(arguments: tuple[object, ...]) -> Result:
    from kzoo import cli

    return CliRunner().invoke(cli.app, list(map(str, arguments)), env={"COLUMNS": "80"})
