"""The README's index of layers is complete and invents nothing."""

import re
from pathlib import Path

import pytest

import kzoo.layers

pytestmark = pytest.mark.once

README = Path(__file__).parents[3] / "README.md"


def test_the_readme_names_every_public_layer_on_a_line_of_its_own():
    (section,) = re.findall(r"^## Layers$(.+?)^## ", README.read_text("utf-8"), re.M | re.S)
    listed = re.findall(r"^\| `(\w+)` \|", section, re.M)
    assert len(listed) == len(set(listed)), "a layer is listed twice"
    layers = {name for name in kzoo.layers.__all__ if isinstance(getattr(kzoo.layers, name), type)}
    assert set(listed) == layers
    rest = re.sub(r"^\|.*$", "", section, flags=re.M)
    functions = set(re.findall(r"`(\w+)`", rest))
    assert functions == set(kzoo.layers.__all__) - layers
