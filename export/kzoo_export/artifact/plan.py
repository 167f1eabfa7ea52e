"""What an export would do, known before anything is lowered."""

import dataclasses

from rich.table import Table

from kzoo_export.artifact.document import Document, facts_table
from kzoo_export.artifact.report import signature_text
from kzoo_export.recipe import Recipe
from kzoo_export.spec import Spec


@dataclasses.dataclass(frozen=True)
class Plan(Document):
    """A file that can be made: every argument is checked, nothing is lowered or written.

    `float_size` is what the model's weights take as float32, `expected_size` what the file will
    take if its weights are large, both in bytes.
    """

    path: str
    spec: Spec
    recipe: Recipe
    float_size: int
    expected_size: int
    samples: str
    calibration: str | None

    def tables(self) -> list[Table]:
        """Lay out the route, the signature, the bounds and the size."""
        table = facts_table(f"Dry run: {self.path} is not written")
        spec, bounds = self.spec, self.recipe.tolerance
        table.add_row("format, recipe, route", f"{spec.format}, {self.recipe.name}, {spec.route}")
        for override in self.recipe.overrides:
            table.add_row("override", str(override))
        table.add_row("inputs", signature_text(spec.signature.inputs))
        table.add_row("outputs", signature_text(spec.signature.outputs))
        ratio = f"{self.recipe.size_ratio:g} of the float32 weights, {self.float_size / 1e6:.2f} MB"
        table.add_row("expected size", f"about {self.expected_size / 1e6:.2f} MB, {ratio}")
        table.add_row("verified on", self.samples)
        table.add_row("calibrated on", self.calibration or "nothing: this recipe needs none")
        table.add_row(
            "bounds",
            f"cosine {bounds.cosine_mean:g} in the mean and {bounds.cosine_min:g} at least, "
            f"error {bounds.max_abs:g} of the largest value at most, "
            f"agreement {bounds.agreement:g} at least",
        )
        return [table]
