"""A vocabulary of byte pairs, trained once."""

from pathlib import Path

import pytest
import tokenizers

import kzoo
from tests.kzoo.data.test_tokenizer import ODD

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with vocab.json and merges.txt, trained on the sample."""
    folder = tmp_path_factory.mktemp("byte_pairs")
    backend = tokenizers.ByteLevelBPETokenizer()
    backend.train_from_iterator(
        [*kzoo.data.sample_texts(), *ODD], vocab_size=1500, special_tokens=SPECIAL
    )
    backend.save_model(str(folder))
    return folder
