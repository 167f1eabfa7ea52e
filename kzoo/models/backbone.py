"""What the models that read text have in common."""

import pathlib

from kzoo.data.tokenizer import Tokenizer


class ReadsText:
    """A mixin for Keras models: the tokenizer travels inside the `.keras` file.

    Attributes:
        tokenizer: What turns texts into the model's inputs, or `None`.
    """

    tokenizer: Tokenizer | None = None

    def save_assets(self, folder: str) -> None:
        """Write the tokenizer; Keras calls this on saving.

        Args:
            folder: A folder inside the file.
        """
        if self.tokenizer is not None:
            self.tokenizer.save(folder)

    def load_assets(self, folder: str | None) -> None:
        """Read the tokenizer; Keras calls this on loading.

        Args:
            folder: A folder inside the file, or `None` where the file has none.
        """
        if folder is not None and any(pathlib.Path(folder).iterdir()):
            self.tokenizer = Tokenizer.from_folder(folder)
