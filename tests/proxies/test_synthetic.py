from __future__ import annotations

import numpy as np
import pytest
import torch

from po_nas.errors import ConfigError, RenamedWarning
from proxies.synthetic import synthetic_images
from tests.errors import raised


def test_a_batch_is_a_function_of_its_arguments():
    first, again, other = (synthetic_images(6, 4, 16, seed=seed) for seed in (0, 0, 1))
    assert first.inputs[0].shape == (6, 3, 16, 16)
    assert first.inputs[0].dtype == torch.float32
    assert first.labels.tolist() == [0, 1, 2, 3, 0, 1]
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()


def test_the_images_look_like_images():
    images = synthetic_images(64, 4, 32, seed=3).inputs[0].double()
    assert float(images.std()) == pytest.approx(1, abs=1e-3)

    def correlation(a, b):
        return float(np.corrcoef(a.flatten(), b.flatten())[0, 1])

    assert correlation(images[..., 1:], images[..., :-1]) > 0.6  # neighbouring pixels
    assert correlation(images[:, 0], images[:, 1]) > 0.6  # channels
    assert correlation(images[0::4][:-1], images[0::4][1:]) > correlation(images[0::4], images[1::4]) + 0.1  # classes


def test_an_argument_is_taken_by_its_old_name_alone():
    with pytest.warns(RenamedWarning):
        assert synthetic_images(3, classes=2, size=4).labels.tolist() == [0, 1, 0]
    with pytest.raises(TypeError):
        synthetic_images(3, classes=2, num_classes=5, size=4)


def test_fewer_samples_than_classes():
    assert synthetic_images(3, 100, 8).labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["samples", "num_classes", "size", "channels"])
def test_bad_sizes(name):
    with raised(ConfigError, key=name, value=0):
        synthetic_images(**{"samples": 2, "num_classes": 2, "size": 4, "channels": 1} | {name: 0})
