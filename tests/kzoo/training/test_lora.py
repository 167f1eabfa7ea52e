"""LoRA: which weights change, and that nothing of it is left afterwards."""

import keras
import numpy as np
import pytest

import kzoo
from kzoo.tasks import TextClassifier
from kzoo.training import lora
from tests.kzoo.models.tiny import tiny_backbone
from tests.kzoo.tasks.letters import letters

LABELS = list("abc")


def classifier():
    keras.utils.set_random_seed(0)
    return TextClassifier(tiny_backbone(with_tokenizer=True), LABELS, length=40, dropout=0.0)


def train(model, **options):
    return model.fit(*letters(48), epochs=2, learning_rate=1e-2, batch_size=8, verbose=0, **options)


def test_only_low_rank_changes_and_the_head_are_trained() -> None:
    model = classifier()
    before = {weight.path: np.array(weight) for weight in model.weights}
    with lora(model, rank=2, alpha=8.0) as count:
        layers = [layer for layer in model._flatten_layers() if layer.name in ("query", "value")]
        head = [weight for weight in model.weights if "classifier" in weight.path]
        head += [weight for weight in model.weights if "pooler" in weight.path]
        width = model.config.hidden_dim
        assert count == len(layers) * 2 * 2 * width + sum(np.size(weight) for weight in head)
        train(model)
        changes = {
            layer._kernel.path: 4.0 * np.array(layer.lora_kernel_a) @ np.array(layer.lora_kernel_b)
            for layer in layers
        }
        inside = model.predict(letters(20, 1)[0]).probabilities
    # The model has the weights it had, and no other.
    assert [weight.path for weight in model.weights] == list(before)
    assert all(weight.trainable for weight in model.weights)
    for weight in model.weights:
        found = np.array(weight) - before[weight.path]
        if weight.path in changes:
            assert np.abs(found).max() > 1e-3
            np.testing.assert_allclose(found, changes[weight.path], atol=1e-6)
        elif "classifier" in weight.path or "pooler" in weight.path:
            assert found.any()
        else:
            assert not found.any(), weight.path
    outside = model.predict(letters(20, 1)[0]).probabilities
    np.testing.assert_allclose(outside, inside, atol=1e-6)


def test_nothing_is_left_in_a_file_and_training_goes_on(tmp_path) -> None:
    model = classifier()
    model.predict(["a text"])
    with lora(model, rank=2):
        train(model)
    expected = model.predict(letters(20, 1)[0]).probabilities
    model.save(tmp_path / "a.keras")
    loaded = kzoo.load(tmp_path / "a.keras")
    np.testing.assert_allclose(loaded.predict(letters(20, 1)[0]).probabilities, expected, atol=1e-6)
    # All weights are trained again, then low-rank changes once more.
    query = next(weight for weight in model.weights if weight.path.endswith("key/kernel"))
    before = np.array(query)
    train(model)
    assert np.abs(np.array(query) - before).max() > 1e-4
    before = np.array(query)
    with lora(model, rank=3):
        train(model)
    np.testing.assert_array_equal(np.array(query), before)


def test_error_inside_leaves_the_model_whole() -> None:
    model = classifier()
    frozen = model.weights[0]
    frozen.trainable = False
    paths = [weight.path for weight in model.weights]

    def fail() -> None:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"), lora(model):
        fail()
    assert [weight.path for weight in model.weights] == paths
    assert [weight.path for weight in model.weights if not weight.trainable] == [frozen.path]


def test_checkpoint_goes_on_with_low_rank_changes(tmp_path) -> None:
    whole, broken = classifier(), classifier()
    with lora(whole, rank=2):
        train(whole)

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    path = tmp_path / "c.safetensors"
    with pytest.raises(KeyboardInterrupt), lora(broken, rank=2):
        train(broken, checkpoint=path, callbacks=[Stop()])
    again = classifier()
    with lora(again, rank=2):
        train(again, checkpoint=path)
    for ours, theirs in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # Not with others, nor with all weights.
    refused = pytest.raises(ValueError, match="`checkpoint` must be of the same training")
    other = classifier()
    with lora(other, rank=3), refused:
        train(other, checkpoint=path)
    with refused:
        train(other, checkpoint=path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "`rank` must be"),
        ({"alpha": -1.0}, "`alpha` must be"),
        ({"targets": ["queries"]}, "names of dense layers of the model: .*query.* Received"),
    ],
)
def test_wrong_arguments(options, message) -> None:
    with pytest.raises(ValueError, match=message), lora(classifier(), **options):
        pass
    model = classifier()
    with lora(model), pytest.raises(ValueError, match="not be in `lora` already"), lora(model):
        pass
