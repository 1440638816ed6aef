"""Made-up text that anybody can draw again, for scoring language models without a corpus."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from po_nas.errors import ConfigError
from proxies.batch import Batch

__all__ = ["synthetic_tokens"]

_FOLLOWS, _REPEATS, _OF_CLASS = 0.3, 0.2, 0.3
"""Shares of words that follow from the one before, that were there before, and that are of the text's class."""
_CLASS_WORDS = 100


def synthetic_tokens(
    samples: int, tokens: int = 64, vocabulary: int = 50_254, num_classes: int | None = None, seed: int = 0
) -> Batch:
    """A batch of texts (samples, tokens), numbers of words below `vocabulary`.

    Labels are the next word of each word, (samples, tokens), or, with `num_classes`, classes 0 … num_classes − 1 in
    turn, (samples,).

    Words are drawn by Zipf's law: the word of rank r with a probability ∝ 1 / r, ranks being in no order of numbers.
    As in real text one word makes another likely (some words are the fixed successor of the word before), words come
    back, and, with classes, some are of a list of the text's class. `seed` decides everything; the same texts come out
    on every machine.

    Reference: Zipf, Human Behavior and the Principle of Least Effort, 1949 (the frequencies).
    """
    given = (("samples", samples), ("tokens", tokens), ("num_classes", 1 if num_classes is None else num_classes))
    for name, value in given:
        if value < 1:
            raise ConfigError(name, value, "must be at least 1")
    if vocabulary < 2:
        raise ConfigError("vocabulary", vocabulary, "must be at least 2")
    rng = np.random.default_rng(seed)
    frequencies = np.cumsum(1 / np.arange(1, vocabulary + 1))
    by_rank, successors = rng.permutation(vocabulary), rng.permutation(vocabulary)

    def drawn(*shape: int) -> NDArray[np.int64]:
        ranks = np.searchsorted(frequencies, rng.random(shape) * frequencies[-1])
        words: NDArray[np.int64] = by_rank[np.minimum(ranks, vocabulary - 1)]
        return words

    length = tokens + (num_classes is None)
    texts = drawn(samples, length)
    kinds, places = rng.random((samples, length)), rng.random((samples, length))
    classes = np.arange(samples) % (num_classes or 1)
    if num_classes is not None:
        own = drawn(num_classes, _CLASS_WORDS)
        texts = np.where(kinds >= 1 - _OF_CLASS, own[classes[:, None], (places * _CLASS_WORDS).astype(int)], texts)
    for at in range(1, length):
        before = texts[np.arange(samples), (places[:, at] * at).astype(int)]
        follows, repeats = kinds[:, at] < _FOLLOWS, kinds[:, at] < _FOLLOWS + _REPEATS
        texts[:, at] = np.select([follows, repeats], [successors[texts[:, at - 1]], before], texts[:, at])
    found = torch.from_numpy(texts.astype(np.int64))
    if num_classes is None:
        return Batch((found[:, :-1].contiguous(),), found[:, 1:].contiguous())
    return Batch((found,), torch.from_numpy(classes))
