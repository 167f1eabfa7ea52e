"""NumPy oracles in float64: what each layer computes, written from its paper and not from its code.

Every oracle takes the layer's weights by their path inside the layer, then the call arguments.
"""
