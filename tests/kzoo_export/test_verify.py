"""Comparing outputs: the numbers against NumPy, and the verdict against known damage."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kzoo_export import RECIPES, Report, verify
from kzoo_export.artifact.compare import compare_output
from kzoo_export.artifact.verification import Comparison, Verification

pytestmark = pytest.mark.once

Exported = tuple[keras.Model, dict[str, Report]]


def rows(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def test_numbers_against_numpy() -> None:
    expected = rows(5, 8)
    actual = expected + 0.1 * rows(5, 8, seed=1)
    norms = np.linalg.norm(actual, axis=1) * np.linalg.norm(expected, axis=1)
    cosines = (actual * expected).sum(axis=1) / norms
    found = compare_output("hidden", actual, expected)
    assert found.rows == 5
    assert (found.kind, found.agreement) == (None, None)
    # float64 here, float32 there.
    assert found.max_abs == pytest.approx(np.abs(actual - expected).max(), abs=1e-6)
    assert found.cosine_mean == pytest.approx(cosines.mean(), abs=1e-6)
    assert found.cosine_min == pytest.approx(cosines.min(), abs=1e-6)
    assert found.scale == pytest.approx(np.abs(expected).max(), abs=1e-6)


def test_logits_agree_in_their_largest_entry() -> None:
    expected = np.eye(4, dtype="float32")
    actual = expected.copy()
    actual[0] = [0.1, 0.9, 0.0, 0.0]
    found = compare_output("topic", actual, expected, kind="class_logits")
    assert found.agreement == 0.75
    assert not dataclasses.replace(found, cosine_mean=1.0, cosine_min=1.0).within(
        RECIPES["dynamic_int8"].tolerance
    )
    # One logit a sample: yes or no.
    expected, actual = np.array([[2.0], [-1.0], [0.5], [-3.0]]), np.array([[2], [-1], [-0.5], [-3]])
    assert compare_output("spam", actual, expected, kind="class_logits").agreement == 0.75
    assert compare_output("spam", actual, expected).agreement is None


@pytest.mark.parametrize("dtype", ["int32", "int64", "bool", "uint8"])
def test_integers_are_equal_or_not(dtype: str) -> None:
    expected = np.arange(20).reshape(10, 2).astype(dtype)
    actual = expected.copy()
    found = compare_output("index", actual, expected)
    assert (found.kind, found.agreement) == ("integers", 1.0)
    assert found.within(RECIPES["float32"].tolerance)
    # Off by one of a hundred thousand is as wrong as any other index, whatever the cosine says.
    large = np.arange(100_000, 100_020)
    wrong = compare_output("index", large + 1, large)
    assert wrong.agreement == 0.0
    assert not any(wrong.within(recipe.tolerance) for recipe in RECIPES.values())
    # Numbers that are declared to be integers, such as a count that a file gives as floats.
    assert compare_output("n", large + 0.4, large.astype("float32"), kind="integers").agreement == 0


def test_spans_agree_in_start_and_end_at_real_positions() -> None:
    mask = np.array([[1, 1, 1, 0], [1, 1, 0, 0]])
    expected = np.full((2, 4, 2), -1.0)
    expected[0, 2, 0] = expected[0, 1, 1] = expected[1, 0, 0] = expected[1, 1, 1] = -0.5
    actual = np.where(mask[..., None] == 1, expected, 9.0)
    found = compare_output("span", actual, expected, mask, "span_logits")
    assert (found.agreement, found.max_abs, found.rows) == (1.0, 0.0, 4)
    actual[0, 2, 0], actual[0, 0, 0] = -1.0, -0.5
    assert compare_output("span", actual, expected, mask, "span_logits").agreement == 0.75
    # Padding far below everything must not stand in for agreement at real positions.
    expected[mask == 0] = actual[mask == 0] = -1e4
    assert compare_output("span", actual, expected, mask, "span_logits").cosine_min < 0.9


def test_one_logit_a_token_is_compared_at_real_positions() -> None:
    mask = np.tri(4, 6, 1)
    expected = rows(4, 6)
    actual = np.where(mask == 1, expected, 7.0)
    found = compare_output("replaced", actual, expected, mask, "token_logits")
    assert (found.max_abs, found.agreement) == (0.0, 1.0)
    assert compare_output("classes", actual, expected, mask, "class_logits").max_abs > 0.0


def test_infinity_of_the_model_must_be_met() -> None:
    expected = rows(6, 8)
    expected[:, 3], expected[0, 0] = -np.inf, np.nan
    found = compare_output("scores", expected.copy(), expected)
    assert (found.max_abs, found.cosine_min) == (0.0, pytest.approx(1.0))
    for place, number in (((2, 3), 0.0), ((2, 3), np.inf), ((0, 0), 1.0), ((1, 1), np.nan)):
        actual = expected.copy()
        actual[place] = number
        found = compare_output("scores", actual, expected)
        assert not any(found.within(recipe.tolerance) for recipe in RECIPES.values())


def test_padding_is_not_compared() -> None:
    expected = rows(2, 3, 4)
    mask = np.array([[1, 1, 0], [1, 0, 0]])
    actual = np.where(mask[..., None] == 1, expected, 7.0)
    found = compare_output("hidden", actual, expected, mask)
    assert (found.max_abs, found.rows) == (0.0, 3)
    assert compare_output("hidden", actual, expected).max_abs > 1.0
    # A vector a row is no sequence, though its width may be the length of one.
    assert compare_output("pooled", actual[:, 0], expected[:, 0], np.zeros((2, 4))).rows == 2


def test_rows_next_to_zero_have_no_direction() -> None:
    expected = rows(20, 8)
    expected[0] *= 1e-4
    actual = expected.copy()
    actual[0] *= -1
    found = compare_output("hidden", actual, expected)
    assert found.rows == 19
    assert found.cosine_min == pytest.approx(1.0)
    assert found.max_abs > 0


def test_large_mean_hides_no_lost_signal() -> None:
    signal = rows(50, 1)
    for mean in (0.0, 2000.0):
        expected = mean + signal
        lost = np.full_like(expected, mean)
        found = compare_output("age", lost, expected)
        assert not any(found.within(recipe.tolerance) for recipe in RECIPES.values())
        close = compare_output("age", mean + 1.0001 * signal, expected)
        assert close.within(RECIPES["float16"].tolerance)
        assert close.scale == pytest.approx(np.abs(signal - signal.mean()).max(), rel=1e-3)
        assert not close.weak
    # Positions are single numbers as well, those at padding left out.
    expected = 2000.0 + rows(4, 6, 1)
    mask = np.tri(4, 6, 1)
    actual = np.where(mask[..., None] == 1, expected, 0.0)
    assert compare_output("age", actual, expected, mask).max_abs == 0.0


def test_outputs_that_hardly_depend_on_the_input_are_weak() -> None:
    common = rows(1, 8)
    for expected, weak in (
        (common + 1e-3 * rows(6, 8, seed=1), True),
        (common + 0.5 * rows(6, 8, seed=1), False),
        (np.zeros((6, 8)), True),
        (rows(1, 8), True),  # one sample
        (np.full(6, 3.0), True),
        (3.0 + rows(6), False),
    ):
        found = compare_output("hidden", expected, expected)
        assert found.weak is weak
        assert found.within(RECIPES["float32"].tolerance)


def test_padding_makes_no_two_samples_differ() -> None:
    mask = np.array([[1, 1, 0, 0], [1, 1, 0, 0]])
    expected = np.where(mask[..., None] == 1, rows(1, 4, 8), rows(2, 4, 8, seed=1))
    assert compare_output("hidden", expected, expected, mask).weak
    assert not compare_output("hidden", expected, expected).weak


def test_weak_is_said_where_people_look() -> None:
    output = Comparison("x", max_abs=0.0, cosine_mean=1.0, cosine_min=1.0, scale=1.0, rows=1)
    weak = dataclasses.replace(output, weak=True)
    for outputs, said in (((output,), False), ((output, weak), True)):
        verification = Verification(outputs, RECIPES["float32"].tolerance, 1, "1 sample", "float32")
        for text in (str(verification), verification.to_markdown()):
            assert ("ok, weak" in text) == ("little is proven" in text) == said


def test_single_numbers_are_compared_together() -> None:
    expected = rows(6, 1)
    assert compare_output("age", expected, expected).rows == 1
    expected -= expected.mean()
    assert compare_output("age", -expected, expected).cosine_min == pytest.approx(-1.0)
    zeros = np.zeros((3, 4))
    assert compare_output("zero", zeros, zeros).cosine_min == 1.0
    assert compare_output("zero", zeros + 1, zeros).cosine_min == 0.0


def test_other_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        compare_output("hidden", rows(2, 3), rows(2, 4))


@pytest.mark.parametrize(
    "damage",
    [{"cosine_mean": 0.5}, {"cosine_min": 0.5}, {"max_abs": 50.0}, {"cosine_mean": np.nan}],
)
def test_every_bound_counts(damage: dict[str, Any]) -> None:
    good = Comparison("x", max_abs=0.0, cosine_mean=1.0, cosine_min=1.0, scale=10.0, rows=3)
    for recipe in RECIPES.values():
        assert good.within(recipe.tolerance)
        assert not dataclasses.replace(good, **damage).within(recipe.tolerance)


def test_file_is_judged_by_the_report_beside_it(exported: Exported, tmp_path: Path) -> None:
    model, reports = exported
    path = Path(reports["dynamic_int8"].path)
    found = verify(path, model)
    assert found.passed
    assert found.judged_as == "dynamic_int8, as reported"
    alone = tmp_path / "alone.tflite"
    alone.write_bytes(path.read_bytes())
    strict = verify(alone, model)
    assert strict.judged_as == "float32, for want of a report"
    assert not strict.passed
    assert "FAILED" in str(strict)


def test_file_of_another_model(exported: Exported) -> None:
    model, reports = exported
    path = reports["float32"].path
    features = keras.Input((32,), name="features")
    with pytest.raises(ValueError, match="inputs of the file"):
        verify(path, keras.Model(features, keras.layers.Dense(3)(features)))
    with pytest.raises(ValueError, match="outputs of the file"):
        verify(path, keras.Model(model.inputs, model.outputs[0]))
    other = keras.models.clone_model(model)
    assert not verify(path, other).passed
