"""MiniLM by other tools: float files that kzoo quantizes, and what these tools quantize themselves.

`python -m tests.proofs.others NAME FOLDER` makes one of `MAKERS`, in a process of its own.
"""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kzoo_export.tflite.calibrate import KEEPS_ALL
from tests.bench.subjects import HUGGINGFACE_INPUTS, KERAS_INPUTS
from tests.proofs.probes import LENGTH, PRESET, PROBES, litert_torch_int8

# The samples that calibrate, as the files call them, saved for the makers.
CALIBRATION = "calibration.npz"


class Origin(NamedTuple):
    """Who wrote a float file: in which formats, and what it calls inputs and hidden states."""

    formats: tuple[str, ...]
    hidden: str
    inputs: dict[str, str] = KERAS_INPUTS
    dtype: str = "int32"


ORIGINS = {
    "kzoo": Origin(("tflite", "onnx"), "hidden"),
    "KerasHub": Origin(("tflite",), "sequence_output"),
    "litert-torch": Origin(("tflite",), "output_0", HUGGINGFACE_INPUTS),
    "Hugging Face": Origin(("onnx",), "last_hidden_state", HUGGINGFACE_INPUTS, "int64"),
}


def float_file(folder: Path, origin: str, format: str) -> Path:
    """Make a float file once.

    Args:
        folder: Where it goes.
        origin: A key of `ORIGINS`.
        format: `tflite` or `onnx`.

    Returns:
        The file.
    """
    path = folder / f"{origin.replace(' ', '_')}_float.{format}"
    if not path.is_file():
        partial = folder / f"partial.{format}"
        _FLOAT[origin](folder, partial)
        partial.rename(path)
    return path


def feeds(origin: str, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Call the inputs as a file does.

    Args:
        origin: Who wrote the file.
        batch: Arrays by kzoo's names.

    Returns:
        The same by the names of the file.
    """
    names, dtype = ORIGINS[origin].inputs, ORIGINS[origin].dtype
    return {names[name]: array.astype(dtype) for name, array in batch.items()}


def _kzoo(folder: Path, path: Path) -> None:
    import kzoo
    from kzoo_export import export

    export(kzoo.load(PRESET), path, length=LENGTH)


def _litert_torch(folder: Path, path: Path) -> None:
    """Take the float file that the probe of int8 makes on its way."""
    from tests.bench.competitors import weights_folder
    from tests.proofs.peers import environment

    probe = PROBES[litert_torch_int8.__name__]
    python = environment(folder / "litert_torch_environment", probe.installs)
    root = str(Path(__file__).parents[2])
    given = {"KERAS_BACKEND": "torch", "PYTHONPATH": root, "WEIGHTS": str(weights_folder())}
    command = [python, "-m", "tests.proofs.probes", litert_torch_int8.__name__, str(folder)]
    subprocess.run(command, env={**os.environ, **given}, check=True)
    (folder / "litert_float32.tflite").rename(path)


def _huggingface(folder: Path, path: Path) -> None:
    from tests.bench.competitors import ensure
    from tests.bench.subjects import HUGGINGFACE

    ensure("huggingface", folder, LENGTH)
    path.write_bytes((folder / HUGGINGFACE[0].file).read_bytes())


def _in_process(name: str) -> Callable[[Path, Path], None]:
    """Run a maker in a process of its own."""

    def call(folder: Path, path: Path) -> None:
        given = {"KERAS_BACKEND": "tensorflow", "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-m", "tests.proofs.others", name, str(folder), str(path)]
        subprocess.run(command, env={**os.environ, **given}, check=True)

    return call


def _kerashub_model() -> tuple[Any, list[Any]]:
    """Load KerasHub's MiniLM, and say which inputs its file takes."""
    import keras
    import keras_hub

    from tests.bench.competitors import weights_folder

    model = keras_hub.models.BertBackbone.from_preset(str(weights_folder()))
    inputs = {
        name: keras.InputSpec(shape=(1, LENGTH), dtype="int32", name=name) for name in KERAS_INPUTS
    }
    return model, [inputs]


def _kerashub_float(folder: Path, path: Path) -> None:
    model, inputs = _kerashub_model()
    model.export(str(path), format="litert", input_signature=inputs, verbose=False)


def _tf_lite(folder: Path, path: Path, calibrates: bool) -> None:
    """Quantize KerasHub's model by TensorFlow's converter."""
    import tensorflow as tf

    model, inputs = _kerashub_model()
    saved = str(folder / "saved_model")
    model.export(saved, format="tf_saved_model", input_signature=inputs, verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(saved)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if calibrates:
        converter.representative_dataset = lambda: rows(folder, "int32")
    path.write_bytes(converter.convert())


def rows(folder: Path, dtype: str, names: dict[str, str] = KERAS_INPUTS) -> Iterator[Any]:
    """Read the samples that calibrate, one after the other.

    Args:
        folder: Where they are saved.
        dtype: The dtype of inputs.
        names: How the file calls its inputs.

    Yields:
        Arrays of one row, by name.
    """
    with np.load(folder / CALIBRATION) as stored:
        arrays = {names[name]: stored[name].astype(dtype) for name in names}
    for row in range(len(next(iter(arrays.values())))):
        yield {name: array[row : row + 1] for name, array in arrays.items()}


def _quantizer(recipe: str) -> Callable[[Path, Path], None]:
    """Quantize kzoo's float file by a recipe of ai-edge-quantizer."""

    def make(folder: Path, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter
        from ai_edge_quantizer import quantizer
        from ai_edge_quantizer import recipe as recipes

        content = float_file(folder, "kzoo", "tflite").read_bytes()
        wanted = quantizer.Quantizer(content, getattr(recipes, recipe)())
        found = None
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=KEEPS_ALL)
            if wanted.need_calibration:
                (signature,) = Interpreter(model_content=content).get_signature_list()
                found = wanted.calibrate({signature: list(rows(folder, "int32"))})
            path.write_bytes(wanted.quantize(found).quantized_model)

    return make


def _ort_dynamic(folder: Path, path: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(float_file(folder, "Hugging Face", "onnx"), path, per_channel=True)


def _ort_static(folder: Path, path: Path) -> None:
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    class Reader(CalibrationDataReader):
        """Gives one row after the other."""

        def __init__(self) -> None:
            self.rows = rows(folder, "int64", HUGGINGFACE_INPUTS)

        def get_next(self) -> Any:
            return next(self.rows, None)

    source = float_file(folder, "Hugging Face", "onnx")
    quantize_static(source, path, Reader(), per_channel=True)


_FLOAT: dict[str, Callable[[Path, Path], None]] = {
    "kzoo": _kzoo,
    "KerasHub": _in_process("kerashub_float"),
    "litert-torch": _litert_torch,
    "Hugging Face": _huggingface,
}


class Peer(NamedTuple):
    """What another tool makes, whose float file it is compared with, and how."""

    origin: str
    format: str
    tool: str
    recipe: str
    make: Callable[[Path, Path], None]


PEERS = {
    f"{peer.tool} {peer.recipe}": peer
    for peer in (
        Peer("KerasHub", "tflite", "tf.lite", "dynamic range", _in_process("tf_lite_dynamic")),
        Peer("KerasHub", "tflite", "tf.lite", "full integer", _in_process("tf_lite_static")),
        *(
            Peer("kzoo", "tflite", "ai-edge-quantizer", recipe, _quantizer(recipe))
            for recipe in (
                "dynamic_wi8_afp32",
                "dynamic_wi4b32_afp32",
                "static_wi8_ai16",
                "static_wi8_ai8",
            )
        ),
        Peer("Hugging Face", "onnx", "ORT", "quantize_dynamic", _ort_dynamic),
        Peer("Hugging Face", "onnx", "ORT", "quantize_static", _ort_static),
    )
}
MAKERS = {
    "kerashub_float": _kerashub_float,
    "tf_lite_dynamic": lambda folder, path: _tf_lite(folder, path, calibrates=False),
    "tf_lite_static": lambda folder, path: _tf_lite(folder, path, calibrates=True),
}

if __name__ == "__main__":
    MAKERS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
