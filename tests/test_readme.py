"""The first lines of the README do what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

README = Path(__file__).parents[1] / "README.md"


def test_first_lines_export_a_model_and_print_the_report(tmp_path: Path) -> None:
    code, printed = re.findall(r"```(?:python|text)\n(.+?)```", README.read_text("utf-8"), re.S)[:2]
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True
    )
    # Latency and the numbers of random weights differ from run to run.
    facts = [
        line.strip() for line in printed.splitlines() if re.search(r"recipe,|size|verified", line)
    ]
    assert facts
    assert set(facts) <= {line.strip() for line in done.stdout.splitlines()}
    assert "Verification passed" in done.stdout
    assert (tmp_path / "digits.tflite").is_file()
