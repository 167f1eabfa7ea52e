"""Texts to labels, or to a number."""

import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kzoo.arguments import check_choice, check_positive_integers, check_positive_numbers
from kzoo.data.texts import Texts, is_text, read_texts
from kzoo.models.heads import BackboneWithHead
from kzoo.models.loading import load
from kzoo.problems import PROBLEMS
from kzoo.tasks.losses import losses_of
from kzoo.tasks.prediction import predict_rows
from kzoo.tasks.text_batches import check_count
from kzoo.tasks.text_fitting import fit_texts
from kzoo.training.optimizers import AdamW, layer_rates
from kzoo.training.schedules import WarmupLinearDecay

_CHOSEN = "chosen_by_fit"
_LEARNING_RATE, _WARMUP = 5e-5, 0.1


@keras.saving.register_keras_serializable("kzoo")
class TextClassifier(BackboneWithHead):
    """Texts, or pairs of texts, to labels, or to a number each.

    A `keras.Model` with the inputs of the backbone and the output `logits` (B, C). `fit`,
    `evaluate` and `predict` take texts, which they tokenize and sort into batches of similar
    length; whatever else they are called with goes to Keras. Shares the layers of the backbone:
    training trains it.

    Args:
        backbone: A backbone of a family that Hugging Face has.
        labels: The names of the labels, C of them; of a number, its one name.
        length: Most tokens of a text; what is longer is truncated.
        dropout: Dropout rate before the logits. By default that of the backbone.
        name: Name of the model.
        problem: `"single_label"`: each text has one label, told by the softmax of the logits;
            `"multi_label"`: any number of labels, each by its sigmoid; `"regression"`: a number,
            the logit itself.

    Raises:
        ValueError: If there are fewer than two labels to choose one from, or one twice, or `length`
            is not one of the backbone's.

    Example:
        >>> import kzoo
        >>> backbone = kzoo.load("minilm_l6_v2")
        >>> classifier = kzoo.tasks.TextClassifier(backbone, ["good", "bad"])
        >>> _ = classifier.fit(["Well done.", "Awful."] * 8, ["good", "bad"] * 8, verbose=0)
        >>> classifier.predict(["Awful."]).probabilities.shape
        (1, 2)

    References:
        Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers for Language
        Understanding, https://arxiv.org/abs/1810.04805, section 4.1.
    """

    def __init__(
        self,
        backbone: Any,
        labels: Sequence[str],
        length: int = 128,
        dropout: float | None = None,
        name: str | None = None,
        problem: str = "single_label",
    ) -> None:
        check_choice(PROBLEMS, problem=problem)
        PROBLEMS[problem].check_names(labels)
        super().__init__(backbone, "classifier", labels, dropout, name, problem)
        check_positive_integers(length=length)
        if length > self.config.max_length:
            raise ValueError(
                f"`length` must be at most {self.config.max_length}, the model's longest. "
                f"Received: length={length}"
            )
        self.length = length
        self._problem = PROBLEMS[problem]
        # A weak reference: Keras would take the optimizer itself for a part of the model.
        self._chosen: Callable[[], Any] = lambda: None

    @classmethod
    def from_huggingface(
        cls, folder: str | os.PathLike[str], length: int = 128
    ) -> "TextClassifier":
        """Load a classifier, such as `BertForSequenceClassification`.

        Args:
            folder: A folder in the Hugging Face layout, whose labels are `id2label`.
            length: Most tokens of a text.

        Returns:
            The classifier.
        """
        source: Any = load(folder, head="classifier")
        config = source.get_config()
        backbone = keras.saving.deserialize_keras_object(config["backbone"])
        classifier = cls(
            backbone, source.labels, length, dropout=source.dropout, problem=source.problem
        )
        classifier.set_weights(source.get_weights())
        classifier.tokenizer = source.tokenizer
        return classifier

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        *args: Any,
        validation: tuple[Any, Any] | None = None,
        learning_rate: float | None = None,
        layer_decay: float | None = None,
        seed: int | None = None,
        patience: int | None = None,
        class_weight: Mapping[str, float] | str | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> Any:
        """Train on texts and their labels.

        A model that you did not compile is trained by AdamW with a rate that rises for a tenth of
        the steps and falls to 0, anew with every call.

        Args:
            x: Texts or pairs of texts, N of them; whatever else is for Keras.
            y: Their labels: names, or indices of names; of several labels, a list or tuple of
                names for each text, or an array (N, C) of 0 and 1; of a regression, numbers.
            *args: For Keras, where `x` is no texts.
            validation: Other texts and their labels, measured after every epoch.
            learning_rate: The highest rate, 5e-5 by default; not for a model that you compiled.
            layer_decay: The rate of a block against that of the next one; see
                `kzoo.training.layer_rates`. By default all have the same.
            seed: Seed of the order of the texts and of dropout, 0 by default. Layers have drawn
                their own seeds when they were made.
            patience: Epochs without a lower loss of `validation` after which training stops. With
                it, the model ends with the weights of its best epoch.
            class_weight: What texts weigh by their label, 1 where nothing is said; `"balanced"`
                gives all labels the same sum.
            checkpoint: A `.safetensors` file that is written after every epoch. If it is there,
                training goes on after the epoch that it was written in, and ends as if it had not
                been interrupted.
            **options: As for any Keras model; `epochs` is 3 by default, `batch_size` 32.

        Returns:
            The `History` of Keras, also of the epochs before an interruption.

        Raises:
            ValueError: If a text or a label is not as it must be; the message names it. If the loss
                is not finite; the model has the weights of its best or last whole epoch then.
        """
        given = {
            "validation": validation,
            "learning_rate": learning_rate,
            "layer_decay": layer_decay,
            "seed": seed,
            "patience": patience,
            "checkpoint": checkpoint,
        }
        if class_weight is not None:  # Keras has it too.
            options["class_weight"] = class_weight
        if not is_text(x):
            for name, value in given.items():
                if value is not None:
                    raise ValueError(
                        f"`{name}` is for texts. Received: {name} with x of type {type(x).__name__}"
                    )
            return super().fit(x, y, *args, **options)
        if args:
            raise ValueError("`fit` of texts takes all but `x` and `y` by name.")
        given = {name: value for name, value in given.items() if value is not None}
        return fit_texts(self, super().fit, x, y, given, options)

    def get_compile_config(self) -> dict[str, Any] | None:
        """Return how training is configured, and whether `fit` did so.

        Returns:
            What `compile_from_config` needs; `None` for a model that is not compiled.
        """
        config: dict[str, Any] | None = super().get_compile_config()
        return config and {**config, _CHOSEN: self._fit_chose()}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Configure training as a file says.

        Args:
            config: What `get_compile_config` returned.
        """
        arguments = dict(config)
        chosen = arguments.pop(_CHOSEN, False)
        super().compile_from_config(arguments)
        if chosen:
            self._chosen = weakref.ref(self.optimizer)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **options: Any) -> Any:
        """Measure predictions.

        Args:
            x: Texts or pairs of texts; whatever else is for Keras.
            y: Their labels.
            *args: For Keras, where `x` is no texts.
            **options: For texts, `batch_size`, 32 by default; else for Keras.

        Returns:
            The `Scores`, `MultiLabelScores` or `RegressionScores` of texts.
        """
        if not is_text(x):
            return super().evaluate(x, y, *args, **options)
        problem = self._problem
        labels = problem.read("y", y, self.labels)
        texts = read_texts("x", x)
        check_count("x", texts, labels)
        return problem.score(self._logits(texts, *args, **options), labels, self.labels)

    def predict(self, x: Any, *args: Any, **options: Any) -> Any:
        """Tell the labels of texts.

        Args:
            x: Texts or pairs of texts; whatever else is for Keras.
            *args: For Keras, where `x` is no texts.
            **options: For texts, `batch_size`, 32 by default; else for Keras.

        Returns:
            The `Predictions` of texts, or numbers (N,).
        """
        if not is_text(x):
            return super().predict(x, *args, **options)
        logits = self._logits(read_texts("x", x), *args, **options)
        return self._problem.predict(logits, self.labels)

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs.

        Returns:
            The serialized backbone, as Keras writes any object, and the arguments.
        """
        config = {**super().get_config(), "length": self.length}
        del config["head"]
        return config

    def _fit_chose(self) -> bool:
        """Tell whether the optimizer is one that `fit` has chosen."""
        return self.compiled and self._chosen() is self.optimizer

    def tokenize(self, texts: Texts) -> dict[str, np.ndarray]:
        """Turn texts into inputs.

        Args:
            texts: N texts or pairs.

        Returns:
            Arrays by name, each (N, length).

        Raises:
            ValueError: If the model has no tokenizer.
        """
        if self.tokenizer is None:
            raise ValueError("Texts need a tokenizer: set `classifier.tokenizer`.")
        return texts.tokenize(self.tokenizer, self.length)

    def choose_optimizer(
        self, learning_rate: float | None, steps: int, layer_decay: float | None = None
    ) -> None:
        """Compile a model that nobody else has.

        Args:
            learning_rate: The highest rate, or None for that of the class.
            steps: Steps that training takes.
            layer_decay: The rate of a block against that of the next one.

        Raises:
            ValueError: If there is a rate, and an optimizer that has its own.
        """
        if self.compiled and not self._fit_chose():
            given = {"learning_rate": learning_rate, "layer_decay": layer_decay}
            for name, value in given.items():
                if value is not None:
                    raise ValueError(
                        f"`{name}` is that of the optimizer that the model was compiled with. "
                        f"Received: {name}={value}"
                    )
            return
        rate = _LEARNING_RATE if learning_rate is None else learning_rate
        check_positive_numbers(learning_rate=rate)
        schedule = WarmupLinearDecay(rate, steps, int(_WARMUP * steps))
        loss, metrics = losses_of(self._problem)
        rates = None if layer_decay is None else layer_rates(self, layer_decay)
        optimizer = AdamW(schedule, rates=rates)
        self.compile(optimizer, loss, weighted_metrics=metrics)
        self._chosen = weakref.ref(self.optimizer)

    def _logits(self, texts: Texts, batch_size: int = 32) -> np.ndarray:
        """Compute the logits of texts, (N, C), in their order."""
        check_positive_integers(batch_size=batch_size)
        return predict_rows(self, "logits", self.tokenize(texts), batch_size)
