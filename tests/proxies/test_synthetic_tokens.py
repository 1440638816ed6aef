"""Made-up texts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from po_nas.errors import ConfigError
from proxies.synthetic_tokens import synthetic_tokens
from tests.errors import raised


def test_labels_are_the_next_words():
    batch = synthetic_tokens(3, 9, 50)
    assert batch.inputs[0].shape == batch.labels.shape == (3, 9)
    assert torch.equal(batch.inputs[0][:, 1:], batch.labels[:, :-1])
    assert batch.inputs[0].dtype == torch.int64


def test_classes():
    batch = synthetic_tokens(5, 9, 50, num_classes=2)
    assert batch.inputs[0].shape == (5, 9)
    assert batch.labels.tolist() == [0, 1, 0, 1, 0]


def test_a_seed_decides_everything():
    one, same, other = (synthetic_tokens(4, 16, 1_000, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.inputs[0], same.inputs[0])
    assert not torch.equal(one.inputs[0], other.inputs[0])


def test_frequencies_fall_as_ranks_rise():
    words = synthetic_tokens(200, 200, 5_000).inputs[0].numpy().ravel()
    counts = np.sort(np.bincount(words, minlength=5_000))[::-1]
    slope = np.polyfit(np.log(np.arange(1, 201)), np.log(counts[:200]), 1)[0]
    assert -1.3 < slope < -0.5
    assert words.max() < 5_000


def test_texts_of_a_class_have_words_in_common():
    words = synthetic_tokens(60, 80, 5_000, num_classes=2).inputs[0].numpy()
    counts = np.stack([np.bincount(words[k::2].ravel(), minlength=5_000) for k in range(2)]).astype(float)
    halves = [np.bincount(words[k:30:2].ravel(), minlength=5_000).astype(float) for k in range(2)]
    own, foreign = (np.corrcoef(halves[0], counts[k])[0, 1] for k in range(2))
    assert own > foreign


@pytest.mark.parametrize(("key", "value"), [("samples", 0), ("tokens", 0), ("vocabulary", 1), ("num_classes", 0)])
def test_bad_sizes(key, value):
    with raised(ConfigError, key=key, value=value):
        synthetic_tokens(**{"samples": 2, "tokens": 4, "vocabulary": 9, key: value})
