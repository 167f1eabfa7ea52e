"""From a float32 file to a measured one: quantize, measure, accept."""

import dataclasses
from pathlib import Path

from kzoo_export.artifact.accept import accept
from kzoo_export.artifact.measure import Origin, Reference, measure
from kzoo_export.artifact.report import Report
from kzoo_export.hardware import accept_target
from kzoo_export.lowering.process import Lowered
from kzoo_export.progress import Progress, Stopwatch, part
from kzoo_export.samples import Samples
from kzoo_export.target import Target


def finish(
    target: Target,
    float32: Lowered,
    file: Path,
    *,
    float_bytes: int,
    reference: Reference,
    calibration: Samples | None,
    seed: int,
    tell: Progress,
) -> Report:
    """Make the file of a recipe in the working folder, and measure it.

    Args:
        target: What to make.
        float32: The float32 file.
        file: Where to write it.
        float_bytes: Bytes of the weights of the float32 file.
        reference: What the file is measured against.
        calibration: Samples for recipes that calibrate.
        seed: Seed of everything random.
        tell: Called with each step and the fraction that is done.

    Returns:
        What was measured.
    """
    used = calibration if target.calibrates else None
    name = target.path.name
    watch = Stopwatch(part(lambda step, done: tell(f"{step} {name}", done), 0.0, 0.8))
    target.quantizer.quantize(
        *(float32.path, file, target.recipe, used.arrays if used else None),
        float32.spec.signature,
        watch.tell,
    )
    origin = Origin(
        path=target.path,
        spec=float32.spec,
        recipe=target.recipe,
        float32_file=float32.path,
        float_bytes=float_bytes,
        calibration=used.source if used else None,
        seed=seed,
        seconds={"reference": reference.seconds, **float32.seconds, **watch.stop()},
        log=float32.log,
    )
    tell(f"measure {name}", 0.8)
    report = measure(file, origin, reference)
    accept(report)
    if target.hardware is None:
        return report
    words = accept_target(
        *(file, name, target.hardware, reference.trials, target.recipe),
        float32.spec.signature,
    )
    return dataclasses.replace(report, target=words)
