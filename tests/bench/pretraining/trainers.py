"""What trains the same model in three libraries: each is a function that makes one step."""

from collections.abc import Callable
from typing import Any

import numpy as np

Step = Callable[[], Any]

VOCAB, LAYERS, HEADS, WIDTH, INNER = 30522, 4, 8, 512, 2048  # BERT-small
B, T, P = 16, 128, 20
RATE = 1e-4


def make_batch() -> dict[str, np.ndarray]:
    """Make a batch of pairs without padding."""
    random = np.random.default_rng(0)
    places = np.argsort(random.random((B, T)), axis=1)[:, :P]
    return {
        "token_ids": random.integers(1, VOCAB, (B, T)).astype("int32"),
        "segment_ids": np.tile((np.arange(T) >= T // 2).astype("int32"), (B, 1)),
        "padding_mask": np.ones((B, T), "int32"),
        "mask_positions": np.sort(places, axis=1).astype("int32"),
        "labels": random.integers(1, VOCAB, (B, P)).astype("int32"),
        "pair": random.integers(0, 2, B).astype("int32"),
    }


def kzoo() -> Step:
    """Masked tokens and pairs."""
    from kzoo.models import BertBackbone, BertConfig
    from kzoo.tasks import Pretraining
    from kzoo.training import AdamW

    sizes = {"num_layers": LAYERS, "num_heads": HEADS, "hidden_dim": WIDTH, "mlp_dim": INNER}
    task = Pretraining(BertBackbone(BertConfig(VOCAB, **sizes)))
    task.compile(AdamW(RATE))
    batch = make_batch()
    labels = {"masked": batch.pop("labels"), "pair": batch.pop("pair")}
    weights = {name: np.ones(array.shape, "float32") for name, array in labels.items()}
    return lambda: task.train_on_batch(batch, labels, weights)


def keras_hub() -> Step:
    """Masked tokens alone: KerasHub has no pairs."""
    import keras
    import keras_hub

    backbone = keras_hub.models.BertBackbone(VOCAB, LAYERS, HEADS, WIDTH, INNER)
    model = keras_hub.models.BertMaskedLM(backbone, preprocessor=None)
    model.compile(
        keras.optimizers.AdamW(RATE),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy()],
    )
    batch = make_batch()
    labels, _ = batch.pop("labels"), batch.pop("pair")
    weights = np.ones(labels.shape, "float32")
    return lambda: model.train_on_batch(batch, labels, weights)


def hugging_face() -> Step:
    """Masked tokens and pairs, in eager PyTorch; logits at all positions, as it is built."""
    import torch
    import transformers

    config = transformers.BertConfig(
        vocab_size=VOCAB,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=INNER,
    )
    model = transformers.BertForPreTraining(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), RATE)
    batch = {name: torch.from_numpy(array).long() for name, array in make_batch().items()}
    labels = torch.full((B, T), -100)
    labels.scatter_(1, batch["mask_positions"], batch["labels"])

    def step() -> float:
        outputs = model(
            input_ids=batch["token_ids"],
            token_type_ids=batch["segment_ids"],
            attention_mask=batch["padding_mask"],
            labels=labels,
            next_sentence_label=batch["pair"],
        )
        optimizer.zero_grad()
        outputs.loss.backward()
        optimizer.step()
        return float(outputs.loss)

    return step


TRAINERS: dict[str, Callable[[], Step]] = {
    "kzoo": kzoo,
    "KerasHub": keras_hub,
    "Hugging Face": hugging_face,
}
