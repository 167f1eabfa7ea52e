"""Training by steps: what is read, logged and drawn."""

import csv
import itertools
import struct

import grain
import keras
import numpy as np
import pytest

from kzoo.training import (
    ReportProgress,
    StepLogs,
    TensorBoard,
    WarmupLinearDecay,
    fit_steps,
    plot_history,
)


def make_batch(number):
    """The weight of the model below becomes, with a rate of 0.5, the mean of what is read."""
    return np.full((2, 1), 1.0, "float32"), np.full((2, 1), number, "float32")


def batches(start):
    return grain.MapDataset.range(start, 2**20).map(make_batch).to_iter_dataset()


@pytest.fixture
def model():
    made = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    made.set_weights([np.zeros((1, 1))])
    made.compile(keras.optimizers.SGD(0.5), loss="mse")
    return made


@pytest.mark.parametrize(("steps", "log_every", "lines"), [(7, 3, 3), (6, 3, 2), (2, 5, 1)])
def test_each_batch_is_read_once_in_order(model, steps, log_every, lines):
    history = fit_steps(model, batches, steps, log_every, callbacks=[StepLogs(10)])
    assert len(history["loss"]) == lines
    # With this rate the weight is the last target.
    assert float(np.squeeze(model.get_weights()[0])) == steps - 1
    assert history["step"] == [*range(log_every, steps, log_every), steps]


def test_logs(model, tmp_path):
    model.compile(keras.optimizers.SGD(WarmupLinearDecay(0.5, 10, 5)), loss="mse")
    told = []
    logs = StepLogs(tokens_per_batch=1000)
    callbacks = [
        logs,
        keras.callbacks.CSVLogger(str(tmp_path / "log.csv"), append=True),
        TensorBoard(tmp_path / "tensorboard"),
        ReportProgress(lambda line, done: told.append((line, done)), 7, logs),
    ]
    validation = grain.MapDataset.range(3).map(make_batch).to_iter_dataset()
    history = fit_steps(model, batches, 7, 4, validation, 3, callbacks)
    assert history["step"] == [4, 7]
    np.testing.assert_allclose(history["learning_rate"], [0.4, 0.3], rtol=1e-6)
    with (tmp_path / "log.csv").open() as file:
        lines = list(csv.DictReader(file))
    for name, values in history.items():
        np.testing.assert_allclose([float(line[name]) for line in lines], values, rtol=1e-5)
    assert [done for _, done in told] == pytest.approx(np.arange(1, 8) / 7)
    assert told[0][0].startswith("step 1 of 7, loss ")
    assert told[-1][0].endswith(" tokens/s")
    points = read_scalars(tmp_path / "tensorboard")
    assert points["loss"] == pytest.approx(dict(zip((4, 7), history["loss"], strict=True)))
    assert set(points) == set(history) - {"step"}


def read_scalars(folder):
    """Read event files, by the format that TensorFlow documents: TFRecords of `Event` messages."""
    from tensorboardX.proto.event_pb2 import Event

    points = {}
    for path in folder.iterdir():
        content = path.read_bytes()
        while content:
            (size,) = struct.unpack_from("<Q", content)
            event = Event.FromString(content[12 : 12 + size])
            content = content[16 + size :]
            for value in event.summary.value:
                points.setdefault(value.tag, {})[event.step] = value.simple_value
    return points


def test_speed_leaves_the_first_step_out(model, monkeypatch):
    """The first step may be compiled. The clock stands at 0, 100, 101, 103, ... seconds."""
    times = itertools.accumulate(itertools.chain([0, 100, 1, 2, 50, 3, 3, 6]))
    next(times)
    monkeypatch.setattr("time.perf_counter", lambda: next(times))
    logs = StepLogs(tokens_per_batch=30)
    logs.set_model(model)
    logs.on_train_begin()
    for expected in (20.0, 10.0):
        logs.on_epoch_begin(0)
        assert logs.tokens_per_second == 0.0 or expected == 10.0
        for batch in range(3):
            logs.on_train_batch_end(batch)
        lines = {}
        logs.on_epoch_end(0, lines)
        assert lines["tokens_per_second"] == expected


@pytest.mark.once
def test_pictures(tmp_path):
    history = {
        "step": [2, 4],
        "loss": [3.0, 2.0],
        "val_loss": [3.5, 2.5],
        "masked_accuracy": [0, 1],
    }
    plot_history(history, tmp_path / "curves.png", {"guess": 0.1})
    content = (tmp_path / "curves.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", content[16:24])
    assert width > 2 * height
    plot_history({"loss": [3.0, 2.0]}, tmp_path / "loss.png")
    with pytest.raises(ValueError, match="`history` must have a loss or an accuracy"):
        plot_history({"step": [1]}, tmp_path / "none.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "loss.png"]


@pytest.mark.once
def test_wrong_arguments(model):
    with pytest.raises(ValueError, match="`steps` must be"):
        fit_steps(model, batches, 0, 1)
    with pytest.raises(ValueError, match="`log_every` must be"):
        fit_steps(model, batches, 1, 0)
    with pytest.raises(ValueError, match="`tokens_per_batch` must be"):
        StepLogs(0)
