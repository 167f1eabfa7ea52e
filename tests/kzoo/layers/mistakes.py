"""The comparison with an oracle can fail."""

import pytest

from tests.checks import Oracle, check_oracle, randomize
from tests.kzoo.layers.cases.case import Case


def assert_caught(case: Case, broken: Oracle) -> None:
    """Prove that a layer which computed what a broken oracle does would be caught."""
    layer = case.make()
    layer(**case.inputs)
    randomize(layer)
    check_oracle(layer, case.inputs, case.oracle)
    with pytest.raises(AssertionError, match="largest error"):
        check_oracle(layer, case.inputs, broken)
