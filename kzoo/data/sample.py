"""The small public-domain text that ships with the package."""

import importlib.resources


def sample_texts() -> list[str]:
    """Read the packaged sample: real English sentences, for verification and examples.

    Returns:
        One sentence each.
    """
    text = importlib.resources.files("kzoo.data").joinpath("sample.txt").read_text("utf-8")
    return [line for line in text.split("\n") if line and not line.startswith("#")]
