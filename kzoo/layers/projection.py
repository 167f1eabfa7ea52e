"""The dense layer that every layer is made of."""

import keras


def projection(
    units: int, policy: keras.DTypePolicy, init_std: float, name: str, use_bias: bool = True
) -> keras.layers.Dense:
    """Return a dense layer on the last axis, initialized as BERT is.

    The kernel has two axes whatever the rank of the input, because converters turn exactly that
    form into one fully connected op.

    Args:
        units: Width of the output.
        policy: The dtype policy of the layer that owns it.
        init_std: Standard deviation of the truncated normal that initializes the kernel.
        name: Name of the dense layer.
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
