"""Every public layer in the forms the contract tries: one table for all tests of all layers."""

from tests.kzoo.layers.cases import attention, blocks, heads, positions
from tests.kzoo.layers.cases.case import Case

CASES: dict[str, Case] = {**attention.CASES, **positions.CASES, **blocks.CASES, **heads.CASES}
