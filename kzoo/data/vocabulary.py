"""Vocabularies trained on texts."""

from collections.abc import Iterable

import tokenizers

from kzoo.arguments import is_integer
from kzoo.data.special_tokens import BERT, SPECIAL, around_texts
from kzoo.data.tokenizer import Tokenizer

_LEAST = 100


def train_word_pieces(texts: Iterable[str], vocab_size: int, lowercase: bool = True) -> Tokenizer:
    """Train a vocabulary of word pieces, as BERT has it.

    Two trainings on the same texts may differ in pieces that are equally frequent.

    Args:
        texts: The texts.
        vocab_size: The largest number of tokens; of short texts there are fewer.
        lowercase: Whether case and accents are ignored.

    Returns:
        The tokenizer.

    Raises:
        ValueError: If `vocab_size` is too small.

    References:
        Devlin et al., BERT, 2018, section 3. https://arxiv.org/abs/1810.04805
    """
    if not is_integer(vocab_size, least=_LEAST):
        raise ValueError(
            f"`vocab_size` must be an integer of at least {_LEAST}. "
            f"Received: vocab_size={vocab_size!r}"
        )
    backend = tokenizers.BertWordPieceTokenizer(lowercase=lowercase)
    special = [BERT[name] for name in SPECIAL]
    backend.train_from_iterator(
        texts, vocab_size=vocab_size, special_tokens=special, show_progress=False
    )
    content = tokenizers.Tokenizer.from_str(backend.to_str())
    ids = content.get_vocab()
    cls, sep = ((token, ids[token]) for token in (BERT["cls_token"], BERT["sep_token"]))
    content.post_processor = around_texts(cls, sep)
    return Tokenizer(content, {"do_lower_case": lowercase})
