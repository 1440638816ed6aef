"""The conformance kit of search spaces."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from typing import Any

import numpy as np

from po_nas.errors import InvalidArchitectureError, MissingExtraError, NotEnumerableError
from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.declared.space import DeclaredSpace

try:
    import pytest
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st
except ImportError as error:
    raise MissingExtraError("the conformance kit", "pytest and hypothesis", "dev") from error

__all__ = ["SpaceConformance"]

# the kit runs in other people's builds: the same examples every time, no deadline, no files left behind
_repeatedly = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
_seeds = given(seed=st.integers(0, 2**32 - 1))

_CHILD = """
import json, numpy as np
{construct}
from po_nas.testing.spaces import _transcript
print(json.dumps(_transcript(space)))
"""


class SpaceConformance:
    """Everything that `po_nas.spaces.base.Space` promises, as tests.

    Subclass it in a test module and supply the space, as a class attribute or as a fixture::

        class TestMySpace(SpaceConformance):
            space = MySpace()

    Override `isomorphic` when different codes can mean the same network, `construct` when the class takes arguments.
    All randomness is seeded; a failure repeats.
    """

    space: Any
    """A `Space`, a class of one, or a fixture that returns one."""

    neighbours_are_edits: bool = True
    """Whether neighbours are exactly the architectures at edit distance 1.

    A space where they are not also sets ``test_edit_distance_is_the_shortest_path = None``.
    """

    crossover_stays_between: bool = True
    """Whether a child is no further from either parent than the parents are from each other."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Turn a space given as a class attribute into the fixture that the tests ask for."""
        super().__init_subclass__(**kwargs)
        declared = cls.__dict__.get("space")
        if isinstance(declared, type) and issubclass(declared, Space):
            declared = declared()
        if isinstance(declared, Space):
            cls.space = pytest.fixture(name="space")(lambda self: declared)

    def isomorphic(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """An architecture that means the same network; by default the architecture itself."""
        return architecture

    def construct(self, space: Space) -> str:
        """Python source that makes the same space in a fresh process and calls it ``space``."""
        if isinstance(space, DeclaredSpace):
            return f"from po_nas import declare\nspace = declare({space.declaration()!r})"
        return f"from {type(space).__module__} import {type(space).__name__}\nspace = {type(space).__name__}()"

    # strings, JSON, validity

    @_repeatedly
    @_seeds
    def test_string_and_json_round_trips(self, space: Space, seed: int) -> None:
        """A string and a JSON value bring back the same architecture, with Python integers in its code."""
        architecture = space.sample(np.random.default_rng(seed))
        assert repr(space.from_string(space.to_string(architecture))) == repr(architecture)
        back = space.from_json(json.loads(json.dumps(space.to_json(architecture))))
        assert back == architecture
        assert repr(back) == repr(architecture)

    @_repeatedly
    @_seeds
    def test_configurations(self, space: Space, seed: int) -> None:
        """A configuration is a dict of JSON values, a new one each time, and two architectures never have the same."""
        rng = np.random.default_rng(seed)
        first, second = space.sample(rng), space.sample(rng)
        config = space.config_of(first)
        assert json.loads(json.dumps(config)) == config
        assert (space.config_of(second) == config) == (second == first)
        told = space.config_of(first)
        config.clear()
        assert space.config_of(first) == told

    @_repeatedly
    @_seeds
    def test_samples_are_valid(self, space: Space, seed: int) -> None:
        """Samples validate, carry the space's name and can be hashed."""
        architecture = space.sample(np.random.default_rng(seed))
        space.validate(architecture)
        assert architecture.space == space.name
        assert len({architecture, space.from_string(space.to_string(architecture))}) == 1

    def test_rejects_what_is_no_string_of_the_space(self, space: Space) -> None:
        """Nonsense, and a good string with something before or behind it, raise `InvalidArchitectureError`."""
        good = space.to_string(space.sample(np.random.default_rng(0)))
        for text in ("", "nonsense", f"{good}x", f"x{good}", f"{good} {good}"):
            with pytest.raises(InvalidArchitectureError):
                space.from_string(text)

    def test_rejects_what_is_no_json_of_the_space(self, space: Space) -> None:
        """Wrong types, another space's name and wrong codes raise `InvalidArchitectureError`."""
        good = space.to_json(space.sample(np.random.default_rng(0)))
        code = good["code"]
        codes = [[], [None], [*code, 0], [code], "code", {}]
        codes += [_first_replaced(code, value) for value in (-1, 10**6, 0.5, None, "0", True, [0])]
        values = [None, 3, "text", [], {}, {"space": space.name}, {**good, "space": "no such space"}, code]
        for value in values + [{**good, "code": wrong} for wrong in codes]:
            with pytest.raises(InvalidArchitectureError):
                space.from_json(value)

    def test_rejects_another_space(self, space: Space) -> None:
        """An architecture that names another space is invalid."""
        code = space.sample(np.random.default_rng(0)).code
        with pytest.raises(InvalidArchitectureError):
            space.validate(Architecture("no such space", code))

    # randomness

    def test_same_seed_same_architectures_in_another_process(self, space: Space) -> None:
        """Sampling, mutation and crossover depend on nothing but the generator, not on hash randomisation either."""
        hash_seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
        path = os.pathsep.join(entry for entry in sys.path if entry)
        done = subprocess.run(
            [sys.executable, "-c", _CHILD.format(construct=self.construct(space))],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == _transcript(space)

    def test_leaves_global_randomness_alone(self, space: Space) -> None:
        """Neither `random` nor numpy's global generator is touched."""
        before = random.getstate(), repr(np.random.get_state())  # noqa: NPY002 - read only
        _transcript(space)
        assert before == (random.getstate(), repr(np.random.get_state()))  # noqa: NPY002 - read only

    # edits

    @_repeatedly
    @_seeds
    def test_neighbours(self, space: Space, seed: int) -> None:
        """Neighbours are valid, distinct, without the architecture itself, in a fixed order, and mutual."""
        rng = np.random.default_rng(seed)
        architecture = space.sample(rng)
        near = space.neighbours(architecture)
        assert near == space.neighbours(architecture)
        assert architecture not in near
        assert len(set(near)) == len(near)
        for other in near:
            space.validate(other)
            if self.neighbours_are_edits and space.neighbours_complete:
                assert space.edit_distance(architecture, other) == 1
        for other in _some(near, rng) if space.neighbours_complete else ():
            assert architecture in space.neighbours(other)

    @_repeatedly
    @_seeds
    def test_mutation_is_a_neighbour(self, space: Space, seed: int) -> None:
        """`mutate` returns one of the neighbours; some other architecture where there are none or not all of them."""
        rng = np.random.default_rng(seed)
        architecture = space.sample(rng)
        near = space.neighbours(architecture)
        assert near or not self.neighbours_are_edits or not space.neighbours_complete
        mutant = space.mutate(architecture, rng)
        space.validate(mutant)
        assert mutant in near if near and space.neighbours_complete else mutant != architecture

    @_repeatedly
    @_seeds
    def test_crossover(self, space: Space, seed: int) -> None:
        """Children are valid and lie between their parents; equal parents have that one child."""
        rng = np.random.default_rng(seed)
        first, second = space.sample(rng), space.sample(rng)
        child = space.crossover(first, second, rng)
        space.validate(child)
        if self.crossover_stays_between:
            between = space.edit_distance(first, second)
            assert max(space.edit_distance(child, first), space.edit_distance(child, second)) <= between
        assert space.crossover(first, first, rng) == first

    @_repeatedly
    @_seeds
    def test_edit_distance_is_a_metric(self, space: Space, seed: int) -> None:
        """Symmetric, zero for equals alone, triangle inequality."""
        rng = np.random.default_rng(seed)
        a, b = space.sample(rng), space.sample(rng)
        c = space.mutate(a, rng)
        assert space.edit_distance(a, a) == 0
        for x, y, z in ((a, b, c), (b, c, a), (c, a, b)):
            assert space.edit_distance(x, y) == space.edit_distance(y, x)
            assert (space.edit_distance(x, y) == 0) == (x == y)
            assert space.edit_distance(x, y) <= space.edit_distance(x, z) + space.edit_distance(z, y)

    @_repeatedly
    @_seeds
    def test_edit_distance_is_the_shortest_path(self, space: Space, seed: int) -> None:
        """The distance is that of the neighbourhood graph: two steps away is 2, and some step always leads nearer."""
        rng = np.random.default_rng(seed)
        start, end = space.sample(rng), space.sample(rng)
        if not space.neighbours_complete:
            return  # a path there is all the same: see the next test
        near = space.neighbours(start)
        within_one = {start, *near}
        for step in _some(near, rng):
            for other in _some([x for x in space.neighbours(step) if x not in within_one], rng):
                assert space.edit_distance(start, other) == 2
        distance = space.edit_distance(start, end)
        if distance:
            # with the triangle inequality this makes the distance the length of a shortest path, at any depth
            assert min(space.edit_distance(step, end) for step in near) == distance - 1

    @_repeatedly
    @_seeds
    def test_steps_lead_to_the_goal(self, space: Space, seed: int) -> None:
        """Every step towards another architecture is valid and leads nearer, and there is one until it is reached."""
        rng = np.random.default_rng(seed)
        here, goal = space.sample(rng), space.sample(rng)
        assert not list(space.steps_towards(goal, goal))
        if not self.neighbours_are_edits:
            return
        while (left := space.edit_distance(here, goal)) > 0:
            steps = list(space.steps_towards(here, goal))
            assert steps
            for step in steps:
                space.validate(step)
                assert space.edit_distance(step, goal) < left
            here = steps[int(rng.integers(len(steps)))]
        assert here == goal

    # isomorphism

    @_repeatedly
    @_seeds
    def test_canonical(self, space: Space, seed: int) -> None:
        """The canonical key is a string, the same each time and for isomorphic architectures."""
        rng = np.random.default_rng(seed)
        architecture = space.sample(rng)
        twin = self.isomorphic(architecture, rng)
        space.validate(twin)
        key = space.canonical(architecture)
        assert isinstance(key, str)
        assert space.canonical(space.from_string(space.to_string(architecture))) == key
        assert space.canonical(twin) == key

    # encodings

    @_repeatedly
    @_seeds
    def test_graph_encoding(self, space: Space, seed: int) -> None:
        """Shapes are `graph_shape`, types as documented, values finite, nothing outside edges and real nodes."""
        graph = space.encode_graph(space.sample(np.random.default_rng(seed)))
        n, f, e = space.graph_shape
        for array, shape in ((graph.nodes, (n, f)), (graph.adjacency, (n, n)), (graph.edges, (n, n, e))):
            assert array.shape == shape
            assert array.dtype == np.float32
            assert np.isfinite(array).all()
        assert graph.mask.shape == (n,)
        assert graph.mask.dtype == np.bool_
        assert np.isin(graph.adjacency, (0, 1)).all()
        assert not np.tril(graph.adjacency).any(), "edges must lead from lower to higher nodes"
        assert not graph.edges[graph.adjacency == 0].any()
        assert not graph.nodes[~graph.mask].any()
        assert not graph.adjacency[~graph.mask].any()
        assert not graph.adjacency[:, ~graph.mask].any()

    @_repeatedly
    @_seeds
    def test_vector_encoding(self, space: Space, seed: int) -> None:
        """Vectors have `vector_size` entries in [0, 1]; different architectures have different ones."""
        rng = np.random.default_rng(seed)
        architecture = space.sample(rng)
        vector = space.encode_vector(architecture)
        assert vector.shape == (space.vector_size,)
        assert vector.dtype == np.float64
        assert ((vector >= 0) & (vector <= 1)).all()
        for other in (space.sample(rng), *_some(space.neighbours(architecture), rng)):
            assert np.array_equal(space.encode_vector(other), vector) == (other == architecture)

    @_repeatedly
    @_seeds
    def test_places_on_scales(self, space: Space, seed: int) -> None:
        """Many vectors at once are those of each; places on scales lead back, others to architectures or nowhere."""
        rng = np.random.default_rng(seed)
        architectures = [space.sample(rng) for _ in range(5)]
        vectors = space.encode_vectors(architectures)
        assert np.array_equal(vectors, [space.encode_vector(architecture) for architecture in architectures])
        assert space.encode_vectors([]).shape == (0, space.vector_size)
        for architecture, vector in zip(architectures, vectors, strict=True):
            columns = space.scale_columns(architecture)
            if not len(columns):
                continue
            assert space.at_places(architecture, vector[columns]) == architecture
            other = space.at_places(architecture, rng.uniform(-0.2, 1.2, len(columns)))
            if other is not None:
                space.validate(other)

    @_repeatedly
    @_seeds
    def test_operation_graph(self, space: Space, seed: int) -> None:
        """Topological, from ``input`` to ``output``, every inner node on a path from an input to the output."""
        graph = space.operation_graph(space.sample(np.random.default_rng(seed)))
        last = len(graph.labels) - 1
        assert graph.labels[0] == "input"
        assert graph.labels[last] == "output"
        assert len(set(graph.edges)) == len(graph.edges)
        assert all(0 <= i < j <= last for i, j in graph.edges)
        inputs = {k for k, label in enumerate(graph.labels) if label.startswith("input")}
        assert not inputs & {j for _, j in graph.edges}
        reached, useful = set(inputs), {last}
        for i, j in sorted(graph.edges):
            reached |= {j} if i in reached else set()
        for i, j in sorted(graph.edges, key=lambda edge: -edge[1]):
            useful |= {i} if j in useful else set()
        assert set(range(1, last)) - inputs <= reached & useful

    # enumeration

    def test_different_networks_look_different(self, space: Space) -> None:
        """Architectures with different canonical keys differ in their graph encoding and their operation graph."""
        rng = np.random.default_rng(0)
        keys: dict[object, str] = {}
        for _ in range(60):
            architecture = space.sample(rng)
            key, graph = space.canonical(architecture), space.encode_graph(architecture)
            encoded = tuple(part.tobytes() for part in (graph.nodes, graph.adjacency, graph.edges, graph.mask))
            for view in (encoded, space.operation_graph(architecture)):
                assert keys.setdefault(view, key) == key, "two different networks look the same"
        assert len(set(keys.values())) > 1, "the canonical key is the same for all architectures"

    def test_enumeration(self, space: Space) -> None:
        """An enumerable space yields `size` different architectures; another one raises `NotEnumerableError`."""
        if not space.enumerable:
            with pytest.raises(NotEnumerableError):
                list(space.enumerate())
            return
        every = list(space.enumerate())
        assert len(set(every)) == len(every) == space.size
        for architecture in every[:: max(1, len(every) // 100)]:
            space.validate(architecture)
        assert {space.sample(np.random.default_rng(seed)) for seed in range(20)} <= set(every)


def _transcript(space: Space) -> list[str]:
    """What a seeded run of all random operations yields."""
    rng = np.random.default_rng(20)
    lines = []
    for _ in range(5):
        first, second = space.sample(rng), space.sample(rng)
        results = (first, second, space.mutate(first, rng), space.crossover(first, second, rng))
        lines += [space.to_string(result) for result in results] + [space.canonical(first)]
        lines += [space.to_string(near) for near in space.neighbours(second)]
    return lines


def _some(architectures: list[Architecture], rng: np.random.Generator, count: int = 5) -> list[Architecture]:
    """A few of the architectures."""
    chosen = rng.permutation(len(architectures))[:count]
    return [architectures[int(k)] for k in chosen]


def _first_replaced(code: list[Any], value: Any) -> list[Any]:
    """The code with its first integer replaced."""
    head, *tail = code
    return [_first_replaced(head, value), *tail] if isinstance(head, list) else [value, *tail]
