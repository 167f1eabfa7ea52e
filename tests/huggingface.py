"""Reference results of Hugging Face transformers.

transformers needs PyTorch, which must not share a process with TensorFlow: a child process computes
the results, and keeps them in a temporary folder for the runs of the other backends.
"""

import hashlib
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.cache import cache_folder

ROOT = pathlib.Path(__file__).parent.parent
# A BERT that trains in a second.
SIZES = {
    "vocab_size": 90,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 32,
}


def reference(job: str, **arguments: Any) -> pathlib.Path:
    """Return the folder with the results of a job, computed at most once on this machine.

    `arguments` are JSON-able, and folders among them never change their content.
    """
    versions = [
        importlib.metadata.version(name) for name in ("transformers", "torch", "tokenizers")
    ]
    request = json.dumps([job, arguments, versions], sort_keys=True)
    files = sorted(pathlib.Path(__file__).parent.glob("huggingface*.py"))
    source = "".join(path.read_text(encoding="utf-8") for path in files)
    key = hashlib.sha256((request + source).encode()).hexdigest()[:24]
    cache = cache_folder()
    if not (cache / key).is_dir():
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            folder = pathlib.Path(temporary, "result")
            run(job, folder, **arguments)
            if not (cache / key).is_dir():
                folder.rename(cache / key)
    return cache / key


def run(job: str, folder: pathlib.Path, **arguments: Any) -> None:
    """Run a job in a child process; its results go into a new folder."""
    folder.mkdir()
    (folder / "arguments.json").write_text(json.dumps(arguments), encoding="utf-8")
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "tests.huggingface", job, str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _tokenize_all(
    folder: pathlib.Path, models: dict[str, str], cases: list[dict[str, Any]]
) -> None:
    """Do `_tokenize` for several models, each into a folder of its name."""
    for name, model in models.items():
        (folder / name).mkdir()
        _tokenize(folder / name, model, cases)


def _tokenize(folder: pathlib.Path, model: str, cases: list[dict[str, Any]]) -> None:
    """Write `ids_I` and `segments_I` of each case, all padded to its length."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    results = {}
    for index, case in enumerate(cases):
        batch = tokenizer(
            case["texts"],
            case.get("pairs"),
            max_length=case["length"],
            padding="max_length",
            truncation="longest_first",
            return_token_type_ids=True,
            return_tensors="np",
        )
        results[f"token_ids_{index}"] = batch["input_ids"]
        results[f"segment_ids_{index}"] = batch["token_type_ids"]
        results[f"padding_mask_{index}"] = batch["attention_mask"]
    np.savez(folder / "batches.npz", **results)


def _encode(folder: pathlib.Path, model: str, texts: list[str]) -> None:
    """Write the batch of the texts, `hidden` and `pooled`."""
    import torch
    from transformers import AutoTokenizer, BertModel

    batch = AutoTokenizer.from_pretrained(model)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        outputs = BertModel.from_pretrained(model).eval()(**batch)
    np.savez(
        folder / "outputs.npz",
        token_ids=batch["input_ids"],
        segment_ids=batch["token_type_ids"],
        padding_mask=batch["attention_mask"],
        hidden=outputs.last_hidden_state,
        pooled=outputs.pooler_output,
    )


def _random(folder: pathlib.Path, models: dict[str, dict[str, Any]], lengths: list[int]) -> None:
    """Write random models, each with `inputs_T.npz` and `outputs_T.npz` for every length T.

    The `config` of a model is the content of a `config.json`.
    """
    import torch
    import transformers

    for name, settings in models.items():
        torch.manual_seed(0)
        random = np.random.default_rng(0)
        config = transformers.AutoConfig.for_model(**settings["config"])
        model = getattr(transformers, settings["class"])(config, **settings.get("options", {}))
        with torch.no_grad():
            # New models have zero biases and unit scales, which would hide a mistake.
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        model.eval().save_pretrained(folder / name)
        for length in lengths:
            inputs = _inputs(random, config, length)
            arrays = {NAMES[key]: torch.from_numpy(value) for key, value in inputs.items()}
            with torch.no_grad():
                outputs = model.base_model(**arrays)
                results = {"hidden": outputs.last_hidden_state}
                if getattr(outputs, "pooler_output", None) is not None:
                    results["pooled"] = outputs.pooler_output
                if model is not model.base_model:
                    results |= _logits(model(**arrays))
            np.savez(folder / name / f"inputs_{length}.npz", **inputs)
            np.savez(folder / name / f"outputs_{length}.npz", **results)


def _recompute(folder: pathlib.Path, models: dict[str, list[str]]) -> None:
    """Write the outputs of saved models, as `_random` does, on the inputs beside the originals.

    `models` has, by name, the saved folder, the folder with `inputs_T.npz`, and the class.
    """
    import torch
    import transformers

    for name, (saved, original, kind) in models.items():
        (folder / name).mkdir()
        model = getattr(transformers, kind).from_pretrained(saved).eval()
        for path in sorted(pathlib.Path(original).glob("inputs_*.npz")):
            with np.load(path) as inputs, torch.no_grad():
                arrays = {NAMES[key]: torch.from_numpy(inputs[key]) for key in inputs}
                outputs = model.base_model(**arrays)
            target = folder / name / path.name.replace("inputs", "outputs")
            np.savez(target, hidden=outputs.last_hidden_state)


def _logits(outputs: Any) -> dict[str, Any]:
    """Give the scores of a head: one array of the start and the end for a span head."""
    import torch

    if "logits" in outputs:
        return {"logits": outputs.logits}
    if "start_logits" in outputs:
        return {"logits": torch.stack([outputs.start_logits, outputs.end_logits], dim=-1)}
    return {}


NAMES = {
    "token_ids": "input_ids",
    "segment_ids": "token_type_ids",
    "padding_mask": "attention_mask",
}


def _inputs(random: np.random.Generator, config: Any, length: int) -> dict[str, Any]:
    """Five rows: the lowest and the highest id, every segment, the shortest and the longest.

    Padding has the id that the configuration says, which RoBERTa takes for padding anywhere.
    """
    shape = (5, length)
    token_ids = random.integers(0, config.vocab_size, shape)
    token_ids[0], token_ids[1] = 0, config.vocab_size - 1
    real = np.arange(length) < np.array([length, length, 1, (length + 1) // 2, length])[:, None]
    padding = config.pad_token_id
    token_ids[real & (token_ids == padding)] = padding + 1
    token_ids[~real] = padding
    inputs = {"token_ids": token_ids, "padding_mask": real.astype("int64")}
    if getattr(config, "type_vocab_size", 0) > 1:
        inputs["segment_ids"] = random.integers(0, config.type_vocab_size, shape)
    return inputs


def _load_strictly(folder: pathlib.Path, model: str, texts: list[str]) -> None:
    """Write what transformers says of a folder, and its outputs for the texts."""
    from transformers import BertModel

    _, info = BertModel.from_pretrained(model, output_loading_info=True)
    write_info(folder, info)
    _encode(folder, model, texts)


def random_model(kind: str, **config: Any) -> Any:
    """Make a BERT of a class, without dropout, whose biases and scales are random too."""
    import torch
    import transformers

    torch.manual_seed(0)
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = getattr(transformers, kind)(transformers.BertConfig(**config, **none))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def adamw(model: Any, **optimizer: Any) -> Any:
    """Make PyTorch's AdamW, which does not let biases and normalizations decay."""
    import torch

    groups: list[dict[str, Any]] = [{"params": []}, {"params": [], "weight_decay": 0.0}]
    for name, parameter in model.named_parameters():
        groups[name.endswith("bias") or "LayerNorm" in name]["params"].append(parameter)
    return torch.optim.AdamW(groups, **optimizer)


def write_info(folder: pathlib.Path, info: dict[str, Any]) -> None:
    report = {key: sorted(map(str, value)) for key, value in info.items()}
    (folder / "info.json").write_text(json.dumps(report), encoding="utf-8")


JOBS: dict[str, Callable[..., None]] = {
    "encode": _encode,
    "load_strictly": _load_strictly,
    "random": _random,
    "recompute": _recompute,
    "tokenize": _tokenize,
    "tokenize_all": _tokenize_all,
}

if __name__ == "__main__":
    from tests import huggingface_classification, huggingface_pretraining

    target = pathlib.Path(sys.argv[2])
    job = {**JOBS, **huggingface_pretraining.JOBS, **huggingface_classification.JOBS}[sys.argv[1]]
    job(target, **json.loads((target / "arguments.json").read_text("utf-8")))
