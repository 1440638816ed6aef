"""Augmentation against one image at a time in plain loops, and what loaders promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from po_nas.errors import CorruptImageError
from po_nas.training.data.augmentation import crops, cut_out, jitter, mirrored, normalised
from po_nas.training.data.images import Images
from po_nas.training.data.loaders import ResidentLoader, StreamedLoader
from po_nas.training.data_sets import ImageSet, image_set
from po_nas.training.recipe import Augmentation
from tests.errors import raised
from tests.training.toy_images import arrays, png

CPU = torch.device("cpu")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_crops_are_windows_of_the_padded_image():
    pixels = torch.from_numpy(arrays(6, size=8)[0])
    padded = functional.pad(pixels, (0, 0, 2, 2, 2, 2))
    rows = torch.tensor([3, 0, 5, 3, 1, 2])
    found = crops(padded, rows, 2, True, generator())
    assert found.shape == (6, 8, 8, 3)
    seen = set()
    for image, row in zip(found, rows, strict=True):
        windows = {
            (y, x, mirror): (padded[row, y : y + 8, x : x + 8].flip(1) if mirror else padded[row, y : y + 8, x : x + 8])
            for y in range(5) for x in range(5) for mirror in (False, True)
        }  # fmt: skip
        matching = [key for key, window in windows.items() if torch.equal(window, image)]
        assert matching
        seen.update(matching)
    assert len(seen) > 2
    assert {mirror for _, _, mirror in seen} == {False, True}
    plain = crops(pixels, rows, 0, False, generator())
    assert torch.equal(plain, pixels[rows])


def test_offsets_cover_their_range():
    image = torch.arange(36, dtype=torch.uint8).view(1, 6, 6, 1)
    found = crops(image, torch.zeros(500, dtype=torch.long), 1, False, generator())
    assert sorted({int(v) for v in found[:, 0, 0, 0]}) == [0, 1, 2, 6, 7, 8, 12, 13, 14]


def test_mirrored_and_normalised():
    images = torch.rand(40, 3, 4, 4)
    found = mirrored(images, generator())
    turned = [torch.equal(f, i.flip(-1)) for f, i in zip(found, images, strict=True)]
    assert 10 < sum(turned) < 30
    assert all(t or torch.equal(f, i) for t, f, i in zip(turned, found, images, strict=True))
    grey = normalised(torch.full((2, 4, 4, 1), 255, dtype=torch.uint8), torch.tensor([0.5]), torch.tensor([0.25]))
    assert grey.shape == (2, 3, 4, 4)
    assert torch.equal(grey, torch.full((2, 3, 4, 4), 2.0))


def test_cutout_clears_one_square_each():
    found = cut_out(torch.ones(200, 3, 8, 8), 4, generator())
    sizes = set()
    for image in found:
        assert torch.equal(image[0], image[1])
        rows, columns = (image[0] == 0).any(1).nonzero().flatten(), (image[0] == 0).any(0).nonzero().flatten()
        height, width = len(rows), len(columns)
        assert (image[0] == 0).sum() == height * width
        assert torch.equal(rows, torch.arange(int(rows[0]), int(rows[0]) + height))
        sizes.add((height, width))
    assert max(sizes) == (4, 4)
    assert min(sizes) == (2, 2)  # the centre may lie on the border


def test_jitter():
    images = torch.rand(5, 3, 6, 6)
    torch.testing.assert_close(jitter(images, (0.0, 0.0, 0.0, 0.0), generator()), images)
    dark = 0.1 + images * 0.5
    factors = (jitter(dark, (0.3, 0.0, 0.0, 0.0), generator()) / dark).flatten(1)
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors), rtol=1e-4, atol=1e-4)
    assert factors[:, 0].std() > 0.01
    # Turning the hue leaves the brightness of what is not clipped.
    pastel = 0.4 + 0.2 * images
    turned = jitter(pastel, (0.0, 0.0, 0.0, 0.2), generator())
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    torch.testing.assert_close((turned * weights).sum(1), (pastel * weights).sum(1), atol=2e-3, rtol=0)
    assert (turned - pastel).abs().max() > 0.02


# -- loaders ------------------------------------------------------------------------------------------------------

WIDE = ImageSet("wide", 10, 16, (0.4, 0.5, 0.6), (0.2, 0.2, 0.2), "", "", streamed=True)


def resident(n=31, **augmentation):
    pixels, labels = arrays(n, channels=1)
    return ResidentLoader(
        image_set("digits"), Images.checked(image_set("digits"), pixels, labels), CPU, Augmentation(**augmentation)
    )


def streamed(tmp_path, n=31, workers=0, **augmentation):
    pixels, labels = arrays(n, size=20)
    files = []
    for i, image in enumerate(pixels):
        files.append(tmp_path / f"{i}.png")
        files[-1].write_bytes(png(image))
    return StreamedLoader(WIDE, files, labels.tolist(), CPU, Augmentation(**augmentation), workers)


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_an_epoch_is_every_image_once_and_a_function_of_its_seed(kind, tmp_path):
    settings = {"flip": True, "cutout": 3, "jitter": (0.1, 0.1, 0.1, 0.1)}
    loader = resident(crop=1, **settings) if kind == "resident" else streamed(tmp_path, **settings)
    state = torch.random.get_rng_state()
    first, again, other = (list(loader.shuffled(10, seed)) for seed in (1, 1, 2))
    assert [len(y) for _, y in first] == [10, 10, 10]  # the last image alone is left out
    for (x, y), (x2, y2) in zip(first, again, strict=True):
        assert torch.equal(x, x2)
        assert torch.equal(y, y2)
    assert not torch.equal(first[0][1], other[0][1])
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(x.isfinite().all() and x.dtype == torch.float32 and x.shape[1] == 3 for x, _ in first)
    plain = list(loader.in_order(10))
    assert torch.cat([y for _, y in plain]).tolist() == (np.arange(31) % 10).tolist()


def test_padding_is_not_validated_on():
    padded, plain = resident(crop=2), resident()
    assert torch.equal(next(padded.in_order(31))[0], next(plain.in_order(31))[0])


def test_processes_decode_the_same_images(tmp_path):
    one, many = (list(streamed(tmp_path, workers=w, flip=True).shuffled(16, 3)) for w in (0, 1))
    for (x, y), (x2, y2) in zip(one, many, strict=True):
        assert torch.equal(x, x2)
        assert torch.equal(y, y2)


def test_a_corrupt_file_is_named_while_training(tmp_path):
    loader = streamed(tmp_path)
    (tmp_path / "7.png").write_bytes(b"no image")
    with raised(CorruptImageError, where=tmp_path / "7.png"):
        list(loader.shuffled(16, 0))
