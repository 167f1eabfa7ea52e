"""TFLite files: what is read off them, and how they run."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kzoo_export import Report, inspect
from kzoo_export.artifact.files import load
from kzoo_export.spec import Signature, Spec, TensorSpec
from kzoo_export.tflite import flatbuffer
from kzoo_export.tflite.convert import set_signatures, traced_names
from tests.kzoo_export import models

pytestmark = pytest.mark.once

Exported = tuple[keras.Model, dict[str, Report]]
# The products of `two_in_two_out`: one hidden layer and two heads.
EMBEDDING, KERNEL, HEADS = 50 * 32, 64 * 64, 64 * 8 + 64


def test_dtypes_of_weights_and_products(exported: Exported) -> None:
    _, reports = exported
    found = {recipe: report.inspection for recipe, report in reports.items()}
    assert found["float32"].matmuls == {"float32": 3}
    # Matrices of less than 1024 numbers are left alone: the two heads.
    assert found["float16"].matmuls == {"float16 x float32": 1, "float32": 2}
    assert found["dynamic_int8"].matmuls == {"int8 x float32": 1, "float32": 2}
    assert found["dynamic_int8"].weight_bytes["int8"] == EMBEDDING + KERNEL
    # Besides: constants of the graph, such as the number of words in a mean. Biases are still zero,
    # which the converter leaves out.
    number = EMBEDDING + KERNEL + HEADS
    assert 4 * number <= found["float32"].weight_bytes["float32"] < 4 * number + 64
    assert found["float16"].weight_bytes["float16"] == 2 * (EMBEDDING + KERNEL)


def test_operations_and_signature(exported: Exported) -> None:
    _, reports = exported
    for report in reports.values():
        inspection = inspect(report.path)
        assert inspection.ops["FULLY_CONNECTED"] == 3
        # 8-bit tables are read by another operation than float tables.
        assert inspection.ops.get("GATHER", 0) + inspection.ops.get("EMBEDDING_LOOKUP", 0) == 1
        assert inspection.static
        assert inspection.custom_ops == ()
        words, numbers = inspection.inputs
        assert words == TensorSpec("words", (1, models.LENGTH), "int32")
        assert numbers == TensorSpec("numbers", (1, 32), "float32")
        assert [entry.name for entry in inspection.outputs] == ["topic", "age"]


def test_order_of_the_graph_is_that_of_the_spec(exported: Exported, tmp_path: Path) -> None:
    """Clients that feed by position read the order of the graph."""
    _, reports = exported
    report = reports["float32"]
    signature = Signature(report.inspection.inputs[::-1], report.inspection.outputs)
    model = flatbuffer.read(Path(report.path).read_bytes())
    _name_as_traced(model.signatureDefs[0], signature)
    turned = tmp_path / "turned.tflite"
    spec = Spec(report.format, report.route, (signature,))
    model = flatbuffer.read(flatbuffer.write(model))
    set_signatures(model, spec)
    turned.write_bytes(flatbuffer.write(model))
    assert [entry.name for entry in inspect(turned).inputs] == ["numbers", "words"]
    feed = _feed()
    before, after = load(report.path)(feed), load(turned)(feed)
    for name, expected in before.items():
        np.testing.assert_array_equal(after[name], expected)


def test_runner_needs_no_order_of_names(exported: Exported) -> None:
    model, reports = exported
    feed = _feed()
    outputs = load(reports["float32"].path, threads=1)(dict(reversed(feed.items())))
    expected = model([feed["words"], feed["numbers"]], training=False)
    for name, value in zip(("topic", "age"), expected, strict=True):
        # Two layers of float32 sums over at most 64 terms.
        np.testing.assert_allclose(outputs[name], value, atol=1e-5)


@pytest.mark.parametrize("content", [b"", b"not a model at all"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tflite").write_bytes(content)
    with pytest.raises(ValueError, match="`path` must be a TFLite file"):
        inspect(tmp_path / "a.tflite")
    with pytest.raises(ValueError, match="`path` must be an existing file"):
        inspect(tmp_path / "b.tflite")


def test_weights_outside_the_flatbuffer_are_counted(exported: Exported, tmp_path: Path) -> None:
    """Other tools keep weights behind the flatbuffer; a reader of buffers alone sees none."""
    _, reports = exported
    path = tmp_path / "outside.tflite"
    path.write_bytes(_moved_outside(Path(reports["float32"].path).read_bytes()))
    inspection = inspect(path)
    assert inspection.weight_bytes == reports["float32"].inspection.weight_bytes
    assert any("outside the flatbuffer" in note for note in inspection.notes)


def _moved_outside(content: bytes) -> bytes:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    moved = max(model.buffers, key=lambda buffer: 0 if buffer.data is None else len(buffer.data))
    data, moved.data = bytes(moved.data), None
    moved.offset, moved.size = len(content), len(data)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output()) + data


def _feed() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    words = random.integers(0, models.VOCAB_SIZE, (1, models.LENGTH)).astype("int32")
    return {"words": words, "numbers": random.standard_normal((1, 32)).astype("float32")}


def _name_as_traced(entries: Any, signature: Signature) -> None:
    """Undo what `set_signatures` does to the names."""
    sides = zip(("inputs", "outputs"), traced_names(signature), strict=True)
    for side, traced in sides:
        names = [tensor.name for tensor in getattr(signature, side)]
        for entry in getattr(entries, side):
            entry.name = traced[names.index(entry.name.decode())]
