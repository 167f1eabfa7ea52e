"""The README's index of layers is complete and invents nothing."""

import re
from pathlib import Path

import pytest

import kzoo.layers

pytestmark = pytest.mark.once

README = Path(__file__).parents[3] / "README.md"


def test_readme_names_every_public_layer_and_function_once():
    (section,) = re.findall(r"<details>(.+?)</details>", README.read_text("utf-8"), re.S)
    listed = re.findall(r"`(\w+)`", section)
    assert len(listed) == len(set(listed)), "a name is listed twice"
    assert set(listed) == set(kzoo.layers.__all__)
    count = sum(isinstance(getattr(kzoo.layers, name), type) for name in kzoo.layers.__all__)
    assert f"<summary>{count} layers" in section
