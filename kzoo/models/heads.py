"""A backbone with one of the heads that Hugging Face has too."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from kzoo import layers
from kzoo.arguments import check_choice, check_positive_integers, check_rates
from kzoo.models.backbone import OnBackbone
from kzoo.models.families import converters
from kzoo.problems import PROBLEMS

Outputs = Mapping[str, Any]


@keras.saving.register_keras_serializable("kzoo")
class BackboneWithHead(OnBackbone, keras.Model):
    """A backbone and a head: the inputs of the backbone, and the output `logits`.

    `kzoo.load(folder, head=...)` makes it with the weights of a checkpoint, `kzoo.save_huggingface`
    writes it as one. Shares the layers of the backbone that the head uses.

    Args:
        backbone: A backbone of a family that Hugging Face has.
        head: `"masked_lm"` with logits (B, T, V), tied to the token table; `"next_sentence"`
            (B, 2); `"classifier"` (B, C); `"token_classifier"` (B, T, C); or `"span"` (B, T, 2),
            -100 at padding.
        labels: The names of the classes of a classifier, C of them, or their number.
        dropout: Dropout rate before the logits of a classifier or span head. By default that of the
            backbone.
        name: Name of the model.
        problem: What the logits of a classifier tell: `"single_label"`, `"multi_label"` or
            `"regression"`, a number. By default the first or, of a single label, the last.

    Raises:
        ValueError: If the family has no such head, or the head needs the output `pooled` and the
            backbone has none.

    Example:
        >>> import kzoo
        >>> backbone = kzoo.load("bert_tiny", weights="random")
        >>> model = kzoo.models.BackboneWithHead(backbone, "classifier", ["good", "bad"])
        >>> model.output["logits"].shape
        (None, 2)

    References:
        Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers for Language
        Understanding, https://arxiv.org/abs/1810.04805, sections 3.1 and 4.
    """

    def __init__(
        self,
        backbone: Any,
        head: str,
        labels: Sequence[str] | int = 2,
        dropout: float | None = None,
        name: str | None = None,
        problem: str | None = None,
    ) -> None:
        converter = converter_of(backbone)
        check_choice([part for part in HEADS if part in converter.architectures], head=head)
        names = _labels(labels)
        if head != "classifier" and problem is not None:
            raise ValueError(
                f"`problem` is for the head 'classifier'. Received: problem={problem!r}, "
                f"head={head!r}"
            )
        if head == "classifier":
            problem = problem or ("single_label" if len(names) > 1 else "regression")
            check_choice(PROBLEMS, problem=problem)
        rate = backbone.config.dropout if dropout is None else dropout
        check_rates(dropout=rate)
        settings = converter.head_settings.get(head, {})
        graph = HEADS[head](backbone, settings, len(names), rate)
        super().__init__(inputs=backbone.input, outputs={"logits": graph}, name=name)

        pooled = "pooled" in backbone.output and any(each.name == "pooler" for each in self.layers)
        self.adopt(backbone, dataclasses.replace(backbone.config, pooler=pooled))
        self.head = head
        self.labels = names
        self.dropout = rate
        self.problem = problem

    @property
    def output_kinds(self) -> dict[str, str]:
        """What the logits are where the head does not tell, for the exporter."""
        return {"logits": PROBLEMS[self.problem].output_kind} if self.problem else {}

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs.

        Returns:
            The serialized backbone, as Keras writes any object, and the arguments.
        """
        return {
            "backbone": self.serialize_backbone(),
            "head": self.head,
            "labels": list(self.labels),
            "dropout": self.dropout,
            "name": self.name,
            "problem": self.problem,
        }


def converter_of(backbone: Any) -> Any:
    """Return the converter of a backbone's family.

    Args:
        backbone: The backbone.

    Returns:
        Its `Converter`.

    Raises:
        ValueError: If it is no backbone of a family that Hugging Face has.
    """
    converter = converters().get(getattr(getattr(backbone, "config", None), "family", ""))
    if converter is None or not hasattr(backbone, "tokenizer"):
        raise ValueError(
            "`backbone` must be a backbone of a family that Hugging Face has too. "
            f"Received: backbone of type {type(backbone).__name__}"
        )
    return converter


def _labels(labels: Sequence[str] | int) -> tuple[str, ...]:
    """Return the names of the classes, those of Hugging Face where there is only a number."""
    if isinstance(labels, int):
        check_positive_integers(labels=labels)
        return tuple(f"LABEL_{index}" for index in range(labels))
    named = tuple(labels) if not isinstance(labels, str) else ()
    if not named or not all(isinstance(label, str) for label in named):
        raise ValueError(
            f"`labels` must be a list of names or a positive integer. Received: labels={labels!r}"
        )
    return named


def masked_lm_logits(backbone: Any, settings: Mapping[str, str], hidden: Any = None) -> Any:
    """Connect a masked-LM head to a backbone, tied to its token table.

    Args:
        backbone: The backbone.
        settings: What its family's head has otherwise than the backbone.
        hidden: The hidden states of the positions to predict, (B, P, D). None predicts all.

    Returns:
        Logits (B, P, V), or (B, T, V).
    """
    config = backbone.config
    head = layers.MaskedLMHead(
        config.vocab_size,
        activation=settings.get("activation", config.activation),
        norm_epsilon=config.norm_epsilon,
        init_std=config.init_std,
        dtype=backbone.dtype_policy,
        name="masked_lm",
    )
    table = backbone.get_layer("embedding").token_table
    return head(backbone.output["hidden"] if hidden is None else hidden, None, table)


def next_sentence_logits(backbone: Any, hidden: Any = None) -> Any:
    """Connect a next-sentence head to the pooler of a backbone.

    Args:
        backbone: The backbone.
        hidden: Hidden states (B, any, D), of which the first is that of the first token. None takes
            those of the backbone.

    Returns:
        Logits (B, 2).

    Raises:
        ValueError: If the backbone has no output `pooled`.
    """
    std = backbone.config.init_std
    head = layers.NextSentenceHead(std, dtype=backbone.dtype_policy, name="next_sentence")
    pooled = _pooled(backbone)
    return head(pooled if hidden is None else backbone.get_layer("pooler")(hidden))


def _classifier(backbone: Any, settings: Mapping[str, str], num_classes: int, rate: float) -> Any:
    std, policy = backbone.config.init_std, backbone.dtype_policy
    head = layers.SequenceClassificationHead(
        num_classes, rate, std, dtype=policy, name="classifier"
    )
    if "pooler" not in settings:
        return head(_pooled(backbone))
    pooler = layers.Pooler(
        activation=settings["pooler"], init_std=std, dtype=policy, name="classifier_pooler"
    )
    return head(pooler(backbone.output["hidden"]))


def _token_classifier(
    backbone: Any, settings: Mapping[str, str], num_classes: int, rate: float
) -> Any:
    std, policy = backbone.config.init_std, backbone.dtype_policy
    head = layers.TokenClassificationHead(
        num_classes, rate, std, dtype=policy, name="token_classifier"
    )
    return head(backbone.output["hidden"])


def _span(backbone: Any, settings: Mapping[str, str], num_classes: int, rate: float) -> Any:
    head = layers.SpanHead(rate, backbone.config.init_std, dtype=backbone.dtype_policy, name="span")
    return head(backbone.output["hidden"], backbone.input["padding_mask"])


HEADS: dict[str, Callable[[Any, Mapping[str, str], int, float], Any]] = {
    "masked_lm": lambda backbone, settings, *_: masked_lm_logits(backbone, settings),
    "next_sentence": lambda backbone, *_: next_sentence_logits(backbone),
    "classifier": _classifier,
    "token_classifier": _token_classifier,
    "span": _span,
}
CLASSIFIERS = ("classifier", "token_classifier")


def _pooled(backbone: Any) -> Any:
    if "pooled" not in backbone.output:
        raise ValueError(
            "`backbone` must have the output `pooled` for this head: a config with `pooler=True`. "
            f"Received: backbone {backbone.name!r} with {', '.join(backbone.output)}"
        )
    return backbone.output["pooled"]
