"""Accept a measured file, or say why not."""

from pathlib import Path

from kzoo_export.artifact.report import Inspection, Report
from kzoo_export.errors import RecipeError, VerificationError
from kzoo_export.recipe import Recipe


def accept(report: Report) -> None:
    """Refuse a file that is no better than the model, or too far from it.

    Args:
        report: What was measured.

    Raises:
        RecipeError: If the recipe changed nothing.
        VerificationError: If the file is further from the model than its recipe allows.
    """
    check_recipe(report.inspection, report.recipe, report.float_bytes)
    if not report.verification.passed:
        raise VerificationError(Path(report.path).name, report.verification)


def check_recipe(inspection: Inspection, recipe: Recipe, float_bytes: int) -> None:
    """Refuse a file in which a recipe changed nothing.

    Args:
        inspection: What is in the file.
        recipe: How its numbers must be stored.
        float_bytes: Bytes of weights in the float32 file.

    Raises:
        RecipeError: If no weight is stored as the recipe says, no product is computed in integers
            where all should be, or nothing became smaller.
    """
    if not recipe.smaller_dtypes:
        return
    for dtype in sorted(recipe.required_dtypes):
        stored = ("int8", "uint8") if dtype == "int8" else (dtype,)
        if not any(inspection.weight_bytes.get(each) for each in stored):
            raise RecipeError(
                f"The recipe {recipe.name!r} changed nothing: no weight of the file is stored as "
                f"{dtype}. Weights by dtype: {dict(inspection.weight_bytes)} bytes. Very small "
                "matrices are left as they are"
            )
    products = dict(inspection.matmuls)
    if recipe.is_static and products and all("float" in words for words in products):
        raise RecipeError(
            f"The recipe {recipe.name!r} made no product compute in integers: those of the file "
            f"are {products}. ONNX files have dense layers alone in integers, unless they lose "
            "more than `max_loss`; .tflite files have convolutions as well"
        )
    if sum(inspection.weight_bytes.values()) >= float_bytes:
        raise RecipeError(
            f"The recipe {recipe.name!r} made nothing smaller than the {float_bytes} bytes in the "
            f"float32 file. Weights by dtype: {dict(inspection.weight_bytes)} bytes"
        )
