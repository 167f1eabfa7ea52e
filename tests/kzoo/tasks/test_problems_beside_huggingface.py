"""Classifiers of each problem, loss by loss beside those of Hugging Face."""

import json

import numpy as np
import pytest

import kzoo
from kzoo.problems import PROBLEMS
from kzoo.tasks import TextClassifier
from kzoo.tasks.losses import losses_of
from kzoo.training import AdamW, WarmupLinearDecay
from tests.arrays import to_numpy
from tests.huggingface import SIZES, reference, run

STEPS = 20
ADAM = {"lr": 1e-3, "weight_decay": 0.01, "eps": 1e-8}
LABELS = {
    "single_label": ["bad", "so so", "good"],
    "multi_label": ["bad", "so so", "good"],
    "regression": ["stars"],
}
# What the configuration says; of the others Hugging Face guesses.
SAID = {"multi_label": "multi_label_classification"}


@pytest.fixture(scope="module", params=list(PROBLEMS))
def theirs(request):
    arguments = {"labels": LABELS[request.param], "problem": SAID.get(request.param)}
    options = {"sizes": SIZES, "shape": [6, 24], "steps": STEPS, "optimizer": ADAM}
    return request.param, reference("classify", **arguments, **options)


def batch_of(folder, step):
    with np.load(folder / f"batch_{step}.npz") as arrays:
        inputs = dict(arrays)
    labels = inputs.pop("labels")
    return {name: array.astype("int32") for name, array in inputs.items()}, labels


def test_losses_of_20_steps_are_hugging_faces(theirs):
    problem, folder = theirs
    classifier = TextClassifier.from_huggingface(folder / "model", length=24)
    assert (classifier.problem, list(classifier.labels)) == (problem, LABELS[problem])
    schedule = WarmupLinearDecay(ADAM["lr"], STEPS, 2)
    optimizer = AdamW(schedule, ADAM["weight_decay"], epsilon=ADAM["eps"])
    classifier.compile(optimizer, losses_of(PROBLEMS[problem])[0])
    last = classifier.test_on_batch(*batch_of(folder, STEPS - 1))
    losses = []
    for step in range(STEPS):
        losses.append(classifier.train_on_batch(*batch_of(folder, step)))
        classifier.reset_metrics()
    expected = json.loads((folder / "losses.json").read_text())
    np.testing.assert_allclose(np.array(losses, "float64"), expected, rtol=1e-4)
    # Training matters that much.
    assert abs(last - losses[-1]) > 0.01 * losses[-1]


@pytest.mark.once
def test_folder_is_read_by_transformers(theirs, tmp_path):
    problem, folder = theirs
    classifier = TextClassifier.from_huggingface(folder / "model", length=24)
    inputs, _ = batch_of(folder, 0)
    kzoo.save_huggingface(classifier, tmp_path / "model")
    np.savez(tmp_path / "batch.npz", **inputs)
    given = {"model": str(tmp_path / "model"), "batch": str(tmp_path / "batch.npz")}
    run("classified", tmp_path / "result", **given)
    told = json.loads((tmp_path / "result" / "labels.json").read_text())
    assert told == [LABELS[problem], PROBLEMS[problem].huggingface]
    with np.load(tmp_path / "result" / "logits.npz") as arrays:
        np.testing.assert_allclose(
            arrays["logits"], to_numpy(classifier(inputs)["logits"]), atol=2e-5
        )
    assert TextClassifier.from_huggingface(tmp_path / "model", length=24).problem == problem


@pytest.mark.once
def test_unknown_problem_of_a_folder(theirs, tmp_path):
    _, folder = theirs
    for path in (folder / "model").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "problem_type": "ranking"}))
    with pytest.raises(ValueError, match=r"`problem_type` must be one of.*'ranking'"):
        TextClassifier.from_huggingface(tmp_path, length=24)
