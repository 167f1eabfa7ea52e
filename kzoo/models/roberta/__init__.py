"""RoBERTa (Liu et al., 2019, https://arxiv.org/abs/1907.11692)."""
