"""The recipes by name, and why each has its tolerance."""

from kzoo.arguments import close_matches
from kzoo_export.recipe import Override, Recipe, Tolerance

_IN_4_BITS = (
    Override("int4", "dynamic_int8", operation="dense"),
    Override("int4", operation="embedding"),
)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        # Only the order of float32 sums differs: errors are a few 1e-6 of the largest value even
        # after twelve layers. 1e-3 leaves room for values that cancel, and still catches a wrong
        # activation (tanh for erf GELU is 4e-3), a wrong epsilon or a dropped mask.
        Recipe(
            name="float32",
            weights="float32",
            activations="float32",
            tolerance=Tolerance(
                cosine_mean=0.99999, cosine_min=0.99999, max_abs=1e-3, agreement=0.99
            ),
            size_ratio=1.03,
            description="the model as it is",
        ),
        # Weights keep 11 significant bits, a relative error of 2^-12 each, which averages out over
        # a dot product; the arithmetic stays float32.
        Recipe(
            name="float16",
            weights="float16",
            activations="float32",
            tolerance=Tolerance(
                cosine_mean=0.9999, cosine_min=0.9999, max_abs=2e-2, agreement=0.95
            ),
            size_ratio=0.51,
            description="half the size, float32 arithmetic",
        ),
        # Weights and the activations entering a product keep 8 bits: about half a percent of noise
        # a product, which normalization layers neither shrink nor amplify much. The sentence
        # vectors of MiniLM keep 0.998 (least 0.997), its hidden states 0.998 (least 0.995): the
        # bounds leave half as much again for deeper models, and a broken file is far below them.
        Recipe(
            name="dynamic_int8",
            weights="int8",
            activations="dynamic_int8",
            tolerance=Tolerance(cosine_mean=0.995, cosine_min=0.97, max_abs=0.5, agreement=0.8),
            size_ratio=0.27,
            description="a quarter of the size and fast on CPUs",
        ),
        # The weights of dynamic_int8 with nothing rounded at run time. MiniLM keeps 0.9995 (least
        # 0.9994): the bounds leave at least four times the loss for deeper models.
        Recipe(
            name="weight_int8",
            weights="int8",
            activations="float32",
            tolerance=Tolerance(cosine_mean=0.998, cosine_min=0.99, max_abs=0.3, agreement=0.9),
            size_ratio=0.27,
            description="a quarter of the size, float32 arithmetic",
        ),
        # Rows of a table in 4 bits have about four percent of noise, which is different for every
        # token and averages out over a text. MiniLM keeps 0.998 (least 0.996): the bounds leave
        # four times the mean loss for texts of few tokens and deeper models.
        Recipe(
            name="dynamic_int8_embedding_int4",
            weights="int8",
            activations="dynamic_int8",
            tolerance=Tolerance(cosine_mean=0.99, cosine_min=0.95, max_abs=0.6, agreement=0.75),
            size_ratio=0.21,
            description="as dynamic_int8, with tables of embeddings in 4 bits",
            overrides=(Override("int4", operation="embedding"),),
        ),
        # Rounding to 4 bits leaves about eight percent of noise in a weight, which is spread so
        # that what layers compute of real inputs loses little. The sentence vectors of MiniLM keep
        # 0.988 (least 0.966), single tokens less: the bounds leave three times the loss.
        Recipe(
            name="weight_int4",
            weights="int8",
            activations="dynamic_int8",
            tolerance=Tolerance(cosine_mean=0.94, cosine_min=0.75, max_abs=1.0, agreement=0.6),
            size_ratio=0.15,
            description="dense layers and tables in 4 bits, rounded on samples",
            overrides=_IN_4_BITS,
        ),
        # The layers that lose most have the noise of 8 bits: a third of the loss of weight_int4 is
        # left. MiniLM keeps 0.996 (least 0.988): the bounds leave four times the mean loss.
        Recipe(
            name="weight_int4_mixed",
            weights="int8",
            activations="dynamic_int8",
            tolerance=Tolerance(cosine_mean=0.98, cosine_min=0.92, max_abs=0.8, agreement=0.7),
            size_ratio=0.18,
            description="as weight_int4, with 8 bits for the layers that lose most",
            overrides=_IN_4_BITS,
            wide_share=0.6,
        ),
        # 16 bits hold activations to a few thousandths of a percent, so that the weights are what
        # is left of the noise. MiniLM keeps 0.9994 (least 0.9985): the bounds leave ten times the
        # loss for deeper models and for ranges that the calibration did not see.
        Recipe(
            name="static_int16x8",
            weights="int8",
            activations="int16",
            tolerance=Tolerance(cosine_mean=0.994, cosine_min=0.97, max_abs=0.4, agreement=0.85),
            size_ratio=0.27,
            description="integers alone, activations of 16 bits; for NPUs and DSPs",
        ),
        # Activations keep 8 bits with one scale a tensor, outliers included. MiniLM keeps 0.9975
        # (least 0.993), in ONNX, where dense layers alone have integers, 0.9989 (0.996): the bounds
        # leave ten times the loss for deeper models.
        Recipe(
            name="static_int8",
            weights="int8",
            activations="int8",
            tolerance=Tolerance(cosine_mean=0.97, cosine_min=0.93, max_abs=0.8, agreement=0.7),
            size_ratio=0.27,
            description="activations of 8 bits with scales found on samples",
            max_loss=0.003,
        ),
        # MiniLM keeps 0.9955 (least 0.990) with all products in int8: the bounds leave ten times
        # the loss as well.
        Recipe(
            name="static_int8_strict",
            weights="int8",
            activations="int8",
            tolerance=Tolerance(cosine_mean=0.95, cosine_min=0.9, max_abs=0.9, agreement=0.6),
            size_ratio=0.27,
            description="as static_int8, with every product in int8",
            max_loss=0.003,
            every_product=True,
        ),
    )
}


def get_recipe(recipe: str | Recipe) -> Recipe:
    """Look a recipe up by name.

    Args:
        recipe: A recipe's name, or a recipe, which is returned as it is.

    Returns:
        The recipe.

    Raises:
        ValueError: If no recipe has that name; the message has the closest names.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if recipe not in RECIPES:
        raise ValueError(
            f"`recipe` must be the name of a recipe. Received: recipe={recipe!r}. "
            f"{close_matches(str(recipe), RECIPES)}"
        )
    return RECIPES[recipe]
