"""The affine map that every layer is made of."""

import keras


def projection(
    units: int, policy: keras.DTypePolicy, init_std: float, name: str, use_bias: bool = True
) -> keras.layers.Dense:
    """Return an affine map of the last axis, initialised as BERT is.

    The kernel has two axes whatever the rank of the input, because converters turn exactly that
    form into one fully connected op.

    Args:
        units: Width of the output.
        policy: The dtype policy of the layer that owns the map.
        init_std: Standard deviation of the truncated normal that initialises the kernel.
        name: Name of the map.
        use_bias: Whether to add a bias.

    Returns:
        The unbuilt `keras.layers.Dense`.
    """
    return keras.layers.Dense(
        units,
        use_bias=use_bias,
        kernel_initializer=keras.initializers.TruncatedNormal(stddev=init_std),
        dtype=policy,
        name=name,
    )
