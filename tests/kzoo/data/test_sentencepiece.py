"""Unigram models in SentencePiece's own files, beside `transformers` and SentencePiece itself."""

import io
import json
import shutil

import numpy as np
import pytest

import kzoo
from kzoo.data import Tokenizer
from kzoo.data.sentencepiece_model import KINDS, read
from tests.huggingface import run
from tests.kzoo.data.test_tokenizer import ODD, lines

pytestmark = pytest.mark.once

# What each kind has among the pieces of its model, besides `<unk>`.
OWN = {
    "XLMRobertaTokenizer": ("sentencepiece.bpe.model", {}),
    "CamembertTokenizer": ("sentencepiece.bpe.model", {}),
    "AlbertTokenizer": (
        "spiece.model",
        {"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1},
    ),
    "DebertaV2Tokenizer": (
        "spm.model",
        {"pad_id": 0, "bos_id": 1, "eos_id": 2, "unk_id": 3, "pad_piece": "[PAD]"}
        | {"bos_piece": "[CLS]", "eos_piece": "[SEP]", "unk_piece": "[UNK]"},
    ),
}
SETTINGS = [
    ("XLMRobertaTokenizer", {}),
    ("CamembertTokenizer", {}),
    ("AlbertTokenizer", {}),
    ("AlbertTokenizer", {"do_lower_case": False, "keep_accents": True}),
    ("DebertaV2Tokenizer", {}),
    ("DebertaV2Tokenizer", {"do_lower_case": True, "split_by_punct": True}),
]
CASES = [
    {"texts": lines(), "length": 32},
    {"texts": ODD, "pairs": ODD[::-1], "length": 24},
]


def train(**options) -> bytes:
    """Train a small model on the packaged texts."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(
            [*kzoo.data.sample_texts(), *(text for text in ODD if text.strip())]
        ),
        model_writer=model,
        minloglevel=2,
        **{"vocab_size": 600, "hard_vocab_limit": False, "num_threads": 1, **options},
    )
    return model.getvalue()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder for each kind and setting, with nothing but the model and its settings."""
    trained, made = {}, []
    for index, (kind, settings) in enumerate(SETTINGS):
        folder = tmp_path_factory.mktemp("folders") / f"{index}_{kind}"
        folder.mkdir()
        name, options = OWN[kind]
        special = {"control_symbols": ["[CLS]", "[SEP]", "[MASK]"]} if kind[0] == "A" else {}
        if kind not in trained:
            trained[kind] = train(**options, **special)
        (folder / name).write_bytes(trained[kind])
        config = {"tokenizer_class": kind, **settings}
        (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
        made.append(folder)
    return made


@pytest.mark.parametrize("index", range(len(SETTINGS)), ids=[str(each) for each in SETTINGS])
def test_ids_are_those_of_transformers(folders, index, tmp_path):
    run("tokenize", tmp_path / "reference", model=str(folders[index]), cases=CASES)
    tokenizer = Tokenizer.from_folder(folders[index])
    tokenizer.save(tmp_path / "again")
    with np.load(tmp_path / "reference" / "batches.npz") as expected:
        for each in (tokenizer, Tokenizer.from_folder(tmp_path / "again")):
            for number, case in enumerate(CASES):
                batch = each(case["texts"], case.get("pairs"), length=case["length"])
                for name, array in batch.items():
                    np.testing.assert_array_equal(array, expected[f"{name}_{number}"])


def test_pieces_are_those_of_sentencepiece(folders):
    import sentencepiece

    path = folders[0] / "sentencepiece.bpe.model"
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(path))
    model = read(path)
    count = theirs.get_piece_size()
    assert [piece for piece, _ in model.pieces] == [theirs.id_to_piece(i) for i in range(count)]
    assert [score for _, score in model.pieces] == [theirs.get_score(i) for i in range(count)]
    assert model.unknown_id == theirs.unk_id()
    tokenizer = Tokenizer.from_folder(folders[0])
    batch = tokenizer(kzoo.data.sample_texts(), length=128)
    for row, text in zip(batch["token_ids"], kzoo.data.sample_texts(), strict=True):
        # One more piece is before those of the model: <pad>; the first three have another order.
        ids = [number + 1 if number else 3 for number in theirs.encode(text)]
        assert row.tolist()[: min(len(ids), 126) + 1] == [0, *ids][:127]


def test_kind_follows_from_the_model_type(folders, tmp_path):
    shutil.copy(folders[0] / "sentencepiece.bpe.model", tmp_path)
    with pytest.raises(ValueError, match=r"is one of XLMRobertaTokenizer.*tokenizer_class=None"):
        Tokenizer.from_folder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "xlm-roberta"}')
    tokenizer = Tokenizer.from_folder(tmp_path)
    assert tokenizer.inputs == ("token_ids", "padding_mask")
    batch = tokenizer(["one text"], length=8)
    expected = Tokenizer.from_folder(folders[0])(["one text"], length=8)
    np.testing.assert_array_equal(batch["token_ids"], expected["token_ids"])


@pytest.mark.parametrize(
    "damage", [lambda data: data[:1000], lambda data: b"no model", lambda _: b""]
)
def test_damaged_files_are_one_clear_error(folders, tmp_path, damage):
    path = folders[0] / "sentencepiece.bpe.model"
    (tmp_path / "spiece.model").write_bytes(damage(path.read_bytes()))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "AlbertTokenizer"}')
    with pytest.raises(ValueError, match=r"The file must be a .*model of SentencePiece\. Received"):
        Tokenizer.from_folder(tmp_path)


def test_byte_pairs_of_sentencepiece_are_refused(tmp_path):
    (tmp_path / "spiece.model").write_bytes(train(model_type="bpe"))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "AlbertTokenizerFast"}')
    with pytest.raises(ValueError, match="The file must be a Unigram model"):
        Tokenizer.from_folder(tmp_path)


def test_every_kind_is_tried():
    assert {kind for kind, _ in SETTINGS} == set(KINDS)
