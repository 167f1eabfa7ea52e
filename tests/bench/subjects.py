"""What is benchmarked, as data: the files, the pairs that are compared, and the targets."""

from dataclasses import dataclass

# Names of the three inputs in each maker's files, keyed by kzoo's names.
KERAS_INPUTS = {
    "token_ids": "token_ids",
    "segment_ids": "segment_ids",
    "padding_mask": "padding_mask",
}
HUGGINGFACE_INPUTS = {
    "token_ids": "input_ids",
    "segment_ids": "token_type_ids",
    "padding_mask": "attention_mask",
}


@dataclass(frozen=True)
class Subject:
    """One file to time.

    Attributes:
        name: Key of the subject.
        file: File name inside the build folder.
        maker: Who made the file.
        recipe: The quantization, in the maker's own words for it.
        inputs: Map from kzoo's input names to the file's.
        dtype: Type of the inputs.
        hidden: Name of the output with the last hidden state.
        floor: Lowest mean cosine of the sentence embedding to the float reference at which the file
            counts as intact. Generous: the floor tells a broken file, not a good one.
    """

    name: str
    file: str
    maker: str
    recipe: str
    inputs: dict[str, str]
    dtype: str
    hidden: str
    floor: float

    @property
    def format(self) -> str:
        """`tflite` or `onnx`."""
        return self.file.rpartition(".")[2]


@dataclass(frozen=True)
class Pair:
    """A subject of ours, the one it is measured against, and the largest latency ratio aimed at."""

    ours: str
    theirs: str
    target: float


KZOO = (
    Subject(
        "tflite-float32",
        "kzoo_float32.tflite",
        "kzoo",
        "float32",
        KERAS_INPUTS,
        "int32",
        "hidden",
        0.9999,
    ),
    Subject(
        "tflite-int8",
        "kzoo_int8.tflite",
        "kzoo",
        "dynamic_int8",
        KERAS_INPUTS,
        "int32",
        "hidden",
        0.99,
    ),
    Subject(
        "onnx-float32",
        "kzoo_float32.onnx",
        "kzoo",
        "float32",
        KERAS_INPUTS,
        "int32",
        "hidden",
        0.9999,
    ),
    Subject(
        "onnx-int8", "kzoo_int8.onnx", "kzoo", "dynamic_int8", KERAS_INPUTS, "int32", "hidden", 0.99
    ),
)

# KerasHub computes BERT with the tanh approximation of GELU, which costs a little cosine.
KERASHUB = (
    Subject(
        "kerashub-float32",
        "kerashub_float32.tflite",
        "KerasHub export(litert)",
        "float32",
        KERAS_INPUTS,
        "int32",
        "sequence_output",
        0.999,
    ),
    Subject(
        "kerashub-int8",
        "kerashub_int8.tflite",
        "KerasHub + tf.lite",
        "dynamic range",
        KERAS_INPUTS,
        "int32",
        "sequence_output",
        0.98,
    ),
)

HUGGINGFACE = (
    Subject(
        "huggingface-float32",
        "huggingface_float32.onnx",
        "Hugging Face + ORT optimizer",
        "float32",
        HUGGINGFACE_INPUTS,
        "int64",
        "last_hidden_state",
        0.9999,
    ),
    Subject(
        "huggingface-int8",
        "huggingface_int8.onnx",
        "Hugging Face + ORT optimizer",
        "quantize_dynamic",
        HUGGINGFACE_INPUTS,
        "int64",
        "last_hidden_state",
        0.98,
    ),
)

SUBJECTS = {subject.name: subject for subject in (*KZOO, *KERASHUB, *HUGGINGFACE)}

PAIRS = (
    Pair("tflite-float32", "kerashub-float32", 0.85),
    Pair("tflite-int8", "kerashub-int8", 0.80),
    Pair("onnx-float32", "huggingface-float32", 1.05),
    Pair("onnx-int8", "huggingface-int8", 0.90),
)
