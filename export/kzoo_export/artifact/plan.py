"""What an export would do, known before anything is lowered."""

import dataclasses
from typing import Any

from rich.table import Table

from kzoo_export.artifact.document import Document
from kzoo_export.artifact.report import origin_table, signature_text
from kzoo_export.recipe import Recipe
from kzoo_export.spec import Spec


@dataclasses.dataclass(frozen=True)
class Plan(Document):
    """A file that can be made: every argument is checked, nothing is lowered or written.

    `float_size` is what the model's weights take as float32, in bytes.
    """

    path: str
    spec: Spec
    recipe: Recipe
    float_size: int
    samples: str
    calibration: str | None

    @property
    def expected_size(self) -> int:
        """Bytes of the file, if its weights are large."""
        return round(self.recipe.size_ratio * self.float_size)

    def to_dict(self) -> dict[str, Any]:
        """Give every fact as JSON types."""
        return {**super().to_dict(), "expected_size": self.expected_size}

    def tables(self) -> list[Table]:
        """Lay out the route, the signature, the bounds and the size."""
        spec, bounds = self.spec, self.recipe.tolerance
        title = f"Dry run: {self.path} is not written"
        table = origin_table(title, spec.format, self.recipe, spec.route, spec.portable)
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
