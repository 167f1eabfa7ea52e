"""How a model makes one vector of a text: the modules of a sentence-transformers folder."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kzoo.arguments import check_choice
from kzoo.json_file import read_json, read_json_object, write_json
from kzoo.weights import read_tensors, write_tensors

MODULES, SETTINGS = "modules.json", "sentence_bert_config.json"
PROMPTS = "config_sentence_transformers.json"
POOLINGS = ("mean", "cls", "max")
# sentence-transformers' activations of a dense layer, by the last part of their names.
_ACTIVATIONS = {"Tanh": "tanh", "Identity": "linear", "ReLU": "relu", "GELU": "gelu"}
_PACKAGE = "sentence_transformers.models"


@dataclasses.dataclass(frozen=True)
class SentenceDense:
    """A dense layer on the pooled vector.

    Attributes:
        kernel: float32 (D, E).
        bias: float32 (E,), or `None`.
        activation: As `keras.layers.Dense` calls it.
    """

    kernel: np.ndarray
    bias: np.ndarray | None
    activation: str

    def __post_init__(self) -> None:
        check_choice(_ACTIVATIONS.values(), activation=self.activation)


@dataclasses.dataclass(frozen=True)
class SentenceSettings:
    """From hidden states to the vector of a text.

    Attributes:
        pooling: `"mean"` over real positions, `"cls"`, the first position, or `"max"`.
        normalize: Whether the vector is scaled to length 1.
        max_length: Most tokens of a text, or `None` for the model's own limit.
        dense: The dense layer after the pooling, or `None`.
        has_dense: Whether there is one, also where its weights are not at hand.
        refusal: Why the folder's own settings cannot be used, or `None`. The rest is then without
            meaning.
    """

    pooling: str = "mean"
    normalize: bool = True
    max_length: int | None = None
    dense: SentenceDense | None = None
    has_dense: bool = False
    refusal: str | None = None

    def __post_init__(self) -> None:
        check_choice(POOLINGS, pooling=self.pooling)
        object.__setattr__(self, "has_dense", self.has_dense or self.dense is not None)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON-able values, without the weights of the dense layer.

        Returns:
            Value by name.
        """
        fields = (field.name for field in dataclasses.fields(self) if field.name != "dense")
        return {name: getattr(self, name) for name in fields}


def read_sentence_settings(folder: pathlib.Path) -> SentenceSettings | None:
    """Read the modules of a sentence-transformers folder.

    Args:
        folder: A folder.

    Returns:
        The settings, or `None` where the folder has no `modules.json`. Where a module or a setting
        is not implemented, or a file is damaged, settings with the reason: the transformer alone
        can be used.
    """
    if not (folder / MODULES).is_file():
        return None
    try:
        return _read_settings(folder)
    except ValueError as error:
        return SentenceSettings(refusal=str(error))


def _read_settings(folder: pathlib.Path) -> SentenceSettings:
    """Read the settings, or raise the reason why they cannot be used."""
    path = folder / MODULES
    modules = _read_modules(path)
    found: dict[str, Any] = {"normalize": False, "max_length": _max_length(folder)}
    kinds = [module["type"].rpartition(".")[2] for module in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or len(set(kinds)) != len(kinds):
        _refuse(path, "be a Transformer, a Pooling and at most one Dense and Normalize", kinds)
    for index, (kind, module) in enumerate(zip(kinds, modules, strict=True)):
        if kind not in _READERS or (kind == "Normalize" and index != len(kinds) - 1):
            _refuse(path, f"have modules of {', '.join(_READERS)}, Normalize last", kinds)
        found |= _READERS[kind](folder / module["path"])
    _check_prompts(folder / PROMPTS)
    return SentenceSettings(**found)


def transformer_folder(folder: pathlib.Path) -> pathlib.Path:
    """Find the transformer inside a folder.

    Args:
        folder: A folder, of a model or of sentence-transformers.

    Returns:
        Where `config.json` is: the folder itself or, as older ones have it, one inside it.
    """
    if (folder / "config.json").is_file() or not (folder / MODULES).is_file():
        return folder
    return folder / _read_modules(folder / MODULES)[0]["path"]


def write_sentence_settings(settings: SentenceSettings, width: int, folder: pathlib.Path) -> None:
    """Write what `read_sentence_settings` reads.

    Args:
        settings: The settings.
        width: Width of the hidden states, D.
        folder: The folder of the transformer.
    """
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    modes = {"mean": "mean_tokens", "cls": "cls_token", "max": "max_tokens"}
    pooling = {f"pooling_mode_{mode}": name == settings.pooling for name, mode in modes.items()}
    _write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": width, **pooling})
    dense = settings.dense
    if dense is not None:
        modules.append(("2_Dense", "Dense"))
        names = {ours: theirs for theirs, ours in _ACTIVATIONS.items()}
        config = {
            "in_features": dense.kernel.shape[0],
            "out_features": dense.kernel.shape[1],
            "bias": dense.bias is not None,
            "activation_function": f"torch.nn.modules.activation.{names[dense.activation]}",
        }
        _write(folder / "2_Dense" / "config.json", config)
        tensors = {"linear.weight": dense.kernel.T}
        if dense.bias is not None:
            tensors["linear.bias"] = dense.bias
        write_tensors(tensors, folder / "2_Dense")
    if settings.normalize:
        modules.append((f"{len(modules)}_Normalize", "Normalize"))
    _write(
        folder / MODULES,
        [
            {"idx": index, "name": str(index), "path": path, "type": f"{_PACKAGE}.{kind}"}
            for index, (path, kind) in enumerate(modules)
        ],
    )
    _write(folder / SETTINGS, {"max_seq_length": settings.max_length, "do_lower_case": False})


def _read_modules(path: pathlib.Path) -> list[dict[str, str]]:
    """Read the list of modules, each with a type and a folder inside this one."""
    modules = read_json(path)
    if not isinstance(modules, list) or not modules or not all(map(_is_module, modules)):
        _refuse(path, "list modules with a type and a path inside the folder", modules)
    found: list[dict[str, str]] = modules
    return found


def _is_module(module: Any) -> bool:
    """Tell a module from anything else; its folder may not lead out of the one that it is in."""
    if not isinstance(module, dict):
        return False
    kind, path = module.get("type"), module.get("path")
    if not isinstance(kind, str) or not isinstance(path, str):
        return False
    inner = pathlib.PurePosixPath(path)
    return not inner.is_absolute() and ".." not in inner.parts


def _read_pooling(folder: pathlib.Path) -> dict[str, Any]:
    """Read the mode of a pooling, as any version of sentence-transformers writes it."""
    path = folder / "config.json"
    config = read_json_object(path)
    modes = {"cls_token": "cls", "mean_tokens": "mean", "max_tokens": "max"}
    prefix = "pooling_mode_"
    flags = [k.removeprefix(prefix) for k, on in config.items() if k.startswith(prefix) and on]
    mode = config.get("pooling_mode") or (modes.get(flags[0]) if len(flags) == 1 else None)
    if mode not in POOLINGS:
        _refuse(path, f"have one pooling mode of {', '.join(POOLINGS)}", mode or flags)
    return {"pooling": mode}


def _read_dense(folder: pathlib.Path) -> dict[str, Any]:
    """Read a dense layer and its weights."""
    path = folder / "config.json"
    config = read_json_object(path)
    name = str(config.get("activation_function", "Tanh")).rpartition(".")[2]
    if name not in _ACTIVATIONS:
        _refuse(path, f"have an activation of {', '.join(_ACTIVATIONS)}", name)
    tensors = read_tensors(folder)
    if set(tensors) != {"linear.weight", *(["linear.bias"] if config.get("bias", True) else [])}:
        _refuse(path, "describe the weights beside it", sorted(tensors))
    bias = tensors.get("linear.bias")
    kernel = tensors["linear.weight"].T.astype("float32")
    bias = None if bias is None else bias.astype("float32")
    return {"dense": SentenceDense(kernel, bias, _ACTIVATIONS[name])}


_READERS: dict[str, Callable[[pathlib.Path], dict[str, Any]]] = {
    "Transformer": lambda folder: {},
    "Pooling": _read_pooling,
    "Dense": _read_dense,
    "Normalize": lambda folder: {"normalize": True},
}


def _max_length(folder: pathlib.Path) -> int | None:
    """Read the most tokens of a text."""
    path = transformer_folder(folder) / SETTINGS
    config: Mapping[str, Any] = read_json_object(path) if path.is_file() else {}
    if config.get("do_lower_case"):
        _refuse(path, "leave the case of texts to the tokenizer: `do_lower_case` false", True)
    length: int | None = config.get("max_seq_length")
    return length


def _check_prompts(path: pathlib.Path) -> None:
    """Refuse a text that sentence-transformers would put before every other one."""
    name = read_json_object(path).get("default_prompt_name") if path.is_file() else None
    if name is not None:
        _refuse(path, "have no prompt by default: put it before your texts", name)


def _refuse(path: pathlib.Path, must: str, received: Any) -> None:
    raise ValueError(f"The file must {must}. Received: {received!r} in {path}")


def _write(path: pathlib.Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    write_json(path, content)
