"""Fine-tuning by kzoo or by Hugging Face's `Trainer`, in a child process that takes jobs.

`python -m tests.proofs.trainers TOOL` reads a job a line from its input and writes an answer a
line, both JSON: `{"train": [texts, labels], "test": ..., "length": T, "epochs": E, "seed": S}` is
answered by the seconds of each epoch and the `accuracy` on `test`, `{"predict": texts}` by the
`seconds` that the labels of the texts took.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TextIO

import numpy as np

THEIRS = "transformers"
BATCH_SIZE, RATE, WARMUP = 32, 1e-4, 0.1


class Child:
    """A process that trains."""

    def __init__(self, tool: str, model: str) -> None:
        environment = {**os.environ, "TOKENIZERS_PARALLELISM": "true", "HF_HUB_OFFLINE": "1"}
        if tool != THEIRS:
            environment["KERAS_BACKEND"] = tool
        command = [sys.executable, "-m", __name__, tool, model]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, env=environment, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )

    def __call__(self, **job: Any) -> dict[str, Any]:
        """Do a job."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"{self.process.args!r} ended with {self.process.wait()}"
        return dict(json.loads(answer))

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


@contextlib.contextmanager
def children(model: str) -> Iterator[Callable[[str], Child]]:
    """Yield what starts the child of a tool when it is first asked for one, and end them all."""
    started: dict[str, Child] = {}

    def child(tool: str) -> Child:
        if tool not in started:
            started[tool] = Child(tool, model)
        return started[tool]

    try:
        yield child
    finally:
        for each in started.values():
            each.close()


class Ours:
    """A `TextClassifier`."""

    def __init__(self, model: str) -> None:
        self.model = model

    def train(self, job: dict[str, Any]) -> list[float]:
        """Train from the weights of the model; return the seconds of each epoch."""
        import keras

        import kzoo

        texts, labels = job["train"]
        keras.utils.set_random_seed(job["seed"])
        self.classifier = kzoo.tasks.TextClassifier(
            kzoo.load(self.model), sorted(set(labels)), job["length"]
        )
        times: list[float] = []
        clock = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: times.append(-time.perf_counter()),
            on_epoch_end=lambda epoch, logs: times.append(times.pop() + time.perf_counter()),
        )
        options = {"batch_size": BATCH_SIZE, "learning_rate": RATE, "seed": job["seed"]}
        epochs = {"epochs": job["epochs"], "callbacks": [clock], "verbose": 0}
        self.classifier.fit(texts, labels, **options, **epochs)
        return times

    def predict(self, texts: list[str]) -> list[str]:
        """Tell the labels of texts."""
        return list(self.classifier.predict(texts, batch_size=BATCH_SIZE).labels)


class Theirs:
    """A `BertForSequenceClassification`, its `Trainer` and its `pipeline`."""

    def __init__(self, model: str) -> None:
        from transformers import AutoTokenizer

        self.model = model
        self.tokenizer = AutoTokenizer.from_pretrained(model)

    def train(self, job: dict[str, Any]) -> list[float]:
        """Train from the weights of the model; return the seconds of each epoch."""
        import tempfile

        import transformers

        texts, labels = job["train"]
        names = sorted(set(labels))
        self.length = job["length"]
        transformers.set_seed(job["seed"])
        self.classifier = transformers.AutoModelForSequenceClassification.from_pretrained(
            self.model, num_labels=len(names), id2label=dict(enumerate(names))
        )
        encoded = self.tokenizer(texts, truncation=True, max_length=self.length)
        rows = [
            {**{name: encoded[name][row] for name in encoded}, "label": names.index(label)}
            for row, label in enumerate(labels)
        ]
        steps = job["epochs"] * -(-len(rows) // BATCH_SIZE)
        clock = _clock()
        with tempfile.TemporaryDirectory() as folder:
            options = transformers.TrainingArguments(
                folder,
                num_train_epochs=job["epochs"],
                per_device_train_batch_size=BATCH_SIZE,
                learning_rate=RATE,
                warmup_steps=int(WARMUP * steps),
                weight_decay=0.01,
                train_sampling_strategy="group_by_length",
                seed=job["seed"],
                use_cpu=True,
                dataloader_pin_memory=False,
                report_to="none",
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
            )
            trainer = transformers.Trainer(
                self.classifier,
                options,
                transformers.DataCollatorWithPadding(self.tokenizer),
                rows,
                callbacks=[clock],
            )
            trainer.train()
        return list(clock.times)

    def predict(self, texts: list[str]) -> list[str]:
        """Tell the labels of texts."""
        from transformers import pipeline

        classify = pipeline("text-classification", self.classifier.eval(), tokenizer=self.tokenizer)
        options = {"truncation": True, "max_length": self.length, "batch_size": BATCH_SIZE}
        return [answer["label"] for answer in classify(texts, **options)]


def _clock() -> Any:
    """Make a callback of `Trainer` that has the seconds of each epoch."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.times: list[float] = []

        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            self.times.append(-time.perf_counter())

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            self.times.append(self.times.pop() + time.perf_counter())

    return Clock()


def answers(trainer: Any, jobs: TextIO) -> Iterator[dict[str, Any]]:
    """Do one job after the other."""
    for line in jobs:
        job = json.loads(line)
        if "train" in job:
            answer: dict[str, Any] = {"epochs": trainer.train(job)}
            if "test" in job:
                texts, labels = job["test"]
                right = np.array(trainer.predict(texts)) == np.array(labels)
                answer["accuracy"] = float(right.mean())
        else:
            started = time.perf_counter()
            trainer.predict(job["predict"])
            answer = {"seconds": time.perf_counter() - started}
        yield answer


def main() -> None:
    # What libraries print must not end among the answers.
    out, sys.stdout = sys.stdout, sys.stderr
    tool, model = sys.argv[1:]
    trainer = Theirs(_huggingface(model)) if tool == THEIRS else Ours(model)
    for answer in answers(trainer, sys.stdin):
        print(json.dumps(answer), file=out, flush=True)


def _huggingface(model: str) -> str:
    """Return the folder of a preset's checkpoint."""
    from kzoo.models.families import presets
    from kzoo.models.preset import is_preset, weights_folder

    known = presets()
    return str(weights_folder(model, known[model])) if is_preset(model, known) else model


if __name__ == "__main__":
    main()
