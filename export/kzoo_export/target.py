"""A file to make: where it goes, its recipe and its route."""

import dataclasses
import importlib
from pathlib import Path
from types import ModuleType

from kzoo_export.artifact.files import check_target
from kzoo_export.hardware import check_hardware
from kzoo_export.lowering.routes import choose_route
from kzoo_export.recipe import Recipe
from kzoo_export.recipes import get_recipe
from kzoo_export.spec import RUNTIMES, format_of


@dataclasses.dataclass(frozen=True)
class Target:
    """One file to make, for a kind of hardware or for any."""

    path: Path
    recipe: Recipe
    route: str
    hardware: str | None = None

    @property
    def format(self) -> str:
        """The format its suffix says."""
        return format_of(self.path)

    @property
    def quantizer(self) -> ModuleType:
        """The module that quantizes files of the format."""
        return importlib.import_module(f"kzoo_export.{self.format}.quantize")

    @property
    def calibrates(self) -> bool:
        """Whether its quantizer looks at samples."""
        return bool(self.quantizer.calibrates(self.recipe))


def make_target(
    path: str | Path,
    recipe: str | Recipe,
    route: str | None,
    portable: bool,
    hardware: str | None,
) -> Target:
    """Check everything about a file that is known without a model.

    Args:
        path: File to write; its folder must be there.
        recipe: The recipe, or its name.
        route: The route, or `None` for the best of the format.
        portable: ONNX: keep to the standard operators.
        hardware: The kind of hardware that must take the file, or `None`.

    Returns:
        The file to make.

    Raises:
        ValueError: If one of them does not fit; the message names it.
    """
    chosen = choose_route(format_of(path), route)
    return checked(Target(Path(path), get_recipe(recipe), chosen, hardware), portable)


def checked(target: Target, portable: bool) -> Target:
    """Check where a file goes and whether its format has its recipe.

    Args:
        target: The file to make.
        portable: ONNX: keep to the standard operators.

    Returns:
        The same.
    """
    check_target(target.path)
    check_hardware(target.hardware, target.format)
    target.quantizer.check(target.recipe, portable)
    return target


def formats_of(recipe: Recipe) -> tuple[str, ...]:
    """List the formats that have a recipe.

    Args:
        recipe: The recipe.

    Returns:
        The suffixes of their files, without the dot.
    """
    return tuple(format for format in RUNTIMES if _has(format, recipe))


def _has(format: str, recipe: Recipe) -> bool:
    try:
        importlib.import_module(f"kzoo_export.{format}.quantize").check(recipe)
    except ValueError:
        return False
    return True
