"""BERT's pretraining: hidden tokens, and whether two texts follow each other."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import keras

from kzoo.arguments import check_choice
from kzoo.models.backbone import OnBackbone
from kzoo.models.encoder import hidden_at
from kzoo.models.heads import converter_of, masked_lm_logits, next_sentence_logits
from kzoo.models.loading import load, load_heads
from kzoo.tasks.losses import TokenCrossentropy

PAIRS = ("next_sentence", None)


@keras.saving.register_keras_serializable("kzoo")
class Pretraining(OnBackbone, keras.Model):
    """A backbone that learns to guess hidden tokens and, of pairs of texts, whether they belong.

    Its inputs are the backbone's and `mask_positions` (B, P); the outputs are the logits `masked`
    (B, P, V), from a head that is tied to the token table, and of pairs `pair` (B, 2): class 0 is a
    second text that follows the first, 1 a random one. `pretraining_dataset` makes what `fit`
    takes. Shares the layers of the backbone: training trains it.

    Args:
        backbone: A backbone of a family that Hugging Face has too.
        pair: `"next_sentence"`, for a backbone with the output `pooled`, or None for single texts.
        name: Name of the model.

    Raises:
        ValueError: If the backbone is of another kind, or has no output `pooled` for pairs.

    Example:
        >>> import kzoo
        >>> task = kzoo.tasks.Pretraining(kzoo.load("bert_tiny", weights="random"))
        >>> task.compile("adamw")
        >>> sorted(task.output)
        ['masked', 'pair']

    References:
        Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers for Language
        Understanding, 2018, section 3.1. https://arxiv.org/abs/1810.04805
    """

    def __init__(
        self, backbone: Any, pair: str | None = "next_sentence", name: str | None = None
    ) -> None:
        check_choice(PAIRS, pair=pair)
        settings = converter_of(backbone).head_settings.get("masked_lm", {})
        positions = keras.Input((None,), dtype="int32", name="mask_positions")
        if pair is None:
            hidden = hidden_at(backbone, positions)
            outputs = {"masked": masked_lm_logits(backbone, settings, hidden)}
        else:
            # The first token too, which the pooler reads.
            first = keras.ops.zeros_like(positions[:, :1])
            hidden = hidden_at(backbone, keras.ops.concatenate([first, positions], axis=1))
            outputs = {
                "masked": masked_lm_logits(backbone, settings, hidden[:, 1:]),
                "pair": next_sentence_logits(backbone, hidden[:, :1]),
            }
        inputs = {**backbone.input, "mask_positions": positions}
        super().__init__(inputs=inputs, outputs=outputs, name=name)
        config = backbone.config
        self.adopt(backbone, config if pair else dataclasses.replace(config, pooler=False))
        self.pair = pair

    @classmethod
    def from_pretrained(
        cls, source: str | os.PathLike[str], pair: str | None = "next_sentence"
    ) -> "Pretraining":
        """Load a model to train it on: its backbone, and those of the heads that it has.

        Args:
            source: What `kzoo.load` takes; a `.keras` file of a backbone or of this task.
            pair: `"next_sentence"`, or None for single texts.

        Returns:
            The task. Heads that the source does not have are new.

        Raises:
            ValueError: If the source is no such model, or a task with other outputs.
        """
        model = load(source)
        if isinstance(model, cls):
            if model.pair != pair:
                raise ValueError(
                    f"`pair` must be {model.pair!r}, as of the task in the file. "
                    f"Received: pair={pair!r}, source={str(source)!r}"
                )
            return model
        task = cls(model, pair)
        if not Path(source).is_file():
            load_heads(task, source)
        return task

    @property
    def head(self) -> str:
        """The name of its heads together, as `kzoo.save_huggingface` writes them."""
        return "masked_lm" if self.pair is None else "pretraining"

    def compile(
        self,
        optimizer: Any = "adamw",
        loss: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """Configure training, by default with BERT's two losses and an accuracy for each.

        The loss is the sum of both: each the mean cross-entropy over what has a weight, so that
        what fills up `masked` counts for nothing. They are logged as `masked_loss`, `pair_loss`,
        `masked_accuracy` and `pair_accuracy`.

        Args:
            optimizer: As for any Keras model.
            loss: As for any Keras model; None for BERT's.
            weighted_metrics: As for any Keras model; None for the accuracies.
            **kwargs: As for any Keras model.
        """
        if loss is None:
            loss = {name: TokenCrossentropy() for name in self.output}
        if weighted_metrics is None:
            weighted_metrics = {
                name: [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
                for name in self.output
            }
        super().compile(optimizer, loss=loss, weighted_metrics=weighted_metrics, **kwargs)
        # Now, so that a file of a model that was not trained yet is read without a warning.
        self.optimizer.build(self.trainable_variables)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Configure training as a file says, optimizer state included.

        Args:
            config: What `get_compile_config` returned.
        """
        self.compile(**keras.saving.deserialize_keras_object(config))

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs.

        Returns:
            The serialized backbone, as Keras writes any object, and the arguments.
        """
        return {"backbone": self.serialize_backbone(), "pair": self.pair, "name": self.name}
