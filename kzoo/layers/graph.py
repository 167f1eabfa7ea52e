"""Which of two graphs is made: the one that trains and serves, or the one that is exported."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_STATIC_GRAPH = ContextVar("static_graph", default=False)


@contextmanager
def static_graph() -> Iterator[None]:
    """Compute with the plain graph that converters recognize, for as long as the context lasts.

    Outside of it attention runs in the backend's fused kernel, which is what training and serving
    want. Both give the same numbers.

    Example:
        >>> import kzoo
        >>> with kzoo.layers.static_graph():
        ...     pass  # call, trace or export the model here

    Yields:
        Nothing.
    """
    token = _STATIC_GRAPH.set(True)
    try:
        yield
    finally:
        _STATIC_GRAPH.reset(token)


def is_static_graph() -> bool:
    """Return whether a `static_graph` context is active."""
    return _STATIC_GRAPH.get()
