import pytest

import kzoo

pytestmark = pytest.mark.once


def test_sample_has_sentences_only():
    texts = kzoo.data.sample_texts()
    assert len(texts) >= 256
    assert len(set(texts)) == len(texts)
    assert not any(text.startswith("#") or text != text.strip() or not text for text in texts)
