"""Every public layer keeps the layer contract."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import keras
import pytest

import kzoo.layers
from tests.checks import check_layer
from tests.kzoo.layers.cases import CASES

LAYERS: set[type[keras.layers.Layer]] = {
    value
    for value in (getattr(kzoo.layers, name) for name in kzoo.layers.__all__)
    if isinstance(value, type)
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    layer = case.make(name=name)
    check_layer(layer, case.inputs, case.oracle, tmp_path, case.fixed)


@pytest.mark.once
def test_every_public_layer_has_a_case() -> None:
    assert {case.layer for case in CASES.values()} == LAYERS


@pytest.mark.once
@pytest.mark.parametrize("layer", sorted(LAYERS, key=str))
def test_documented_and_registered(layer: type[keras.layers.Layer]) -> None:
    for section in ("Args:", "Call arguments:", "Call returns:", "Example:", "References:"):
        assert f"\n    {section}\n" in (layer.__doc__ or "")
    assert keras.saving.get_registered_name(layer) == f"kzoo>{layer.__name__}"
    assert layer.__mro__[1] is keras.layers.Layer


@pytest.mark.parametrize(
    "module", [found.name for found in pkgutil.walk_packages(kzoo.layers.__path__, "kzoo.layers.")]
)
def test_examples_run(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0
