"""SentencePiece's Unigram in `tokenizer.json`, as XLM-RoBERTa, ALBERT and T5 have it."""

import json

import numpy as np
import pytest
import tokenizers
from tokenizers import processors

import kzoo
from kzoo.data import Tokenizer
from tests.huggingface import run
from tests.kzoo.data.test_tokenizer import ODD, lines

pytestmark = pytest.mark.once

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
NAMES = ["cls_token", "pad_token", "sep_token", "unk_token", "mask_token"]
CASES = [
    {"texts": lines(), "length": 32},
    {"texts": ODD, "pairs": ODD[::-1], "length": 24},
]


def test_ids_are_those_of_hugging_face(tmp_path):
    trained = tokenizers.SentencePieceUnigramTokenizer()
    texts = [*kzoo.data.sample_texts(), *ODD]
    trained.train_from_iterator(texts, 800, special_tokens=SPECIAL, unk_token="<unk>")
    ids = [(token, trained.token_to_id(token)) for token in ("</s>", "<s>")]
    trained.post_processor = processors.RobertaProcessing(*ids)
    folder = tmp_path / "model"
    folder.mkdir()
    trained.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **dict(zip(NAMES, SPECIAL, strict=True)),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    run("tokenize", tmp_path / "reference", model=str(folder), cases=CASES)
    tokenizer = Tokenizer.from_folder(folder)
    tokenizer.save(tmp_path / "again")
    with np.load(tmp_path / "reference" / "batches.npz") as expected:
        for each in (tokenizer, Tokenizer.from_folder(tmp_path / "again")):
            assert each.special_ids == set(range(5))
            for index, case in enumerate(CASES):
                batch = each(case["texts"], case.get("pairs"), length=case["length"])
                for name, array in batch.items():
                    np.testing.assert_array_equal(array, expected[f"{name}_{index}"])
