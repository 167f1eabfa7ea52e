"""JSON files that others wrote."""

import json
import pathlib
from typing import Any


def read_json(path: pathlib.Path) -> Any:
    """Read a file.

    Args:
        path: The file.

    Returns:
        Its content.

    Raises:
        ValueError: If it cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"The file is not valid JSON ({error}). Received: {path}") from error


def read_json_object(path: pathlib.Path) -> dict[str, Any]:
    """Read a file whose content has names.

    Args:
        path: The file.

    Returns:
        Value by name.

    Raises:
        ValueError: If it cannot be read, or is not a JSON object.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"The file must contain a JSON object. Received: {path}")
    return content
