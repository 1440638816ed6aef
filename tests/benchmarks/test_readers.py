"""Readers of published formats: they give the content, and run nothing."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from types import FunctionType
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from po_nas import spaces
from po_nas.benchmarks.data.nasbench101 import packed_graphs, unpack
from po_nas.benchmarks.data.nasbench201_rows import row_of_string, row_of_tuple
from po_nas.benchmarks.data.store import without_failures
from po_nas.benchmarks.data.text_files import integers, read_archive, read_csv, tuple_text
from po_nas.benchmarks.data.torch_files import read_torch_file, read_torch_weights
from po_nas.benchmarks.data.transnas import complete, features
from po_nas.benchmarks.unpickle import read_frame, read_pickle_bytes
from po_nas.errors import DataError, UnsafePickleError
from tests.errors import raised


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class Hostile:
    """Pickles to a call of a function of the caller's choice."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def in_torch_zip(data, name):
    return read_torch_file(zipped({"archive/data.pkl": data}), name)


def in_weights(data, name):
    return read_torch_weights(zipped({"archive/data.pkl": data}), name)


@pytest.mark.parametrize("read", [read_pickle_bytes, read_frame, in_torch_zip, in_weights])
def test_a_hostile_pickle_is_refused_and_does_not_run(read, tmp_path):
    marker = tmp_path / "it-ran"
    payload = pickle.dumps({"data": Hostile(os.mkdir, str(marker))})
    with raised(UnsafePickleError, wanted="posix.mkdir"):
        read(payload, "hostile.pkl")
    assert not marker.exists()
    pickle.loads(payload)
    assert marker.exists()


@pytest.mark.parametrize("function", [eval, getattr, __import__, np.load, np.fromfile, memoryview])
def test_nothing_callable_gets_through_the_frame_reader(function):
    with pytest.raises(UnsafePickleError):
        read_frame(pickle.dumps(Hostile(function, "1")), "hostile.pd")


def test_an_index_is_made_of_stand_ins_only():
    # The reconstruction function is allowed, but not with a class of the caller's choice.
    payload = b"\x80\x04cpandas.core.indexes.base\n_new_Index\ncbuiltins\nslice\n}\x86R."
    with raised(DataError, "hostile.pd", "slice"):
        read_frame(payload, "hostile.pd")


class Frame:
    def __init__(self, blocks):
        self._data = blocks


class Blocks:
    def __init__(self, *state):
        self.state = state

    def __getstate__(self):
        return self.state


def new_index(kind, content):
    raise AssertionError("only its name is pickled")


class Index:
    def __init__(self, names):
        self.content = {"data": np.array(names, object), "name": None}

    def __reduce__(self):
        return new_index, (Index, self.content)


class FramePickler(pickle._Pickler):
    """Writes these classes under the names of pandas 1, which need not be installed."""

    NAMES: ClassVar = {
        Frame: b"pandas.core.frame\nDataFrame",
        Blocks: b"pandas.core.internals.managers\nBlockManager",
        Index: b"pandas.core.indexes.base\nIndex",
        new_index: b"pandas.core.indexes.base\n_new_Index",
    }

    def save_global(self, obj, name=None):
        if obj in self.NAMES:
            self.write(b"c" + self.NAMES[obj] + b"\n")
            self.memoize(obj)
        else:
            super().save_global(obj, name)

    dispatch = {**pickle._Pickler.dispatch, FunctionType: save_global}  # noqa: RUF012


def frame_pickle():
    """A frame with two numeric columns and one of strings."""
    blocks = [np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([["a", "b"]], object)]
    items = [Index(["x", "y"]), Index(["text"])]
    buffer = io.BytesIO()
    FramePickler(buffer, 4).dump(Frame(Blocks([], blocks, items, {})))
    return buffer.getvalue()


def test_a_frame_is_read_without_pandas():
    frame = read_frame(frame_pickle(), "frame.pd")
    assert list(frame) == ["x", "y", "text"]
    np.testing.assert_array_equal(frame["y"], [3.0, 4.0])
    assert frame["text"].tolist() == ["a", "b"]


@pytest.mark.parametrize("content", [b"", b"garbage", pickle.dumps([1, 2]), frame_pickle()[:-40]])
def test_a_damaged_frame_is_a_data_error(content):
    with raised(DataError, "frame.pd"):
        read_frame(content, "frame.pd")


def test_a_torch_file_of_plain_containers():
    data = zipped({"archive/data.pkl": pickle.dumps({"|none~0|": 3}, 2), "archive/version": "3"})
    assert read_torch_file(data, "x.pt") == {"|none~0|": 3}


def test_a_torch_file_with_a_storage_is_refused():
    class WithStorage(pickle.Pickler):
        def persistent_id(self, value):
            return "storage" if value == 3.5 else None

    buffer = io.BytesIO()
    WithStorage(buffer, 2).dump(["tensor", 3.5])
    with raised(UnsafePickleError, "'storage'", path=Path("x.pt")):
        in_torch_zip(buffer.getvalue(), "x.pt")


@pytest.mark.parametrize("read", [read_torch_file, read_torch_weights])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", zipped({"archive/version": "3"})])
def test_a_damaged_torch_file_is_a_data_error(content, read):
    with raised(DataError, "x.pt"):
        read(content, "x.pt")


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def test_weights_are_those_that_torch_reads():
    layer = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1)).state_dict()
    found = read_torch_weights(saved(layer), "x.pth")
    assert list(found) == list(layer)
    for name, weights in layer.items():
        np.testing.assert_array_equal(found[name], weights.numpy())


@pytest.mark.parametrize(
    "value",
    [
        {"a": torch.zeros(2, 3).T},
        {"a": torch.zeros(4)[1:]},
        {"a": torch.zeros(4)[:2]},
        {"a": 1.0},
        [torch.zeros(2)],
    ],
)
def test_weights_that_are_not_stored_plainly(value):
    with raised(DataError, "x.pth"):
        read_torch_weights(saved(value), "x.pth")


def test_weights_of_another_precision_and_other_objects():
    for value, wanted in (({"a": torch.zeros(2, dtype=torch.float64)}, "torch.DoubleStorage"), (Path("x"), None)):
        with raised(UnsafePickleError, **({} if wanted is None else {"wanted": wanted})):
            read_torch_weights(saved(value), "x.pth")


def test_a_storage_that_is_shorter_than_it_says():
    whole = zipfile.ZipFile(io.BytesIO(saved({"a": torch.zeros(4)})))
    members = {name: whole.read(name) for name in whole.namelist()}
    (numbers,) = (name for name in members if name.endswith("/data/0"))
    for content in (members[numbers][:-4], members[numbers] + bytes(4), b""):
        with raised(DataError, "x.pth"):
            read_torch_weights(zipped(members | {numbers: content}), "x.pth")
    with raised(DataError, "x.pth"):
        read_torch_weights(zipped({name: c for name, c in members.items() if name != numbers}), "x.pth")


def test_an_archive_of_scores():
    record = '[{"idx": "7", "arch": "(1, 2)", "zen": {"score": -1e8, "time": 0.5}, "val_accuracy": 50.0}]'
    content = zipped({"zen/": "", "zen/benchmark--space--data--0.json": record})
    (read,) = read_archive(content, "scores.zip")
    assert (read.space, read.dataset, read.index, read.metric) == ("space", "data", 7, "zen")
    assert (read.architecture, read.score, read.seconds, read.accuracy) == ("(1, 2)", -1e8, 0.5, 50.0)


@pytest.mark.parametrize(
    "content",
    [b"no archive", zipped({"zen/benchmark--s--d--0.json": "[{"}), zipped({"zen/b--s--d--0.json": '[{"idx": "0"}]'})],
)
def test_a_damaged_archive_is_a_data_error(content):
    with raised(DataError, "scores.zip"):
        list(read_archive(content, "scores.zip"))


def test_failures_become_nan():
    cleaned = without_failures(np.array([-1e8, np.inf, -np.inf, 3.0, np.nan]))
    np.testing.assert_array_equal(cleaned, [np.nan, np.nan, np.nan, 3.0, np.nan])


def test_csv_fields_may_hold_commas():
    assert read_csv(b'net,x\n"(4, 0)",1.5\n"(1, 2)",\n') == {"net": ["(4, 0)", "(1, 2)"], "x": ["1.5", ""]}


nested = st.recursive(st.integers(0, 9), lambda inner: st.lists(inner, min_size=1, max_size=3), max_leaves=9)


@given(st.lists(nested, min_size=1, max_size=4))
def test_one_spelling_of_nested_tuples(value):
    text = tuple_text(str(value))
    assert tuple_text(text) == text
    assert text == tuple_text(text.replace(",", ", "))
    assert integers(text) == integers(tuple_text(str(value)))


@given(st.integers(0, 15_624))
def test_both_notations_of_a_cell_give_its_row(row):
    space = spaces.get("nasbench201")
    architecture = space.at(row)
    assert row_of_string(space.to_string(architecture)) == row
    # NASLib orders edges by source and numbers operations differently.
    by_edge = dict(zip([(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)], architecture.code, strict=True))
    number = {0: 1, 1: 0, 2: 3, 3: 2, 4: 4}
    assert row_of_tuple(str(tuple(number[by_edge[edge]] for edge in sorted(by_edge)))) == row


def test_the_packed_cells_are_valid_and_different():
    graphs = packed_graphs()
    assert graphs.shape == (30_001,)
    space = spaces.get("nasbench101")
    sample = [unpack(int(code)) for code in graphs[::300]]
    for architecture in sample:
        space.validate(architecture)
    keys = [space.canonical(architecture) for architecture in sample]
    assert keys == sorted(set(keys))


def test_sizes_are_completed_exactly_where_they_are_determined():
    rng = np.random.default_rng(0)
    weights = np.round(rng.random((6, 4)), 3)
    cells = rng.integers(4, size=(200, 6)).tolist()
    truth = np.array([[sum(weights[e, o] for e, o in enumerate(cell))] for cell in cells])
    parts = [features("micro", cell) for cell in cells]
    np.testing.assert_allclose(complete(parts[:150], truth[:150], parts), truth, atol=1e-9)
    unseen = [cell for cell in cells if cell[0] == 3]
    listed = [k for k, cell in enumerate(cells) if cell[0] != 3]
    found = complete([parts[k] for k in listed], truth[listed], [features("micro", cell) for cell in unseen])
    assert np.isnan(found).all()


# -- states of numpy ----------------------------------------------------------------------------------------------


class State:
    """Pickles as a call of a global, with a state that is set afterwards."""

    def __init__(self, function, arguments, state):
        self.parts = function, arguments, state

    def __reduce__(self):
        return self.parts


def plain_state(order="<", *rest):
    return (3, order, *(rest or (None, None, None, -1, -1, 0)))


def array_state(shape=(2,), dtype=None, fortran=False, content=b"\0" * 16):
    return (1, shape, np.dtype("f8") if dtype is None else dtype, fortran, content)


RECONSTRUCT = np.zeros(0).__reduce__()[0]
EMPTY = (np.ndarray, (0,), b"b")


@pytest.mark.parametrize(
    "hostile",
    [
        *(
            State(np.dtype, (kind, False, True), plain_state())
            for kind in ("V8", "M8", "f8,f8", "(9999,9999)f8", "q" * 99, "S0")
        ),
        State(np.dtype, ("f8", False, True), plain_state("<", (np.dtype("f8"), (1 << 40,)), None, None, -1, -1, 0)),
        State(np.dtype, ("f8", False, True), plain_state("<", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 27)),
        State(np.dtype, ("f8", False, True), plain_state("x")),
        State(np.dtype, ("f8", False, True), (3,)),
        State(np.dtype, ("f8", False, True), "state"),
        *(
            State(RECONSTRUCT, EMPTY, state)
            for state in (
                array_state((1 << 40,)),
                array_state((-2,)),
                array_state((2.0,)),
                array_state((3,)),
                array_state((2,), np.dtype("O")),
                array_state((2,), np.dtype("O"), False, [1]),
                array_state((2,), np.dtype("f8"), False, [1.0, 2.0]),
                array_state((2,), "f8"),
                array_state((2,), np.dtype("f8"), "yes"),
                (1, (2,)),
                None,
            )
            if state is not None
        ),
        State(np.float64(0).__reduce__()[0], (np.dtype("O"), b"12345678"), {}),
        State(np.float64(0).__reduce__()[0], (np.dtype("f8"), b"1"), {}),
        State(np.ndarray, ((1 << 34,),), {}),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_states_of_numpy_that_do_not_fit_are_refused(hostile, protocol):
    with pytest.raises(DataError):
        read_pickle_bytes(pickle.dumps([hostile], protocol), "hostile.pkl")


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize(
    "value",
    [
        *(np.arange(6, dtype=kind).reshape(2, 3) for kind in ("f4", "f8", "i1", "i8", "u2", ">f8", ">i4")),
        np.array([True, False]),
        np.array(["a", "bcd"]),
        np.array([b"a", b"bcd"]),
        np.array(["a", None, 3], object),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.zeros((0, 4)),
        np.float64(1.5),
        np.int32(-3),
        np.bool_(True),
        {"a": [np.float32(0.5), np.arange(3)]},
    ],
    ids=lambda value: f"{getattr(value, 'dtype', 'nested')}",
)
def test_plain_arrays_and_numbers_are_read_as_they_are(value, protocol):
    read = read_pickle_bytes(pickle.dumps(value, protocol), "x.pkl")
    if isinstance(value, dict):
        value, read = value["a"][1], read["a"][1]
    assert read.dtype == value.dtype.newbyteorder("=")
    np.testing.assert_array_equal(read, value)
