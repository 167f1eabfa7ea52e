"""What is asked of other exporters, one function a question, each run in a process of its own.

`python -m tests.proofs.probes NAME FOLDER` runs one; its files and answers go to the folder.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

LENGTH, NUM_TEXTS = 128, 96
PRESET = "minilm_l6_v2"
KZOO, KERAS, OPTIMUM = "kzoo", "Keras, KerasHub `export`", "Optimum"
LITERT, QUANTIZER = "litert-torch", "ai-edge-quantizer"
Facts = dict[str, Any]


def texts(available: list[str], first: int) -> list[str]:
    """Pick texts that are spread over all of them; another `first` picks others."""
    return available[first :: len(available) // NUM_TEXTS][:NUM_TEXTS]


def kzoo_int8(folder: Path) -> Facts:
    """Export both formats; a bound that no 8-bit file keeps must be refused."""
    import kzoo
    from kzoo.data import sample_texts
    from kzoo_export import RECIPES, VerificationError, export, export_all

    model = kzoo.load(PRESET)
    calibration, samples = (texts(sample_texts(), first) for first in (0, 1))
    names = {format: f"kzoo_int8.{format}" for format in ("tflite", "onnx")}
    targets = {folder / name: "dynamic_int8" for name in names.values()}
    reports = export_all(model, targets, length=LENGTH, samples=samples, calibration=calibration)
    exact = dataclasses.replace(
        RECIPES["dynamic_int8"], name="exact", tolerance=RECIPES["float32"].tolerance
    )
    refused = folder / "refused.tflite"
    try:
        export(model, refused, exact, length=LENGTH)
        error = ""
    except VerificationError as caught:
        error = f"{type(caught).__name__}"
    says = f"{error}, {'a' if refused.exists() else 'no'} file is left"
    reported = all(Path(f"{report.path}.report.json").is_file() for report in reports)
    return {"files": names, "says": f"below its bound: {says}", "right": bool(error) and reported}


def keras_from_jax(folder: Path) -> Facts:
    """Export a dense layer to TFLite from JAX."""
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    try:
        model.export(str(folder / "dense.tflite"), format="litert", verbose=False)
    except Exception as error:
        return {"says": f"TFLite from JAX: {type(error).__name__}"}
    return {"says": "TFLite from JAX: made"}


def keras_to_onnx(folder: Path) -> Facts:
    """Export an exact GELU to ONNX from TensorFlow, and load the file."""
    import keras
    import onnxruntime

    def gelu(x: Any) -> Any:
        return keras.activations.gelu(x, approximate=False)

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation=gelu)])
    model(np.zeros((1, 4), "float32"))
    path = str(folder / "gelu.onnx")
    model.export(path, format="onnx", verbose=False)
    try:
        onnxruntime.InferenceSession(path)
    except Exception as error:
        return {"says": f"exact GELU to ONNX: success, then {type(error).__name__} at load"}
    return {"says": "exact GELU to ONNX: loads"}


def keras_int8(folder: Path) -> Facts:
    """Export KerasHub's BERT, and quantize it by TensorFlow's converter."""
    from tests.bench.competitors import ensure

    ensure("kerashub", folder, LENGTH)
    return {"files": {"tflite": "kerashub_int8.tflite"}}


def quantize(source: Path, target: Path, recipe: Any) -> None:
    """Quantize a TFLite file by ai-edge-quantizer."""
    from ai_edge_quantizer import quantizer

    made = quantizer.Quantizer(source.read_bytes(), recipe).quantize()
    target.write_bytes(made.quantized_model)


def quantizer_int8(folder: Path) -> Facts:
    """Quantize KerasHub's float file by ai-edge-quantizer; a recipe without effect says nothing."""
    from ai_edge_quantizer import recipe

    source = folder / "kerashub_float32.tflite"
    sizes = []
    for number, chosen in enumerate((recipe.dynamic_wi8_afp32(), recipe.dynamic_wi8b32_afp32())):
        path = folder / f"quantizer_{number}.tflite"
        quantize(source, path, chosen)
        sizes.append(path.stat().st_size / source.stat().st_size)
    says = f"recipe dynamic_wi8b32_afp32: {sizes[1]:.2f} of the float file, no error"
    return {"files": {"tflite": "quantizer_0.tflite"}, "says": says}


def optimum_int8(folder: Path) -> Facts:
    """Export and quantize as Optimum's documentation does."""
    from optimum.onnxruntime import ORTModelForFeatureExtraction, ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    model = ORTModelForFeatureExtraction.from_pretrained(os.environ["WEIGHTS"], export=True)
    config = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=False)
    ORTQuantizer.from_pretrained(model).quantize(config, save_dir=folder / "optimum")
    return {"files": {"onnx": "optimum/model_quantized.onnx"}, "says": "nothing of that cosine"}


def litert_torch_int8(folder: Path) -> Facts:
    """Convert Hugging Face's BERT from PyTorch, and quantize it as litert-torch does."""
    import litert_torch
    import torch
    from ai_edge_quantizer import recipe
    from transformers import BertModel

    class Hidden(torch.nn.Module):
        """The one output that is compared."""

        def __init__(self) -> None:
            super().__init__()
            self.bert = BertModel.from_pretrained(os.environ["WEIGHTS"])

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            return self.bert(input_ids, attention_mask, token_type_ids)[0]

    names = ("input_ids", "attention_mask", "token_type_ids")
    example = {name: torch.ones((1, LENGTH), dtype=torch.int64) for name in names}
    source = folder / "litert_float32.tflite"
    litert_torch.convert(Hidden().eval(), sample_kwargs=example).export(str(source))
    path = folder / "litert_int8.tflite"
    quantize(source, path, recipe.dynamic_wi8_afp32())
    return {"files": {"tflite": path.name}, "says": "nothing of that cosine"}


@dataclasses.dataclass(frozen=True)
class Probe:
    """What is run, by which backend of Keras, with which packages, and what it reads."""

    peer: str
    run: Callable[[Path], Facts]
    backend: str
    packages: tuple[str, ...]
    installs: tuple[str, ...] = ()
    huggingface: bool = False


PROBES = {
    probe.run.__name__: probe
    for probe in (
        Probe(KZOO, kzoo_int8, "jax", ("kzoo", "keras")),
        Probe(KERAS, keras_int8, "tensorflow", ("keras", "keras-hub", "tensorflow")),
        Probe(KERAS, keras_from_jax, "jax", ("keras", "jax")),
        Probe(KERAS, keras_to_onnx, "tensorflow", ("keras", "tf2onnx")),
        Probe(QUANTIZER, quantizer_int8, "jax", ("ai-edge-quantizer",)),
        Probe(
            OPTIMUM,
            optimum_int8,
            "torch",
            ("optimum", "optimum-onnx", "onnxruntime", "transformers"),
            ("optimum-onnx[onnxruntime]", "torch==2.13.0"),
            huggingface=True,
        ),
        Probe(
            LITERT,
            litert_torch_int8,
            "torch",
            ("litert-torch", "ai-edge-litert", "transformers"),
            ("litert-torch", "torch==2.13.0"),
            huggingface=True,
        ),
    )
}


if __name__ == "__main__":
    _, chosen, place = sys.argv
    answer = PROBES[chosen].run(Path(place))
    answer["with"] = {package: metadata.version(package) for package in PROBES[chosen].packages}
    Path(place, f"{chosen}.partial").write_text(json.dumps(answer))
