"""Reading image data sets, in every layout and in every state of decay."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from po_nas.errors import ClassCountError, ConfigError, CorruptImageError, MissingImagesError, UnknownNameError
from po_nas.training.data import image_set, locate, names, open_data, stratified
from po_nas.training.data.layouts import split_reader
from tests.errors import check, raised
from tests.training.toy_images import arrays, tiny_recipe, write_folders, write_idx, write_parquet

CPU = torch.device("cpu")


def test_the_sets():
    assert names() == ["cifar10", "cifar100", "digits", "fashion-mnist", "imagenet"]
    with raised(UnknownNameError, name="cifar-10", suggestion="cifar10"):
        image_set("cifar-10")


@pytest.mark.parametrize("layout", ["parquet", "parts", "folders", "jpg"])
def test_every_layout_gives_the_same_images(tmp_path, layout):
    kind = image_set("cifar10")
    pixels, labels = arrays(40, size=32)
    if layout == "parquet":
        write_parquet(tmp_path / "plain_text" / "train-00000-of-00001.parquet", pixels, labels)
    elif layout == "parts":
        write_parquet(tmp_path / "train-00000-of-00002.parquet", pixels[:25], labels[:25], image="image")
        write_parquet(tmp_path / "train-00001-of-00002.parquet", pixels[25:], labels[25:], image="image")
    else:
        write_folders(tmp_path / "train", pixels, labels, "png" if layout == "folders" else "jpg")
    found = split_reader(kind, tmp_path, "train")()
    if "parquet" not in layout and layout != "parts":
        order = sorted(range(40), key=lambda i: (labels[i], f"{i}.png"))
        pixels, labels = pixels[order], labels[order]
    np.testing.assert_array_equal(found.pixels.numpy(), pixels)
    np.testing.assert_array_equal(found.labels.numpy(), labels)


@pytest.mark.parametrize("gz", [True, False])
def test_idx_files(tmp_path, gz):
    pixels, labels = arrays(30, size=28, channels=1)
    write_idx(tmp_path, "train", pixels, labels, gz)
    write_idx(tmp_path, "test", pixels[::-1].copy(), labels[::-1].copy(), gz)
    kind = image_set("fashion-mnist")
    np.testing.assert_array_equal(split_reader(kind, tmp_path, "train")().pixels.numpy(), pixels)
    np.testing.assert_array_equal(split_reader(kind, tmp_path, "test")().labels.numpy(), labels[::-1])


def test_the_fine_labels_of_cifar100(tmp_path):
    pixels, labels = arrays(100, classes=100, size=32)
    write_parquet(tmp_path / "train.parquet", pixels, labels, label="fine_label")
    assert split_reader(image_set("cifar100"), tmp_path, "train")().labels.tolist() == labels.tolist()


def test_digits_have_a_test_set_of_their_own():
    data = open_data(image_set("digits"), None, tiny_recipe(validation=0.25), device=CPU)
    assert (len(data.train), len(data.validation), len(data.test())) == (1078, 360, 359)
    assert locate(image_set("digits")) is None


# -- decay --------------------------------------------------------------------------------------------------------


def test_a_missing_folder_says_what_to_do(tmp_path, monkeypatch):
    kind = image_set("cifar10")
    monkeypatch.setenv("PO_NAS_IMAGES", str(tmp_path))
    with raised(MissingImagesError, "training.data=DIR", dataset="cifar10", folder=tmp_path / "cifar10") as caught:
        locate(kind)
    assert caught.value.remedy == kind.remedy
    with raised(MissingImagesError, "training.data=DIR", dataset="cifar10", folder=tmp_path / "nowhere"):
        locate(kind, str(tmp_path / "nowhere"))
    # Said at once, and not after the first training.
    for split in ("train", "test"):
        (tmp_path / "cifar10").mkdir(exist_ok=True)
        with raised(MissingImagesError, f"{split}*.parquet", f"{split}/", folder=tmp_path / "cifar10"):
            locate(kind)
        write_parquet(tmp_path / "cifar10" / f"{split}.parquet", *arrays(10, size=32))
    assert locate(kind) == tmp_path / "cifar10"
    imagenet = tmp_path / "imagenet"
    (imagenet / "train").mkdir(parents=True)
    with raised(MissingImagesError, "val", "validation", dataset="imagenet", folder=imagenet):
        locate(image_set("imagenet"))
    (imagenet / "validation").mkdir()
    assert locate(image_set("imagenet")) == imagenet


@pytest.mark.parametrize("damage", ["cut", "text", "size", "empty"])
def test_a_corrupt_image_is_named(tmp_path, damage):
    pixels, labels = arrays(20, size=32)
    write_folders(tmp_path / "train", pixels, labels)
    path = tmp_path / "train" / "class003" / "13.png"
    if damage == "size":
        write_folders(tmp_path / "train", arrays(14, size=16)[0][13:], [3])
        path = tmp_path / "train" / "class003" / "0.png"
    else:
        data = path.read_bytes()
        path.write_bytes({"cut": data[: len(data) // 2], "text": b"no image", "empty": b""}[damage])
    with raised(CorruptImageError, where=path) as caught:
        split_reader(image_set("cifar10"), tmp_path, "train")()
    if damage == "size":
        check(caught.value, "16 × 16", "32 × 32")
    else:
        assert caught.value.__cause__ is not None


@pytest.mark.parametrize("labels", [None, "three", "3", float("nan"), 3.7, 3.0, [3], {"is": 3}, 2**70], ids=str)
def test_labels_that_are_no_integers(tmp_path, labels):
    """A whole column of them, for a column has one type; Arrow refuses to write the last."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_parquet(tmp_path / "train.parquet", *arrays(20, size=32), label="label")
    table = pq.read_table(tmp_path / "train.parquet").to_pylist()
    try:
        wrong = pa.Table.from_pylist([row | {"label": labels} for row in table])
    except OverflowError:
        wrong = pa.Table.from_pylist([row | {"label": str(labels)} for row in table])
    pq.write_table(wrong, tmp_path / "train.parquet")
    with pytest.raises(CorruptImageError):
        split_reader(image_set("cifar10"), tmp_path, "train")()


def test_images_that_are_text_are_not_taken_for_paths(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    picture = tmp_path / "secret.png"
    write_folders(tmp_path / "x", *arrays(10, size=32))
    picture.write_bytes(next((tmp_path / "x").rglob("*.png")).read_bytes())
    pq.write_table(pa.table({"img": [str(picture)] * 10, "label": list(range(10))}), tmp_path / "train.parquet")
    with pytest.raises(CorruptImageError):
        split_reader(image_set("cifar10"), tmp_path, "train")()


def test_idx_files_whose_dimensions_overflow(tmp_path):
    """2^31 x 2^31 x 4 is 0 in 64 bits, and so many bytes are there."""
    write_idx(tmp_path, "train", *arrays(30, size=28, channels=1), gz=False)
    sizes = np.array([2**31, 2**31, 4], ">u4").tobytes()
    (tmp_path / "train-images-idx3-ubyte").write_bytes(bytes([0, 0, 8, 3]) + sizes)
    with pytest.raises(CorruptImageError):
        split_reader(image_set("fashion-mnist"), tmp_path, "train")()


@pytest.mark.parametrize("damage", ["cut", "column", "image", "label"])
def test_corrupt_parquet_files(tmp_path, damage):
    path = tmp_path / "train.parquet"
    pixels, labels = arrays(20, size=32)
    write_parquet(path, pixels, labels, label="klass" if damage == "column" else "label")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    if damage in {"image", "label"}:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pq.read_table(path).to_pylist()
        table[7] |= {"label": None} if damage == "label" else {"img": {"bytes": b"x", "path": ""}}
        pq.write_table(pa.Table.from_pylist(table), path)
    with raised(CorruptImageError, path) as caught:
        split_reader(image_set("cifar10"), tmp_path, "train")()
    if damage == "column":
        check(caught.value, "label,", "img, klass", where=path)
    else:
        assert ("image 7" in caught.value.where) == (damage in {"image", "label"})
        assert (caught.value.__cause__ is None) == (damage == "label")
        assert (" None" in caught.value.reason) == (damage == "label")


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda data: data[:-1], [30 * 28 * 28 - 1, 30 * 28 * 28]),
        (lambda data: b"\x01" + data[1:], [3]),
        (lambda data: data[:3], [3]),
    ],
)
def test_corrupt_idx_files(tmp_path, spoil, named):
    write_idx(tmp_path, "train", *arrays(30, size=28, channels=1), gz=False)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(spoil(path.read_bytes()))
    with raised(CorruptImageError, *named, where=path):
        split_reader(image_set("fashion-mnist"), tmp_path, "train")()


def test_a_cut_gzip_file(tmp_path):
    write_idx(tmp_path, "train", *arrays(30, size=28, channels=1))
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with raised(CorruptImageError, "EOFError", where=path):
        split_reader(image_set("fashion-mnist"), tmp_path, "train")()


@pytest.mark.parametrize("classes", [9, 11])
@pytest.mark.parametrize("layout", ["parquet", "folders"])
def test_a_wrong_number_of_classes(tmp_path, classes, layout):
    pixels, labels = arrays(33, classes=classes, size=32)
    if layout == "parquet":
        write_parquet(tmp_path / "train.parquet", pixels, labels)
    else:
        write_folders(tmp_path / "train", pixels, labels)
    with raised(ClassCountError, dataset="cifar10", expected=10) as caught:
        split_reader(image_set("cifar10"), tmp_path, "train")()
    assert caught.value.found.split()[0] == str(classes)


# -- splits -------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(10, 40), min_size=2, max_size=6),
    share=st.floats(0.15, 0.7),
    seed=st.integers(0, 5),
)
def test_splits_keep_shares_and_lose_nothing(counts, share, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    larger, smaller = stratified(labels, share, seed=seed)
    assert sorted([*larger, *smaller]) == list(range(len(labels)))
    assert len(smaller) == round(sum(c * share for c in counts))
    for c, n in enumerate(counts):
        assert abs(np.sum(labels[smaller] == c) - n * share) < 1
    again = stratified(labels, share, seed=seed)
    np.testing.assert_array_equal(again[1], smaller)


def test_splits_depend_on_their_seed_and_refuse_to_empty_a_class():
    labels = np.repeat(np.arange(5), 20)
    assert stratified(labels, 0.5, seed=0)[0].tolist() != stratified(labels, 0.5, seed=1)[0].tolist()
    assert len(stratified(labels, 0.0, seed=0)[1]) == 0
    with raised(ConfigError, "20", value=0.02):
        stratified(labels, 0.02, seed=0)
    with raised(ConfigError, value=1.0):
        stratified(labels, 1.0, seed=0)


def test_validation_comes_from_the_training_images_alone(tmp_path):
    """Test images are read when they are asked for and not before; samples are drawn before the split."""
    pixels, labels = arrays(200, size=32)
    write_parquet(tmp_path / "train.parquet", pixels, labels)
    (tmp_path / "test.parquet").touch()
    data = open_data(image_set("cifar10"), tmp_path, tiny_recipe(validation=0.2), device=CPU, samples=100)
    assert (len(data.train), len(data.validation)) == (80, 20)
    write_parquet(tmp_path / "test.parquet", pixels[:50], labels[:50])
    assert len(data.test()) == 50
    everything = open_data(image_set("cifar10"), tmp_path, tiny_recipe(validation=0.0), device=CPU)
    assert (len(everything.train), everything.validation) == (200, None)
