"""`kzoo pretrain`: prepared records to a trained model."""

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kzoo.arguments import check_choice
from kzoo.cli.options import Json
from kzoo.cli.output import clock, print_facts, print_json, progress_bar
from kzoo.cli.precision import PRECISIONS, check_precision, made_in

if TYPE_CHECKING:
    from kzoo.tasks import Pretraining


def pretrain_model(  # noqa: PLR0913 (each option of the command is an argument)
    data: Annotated[Path, typer.Argument(help="What `kzoo prepare` wrote.", metavar="DIR")],
    model: Annotated[
        str,
        typer.Option(
            help="A preset or a folder, whose weights are trained on, or the configuration of a "
            "new model: a `.json` file in the Hugging Face layout.",
            metavar="PRESET|FOLDER|JSON",
        ),
    ],
    steps: Annotated[int, typer.Option(help="Training steps.", min=1)],
    out: Annotated[Path, typer.Option(help="Folder to write.", metavar="RUN")],
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="New weights, of the size of MODEL.")
    ] = False,
    batch_size: Annotated[int, typer.Option(help="Records in a batch.", min=1)] = 32,
    learning_rate: Annotated[float, typer.Option(help="The highest rate, of AdamW.")] = 5e-4,
    warmup_steps: Annotated[
        int | None, typer.Option(help="Steps in which it rises; by default a tenth.", min=0)
    ] = None,
    weight_decay: Annotated[float, typer.Option(help="Of matrices, per step.", min=0)] = 0.01,
    clip: Annotated[float, typer.Option(help="Greatest norm of a gradient; 0: any.", min=0)] = 1.0,
    masking: Annotated[str, typer.Option(help="`token`, `word` or `span`.")] = "token",
    rate: Annotated[float, typer.Option(help="Share of the tokens that are hidden.")] = 0.15,
    predictions: Annotated[int, typer.Option(help="The most of a record.", min=1)] = 20,
    precision: Annotated[str, typer.Option(help=f"{', '.join(PRECISIONS)}.")] = "float32",
    jit_compile: Annotated[
        bool | None, typer.Option(help="Compile the step; by default as Keras does.")
    ] = None,
    log_every: Annotated[
        int | None, typer.Option(help="Steps between two lines of the logs.", min=1)
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that make batches.", min=0)] = 0,
    seed: Annotated[int, typer.Option(help="Seed of everything random.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Pretrain a model to guess hidden tokens and, of pairs, whether they belong together.

    Writes into RUN the model as `model.keras` and as the folder `huggingface`, `log.csv`,
    `tensorboard`, `curves.png` and `run.json`.

    Examples: `kzoo pretrain data --model bert_tiny --from-scratch --steps 2000 --out run`,
    `kzoo pretrain data --model run/huggingface --steps 500 --out longer --learning-rate 1e-4`
    """
    check_choice(PRECISIONS, precision=precision)
    started = time.monotonic()
    with progress_bar(f"Pretrain {out}") as progress:
        progress("load", 0.0)
        import keras

        from kzoo.training import AdamW, WarmupLinearDecay, pretrain

        keras.utils.set_random_seed(seed)
        task = _load(data, model, from_scratch, precision)
        warmup = steps // 10 if warmup_steps is None else warmup_steps
        schedule = WarmupLinearDecay(learning_rate, steps, warmup)
        task.compile(
            AdamW(schedule, weight_decay, global_clipnorm=clip or None),
            jit_compile="auto" if jit_compile is None else jit_compile,
        )
        result = pretrain(
            task,
            data,
            out,
            steps,
            batch_size,
            log_every,
            workers,
            progress,
            masking=masking,
            rate=rate,
            predictions=predictions,
            seed=seed,
        )
    if as_json:
        print_json(result)
        return
    seconds = time.monotonic() - started
    print_facts(f"Pretrained {out}", _describe(result, task, batch_size, seconds))


def _load(data: Path, source: str, from_scratch: bool, precision: str) -> "Pretraining":
    """Make the task: of a model with weights, or of the sizes of one and the data's vocabulary."""
    from kzoo.data.manifest import read_manifest
    from kzoo.tasks import Pretraining

    pair = None if read_manifest(data)["settings"]["pairs"] == "none" else "next_sentence"
    with made_in(precision):
        if from_scratch or source.endswith(".json"):
            return Pretraining(_new_backbone(data, source), pair)
        try:
            task = Pretraining.from_pretrained(source, pair)
        except ImportError as error:  # The weights of a preset are nowhere.
            raise ImportError(f"{error} Or train new weights with `--from-scratch`.") from error
    check_precision(task, source, precision)
    return task


def _new_backbone(data: Path, source: str) -> Any:
    """Make a backbone with new weights, whose tokens are those of the data."""
    from kzoo.data.manifest import TOKENIZER
    from kzoo.data.tokenizer import Tokenizer
    from kzoo.json_file import read_json_object
    from kzoo.models.families import FAMILIES
    from kzoo.models.loading import load_config

    tokenizer = Tokenizer.from_folder(data / TOKENIZER)
    config, size = load_config(source), len(tokenizer.tokens)
    if source.endswith(".json"):
        given = read_json_object(Path(source)).get("vocab_size", size)
        if given != size:
            raise ValueError(
                f"`vocab_size` in {source} must be left out, or {size} as in the data. "
                f"Received: vocab_size={given}"
            )
    backbone = FAMILIES[config.family].backbone_class(dataclasses.replace(config, vocab_size=size))
    backbone.tokenizer = tokenizer
    return backbone


def _describe(
    result: dict[str, Any], task: "Pretraining", batch_size: int, seconds: float
) -> dict[str, str]:
    """Say in a few lines how training went."""
    held_out = result["held_out"]
    rows = {
        "model": f"{task.config.family}, {task.count_params():,} parameters, "
        f"{task.config.vocab_size:,} tokens",
        "steps": f"{result['steps']:,} of {batch_size} records",
        "read": f"{result['tokens']:,} tokens, {result['epochs']:.1f} epochs",
        "speed": f"{result['tokens_per_second']:,.0f} tokens/s, {clock(seconds)} in all",
        "loss": f"{result['logs']['loss']:.3f}",
    }
    if held_out:
        rows["held-out loss"] = f"{held_out['loss']:.3f}"
        rows["masked accuracy"] = (
            f"{held_out['masked_accuracy']:.3f}; always the commonest token: "
            f"{held_out['unigram_accuracy']:.3f}"
        )
        if "pair_accuracy" in held_out:
            rows["pair accuracy"] = f"{held_out['pair_accuracy']:.3f}"
    else:
        rows["held out"] = "none"
    rows["written"] = "model.keras, huggingface, curves.png, log.csv, tensorboard"
    return rows
