"""The switch between the graph that trains and the graph that is exported."""

import pytest

from kzoo.layers import static_graph
from kzoo.layers.graph import is_static_graph


@pytest.mark.once
def test_static_graph_ends_with_its_context():
    states = [is_static_graph()]
    with static_graph():
        states.append(is_static_graph())
    states.append(is_static_graph())
    with pytest.raises(KeyError), static_graph():
        raise KeyError
    states.append(is_static_graph())
    assert states == [False, True, False, False]
