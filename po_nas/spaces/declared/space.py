"""Search spaces made from named choices."""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from po_nas.errors import InvalidArchitectureError, NotEnumerableError
from po_nas.source_code import code_hash
from po_nas.spaces.base import Architecture, GraphEncoding, OperationGraph, Space
from po_nas.spaces.declared.choices import Choice
from po_nas.spaces.declared.configurations import Configurations, Place
from po_nas.spaces.declared.constraints import Constraint, constraint
from po_nas.spaces.declared.encodings import CodeEncodings
from po_nas.spaces.declared.errors import DeclarationError, InfeasibleError
from po_nas.spaces.declared.signature import check_signature, choices_of, options_of, reads_rest
from po_nas.spaces.declared.slots import ABSENT, Layout
from po_nas.spaces.networks import SpaceNetworks, networks_by_function

__all__ = ["DeclaredSpace"]

_ENUMERATED = 100_000
"""Codes, constraints left aside, up to which a space is listed and counted."""
_PROBED = 2_000
"""Configurations that are drawn to see whether the constraints can be met."""
_LEAST_SHARE = 0.002
_DRAWS = 50_000
_TRIES = 50

Network = TypeVar("Network", bound="Callable[..., Any]")


class DeclaredSpace(Space):
    """A space of named choices; made by `po_nas.declare`.

    The code has one integer for each choice, and for each layer of a repeated one: the position of its value, -1 where
    it does not exist under the others. Choices on which others depend come first. Strings are the configuration as
    JSON.

    Sampling is uniform over the values of each choice (their logarithms where it says so), those that others depend on
    first, and repeated until the constraints hold. A mutation sets one choice that exists to another value, near on the
    scale for Ordinal, Int and Float (normal steps of a fifth or a fiftieth of the range); what comes into being by it
    is drawn as in sampling. Crossover takes each choice from either parent.

    `edit_distance` counts the choices that differ; one that only one of the two has counts. `neighbours` are all
    architectures at distance 1 where no choice depends on others, none has more than 32 values and there are no
    constraints (`neighbours_complete`). Elsewhere they are some near ones: of a choice with more values, a few at
    distances from very near to far; what comes into being is like the layer before, else in the middle of its values.

    Attributes:
        choices: By name, as declared.
        constraints: What configurations must fulfil.
    """

    def __init__(self, name: str, choices: Mapping[str, Choice], constraints: Sequence[object] = ()) -> None:
        """Raises `DeclarationError` for what makes no space, `InfeasibleError` for constraints hardly ever met."""
        if not isinstance(name, str) or not name.isidentifier():
            raise DeclarationError(repr(name), "is no name of a space; use letters, digits and _")
        self.name = name
        try:
            self._layout = Layout(choices)
        except DeclarationError as error:
            where = name if error.where == "the space" else f"{name}.{error.where}"
            raise DeclarationError(where, error.reason) from None
        self.choices: Mapping[str, Choice] = self._layout.choices
        self.constraints: tuple[Constraint, ...] = tuple(constraint(given, self.choices) for given in constraints)
        self._configurations = Configurations(name, self._layout)
        self._encodings = CodeEncodings(self._layout)
        self._unconstrained = self._layout.number_of_codes()
        self.enumerable = self._unconstrained is not None and self._unconstrained <= _ENUMERATED
        slots = self._layout.slots
        self.neighbours_complete = not self.constraints and all(
            slot.choice.all_near and not slot.conditions for slot in slots
        )
        self.operations = tuple(self.choices)
        self._mutable = [slot.choice.count > 1 for slot in slots]
        self._network: Callable[..., Any] | None = None
        self._inputs: object = None
        if self.constraints:
            self._check_feasible()

    def __reduce__(self) -> tuple[Any, ...]:
        kept = {"_network": self._network, "_inputs": self._inputs}
        return type(self), (self.name, dict(self.choices), self.constraints), kept

    # -- networks -------------------------------------------------------------------------------------------------

    @overload
    def network(self, function: Network, /) -> Network:
        """As ``@space.network``."""

    @overload
    def network(self, /, *, example_inputs: object) -> Callable[[Network], Network]:
        """As ``@space.network(example_inputs=…)``."""

    def network(self, function: Network | None = None, /, *, example_inputs: object = None) -> Any:
        """Decorate the function that builds the network (`torch.nn.Module`) of a configuration.

        It is called with the choices by name; those that do not exist are not passed. It has to take every choice, by
        name or as ``**rest``; further parameters with defaults are options of `build`.

        Args:
            function: What is decorated.
            example_inputs: A batch that the networks take, or a function that returns one, for proxies: inputs, or the
                pair of inputs and labels.

        Raises:
            DeclarationError: When the function does not take a choice, or asks for something that is none.
        """
        if function is None:
            return partial(self._decorate, inputs=example_inputs)
        return self._decorate(function, inputs=example_inputs)

    def _decorate(self, function: Network, inputs: object) -> Network:
        check_signature(self.name, function, self._layout)
        self._network = function
        if inputs is not None:
            self._inputs = inputs
        return function

    @property
    def has_network(self) -> bool:
        """Whether `network` has been given a function."""
        return self._network is not None

    @property
    def network_options(self) -> dict[str, Any]:
        """Parameters of the decorated function that are no choices, with their defaults."""
        return {} if self._network is None else options_of(self._network, self._layout)

    @property
    def network_choices(self) -> frozenset[str]:
        """Choices that the decorated function takes by name, not as a part of ``**rest``."""
        return frozenset() if self._network is None else choices_of(self._network, self._layout)

    @property
    def unused_choices(self) -> frozenset[str]:
        """Choices that the networks do not depend on, for the function does not read its ``**rest``, and that say
        nothing about other choices."""
        if self._network is None or reads_rest(self._network):
            return frozenset()
        structural = {parent for name in self.choices for parent in self._layout.parents(name)}
        return frozenset(self.choices.keys() - self.network_choices - structural)

    @property
    def _networks(self) -> SpaceNetworks:
        if self._network is None:
            raise DeclarationError(self.name, "has no networks; decorate what builds them with @space.network")
        return networks_by_function(self, self._network, self._inputs)

    def build(self, architecture: Architecture, **options: Any) -> Any:
        """The network (`torch.nn.Module`) of an architecture, as `po_nas.networks.build` makes it.

        Raises `DeclarationError` for a space without networks, and where the function returns something else.
        """
        return self._networks.build(architecture, **options)

    def example_inputs(self, samples: int = 16, seed: int = 0, **task: Any) -> tuple[Mapping[str, Any], Any]:
        """No options, and the batch that came with `network`; `DeclarationError` where none did."""
        return self._networks.example_inputs(samples, seed, **task)

    @property
    def network_identity(self) -> str:
        """The name with a hash of the declaration and of the code that builds networks: of its whole file."""
        code = "" if self._network is None else code_hash(self._network)
        told = [json.dumps(self.declaration(), sort_keys=True), code]
        return f"{self.name} {hashlib.sha256(' '.join(told).encode()).hexdigest()[:16]}"

    # -- configurations -------------------------------------------------------------------------------------------

    def config_of(self, architecture: Architecture) -> dict[str, Any]:
        """The configuration: values by name, lists for repeated choices; choices that do not exist are not in it."""
        return self._configurations.of(architecture.code)

    def architecture_of(self, config: Mapping[str, Any]) -> Architecture:
        """Inverse of `config_of`; a `Float` goes to the nearest number that it is resolved to.

        Raises `InvalidArchitectureError`, which names the choice.
        """
        architecture = Architecture(self.name, self._configurations.code_of(config))
        self._check_constraints(architecture)
        return architecture

    def architecture_of_places(
        self, values: Mapping[Place, Any], otherwise: Mapping[str, Any] | None = None
    ) -> Architecture:
        """The architecture of values by name and layer: ``{("depth", ()): 1, ("width", (0,)): 8}``.

        Args:
            values: None at a place where no choice exists is nothing.
            otherwise: Values, by name, for choices and layers that exist and have none.

        Raises `InvalidArchitectureError`, which names the choice.
        """
        architecture = Architecture(self.name, self._configurations.code_of_places(values, otherwise or {}))
        self._check_constraints(architecture)
        return architecture

    def dimensions(self, name: str) -> tuple[int | str, ...]:
        """What repeats a choice, the outermost first: numbers, or the choices whose values are the numbers."""
        return self._layout.dimensions[name]

    def declaration(self) -> dict[str, Any]:
        """The space as JSON: what the record of a run holds, and what `po_nas.declare` reads back."""
        found: dict[str, Any] = {
            "declare": self.name,
            "choices": {name: choice.to_json() for name, choice in self.choices.items()},
        }
        if self.constraints:
            found["constraints"] = [c.to_json() for c in self.constraints]
        return found

    # -- size -----------------------------------------------------------------------------------------------------

    @cached_property
    def size(self) -> int | None:  # type: ignore[override]
        """Number of configurations; None with a continuous choice, and with constraints over more than 100,000."""
        if not self.constraints or self._unconstrained is None:
            return self._unconstrained
        return len(self._listed) if self.enumerable else None

    @cached_property
    def _listed(self) -> tuple[Architecture, ...]:
        everything = (Architecture(self.name, code) for code in self._layout.codes())
        return tuple(architecture for architecture in everything if self._admits(architecture.code))

    def enumerate(self) -> Iterator[Architecture]:
        """Every architecture once, in lexicographic order of codes; up to 100,000 before constraints."""
        if not self.enumerable:
            raise NotEnumerableError(self.name, self._unconstrained)
        return iter(self._listed)

    # -- constraints ----------------------------------------------------------------------------------------------

    def _admits(self, code: tuple[int, ...]) -> bool:
        if not self.constraints:
            return True
        configuration = self._configurations.of(code)
        return all(c.holds(configuration) for c in self.constraints)

    def _check_feasible(self) -> None:
        rng = np.random.default_rng(0)
        passed = sum(self._admits(self._drawn(rng)) for _ in range(_PROBED))
        if passed < _LEAST_SHARE * _PROBED:
            raise InfeasibleError(self.name, [c.name for c in self.constraints], passed, _PROBED)
        if self.enumerable and self.size is not None and self.size < 2:
            raise DeclarationError(self.name, "has one architecture only under its constraints")

    def _check_constraints(self, architecture: Architecture) -> None:
        if self.constraints:
            configuration = self._configurations.of(architecture.code)
            for c in self.constraints:
                if not c.holds(configuration):
                    raise InvalidArchitectureError(self.name, configuration, f"it does not fulfil {c.name}")

    # -- randomness and edits -------------------------------------------------------------------------------------

    def _drawn(self, rng: np.random.Generator) -> tuple[int, ...]:
        slots, shares = self._layout.slots, rng.random(len(self._layout.slots)).tolist()
        code = [ABSENT] * len(slots)
        return tuple(self._layout.filled(code, lambda number: slots[number].choice.at(shares[number])))

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draw each choice uniformly from its values, those that others depend on first, until all constraints hold."""
        for _ in range(_DRAWS):
            code = self._drawn(rng)
            if self._admits(code):
                return Architecture(self.name, code)
        raise InfeasibleError(self.name, [c.name for c in self.constraints], 0, _DRAWS)

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """Another value for one choice that exists; what comes into being by it is drawn."""
        slots, code = self._layout.slots, architecture.code
        mutable = [number for number, position in enumerate(code) if position != ABSENT and self._mutable[number]]
        for _ in range(_TRIES if self.constraints else 1):
            number = mutable[int(rng.integers(len(mutable)))]
            changed = self._with(
                code,
                number,
                slots[number].choice.mutated(code[number], rng),
                lambda k: slots[k].choice.at(rng.random()),
            )
            if self._admits(changed):
                return Architecture(self.name, changed)
        # Among few that fulfil the constraints, one edit may lead nowhere.
        for _ in range(_DRAWS):
            other = self.sample(rng)
            if other != architecture:
                return other
        return architecture

    def _with(self, code: Sequence[int], number: int, position: int, fill: Callable[[int], int]) -> tuple[int, ...]:
        """The code with one slot changed, and all that hangs on it put in order."""
        changed = list(code)
        changed[number] = position
        return tuple(self._layout.filled(changed, fill, self._layout.dependents[number]))

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """Architectures with another value of one choice, in the order of the code; see the class."""
        found = dict.fromkeys(
            self._with(architecture.code, number, other, fill)
            for number, position in enumerate(architecture.code)
            if position != ABSENT
            for fill in [self._like_before(architecture.code, number)]
            for other in self._layout.slots[number].choice.neighbours(position)
        )
        return [Architecture(self.name, code) for code in found if self._admits(code)]

    def _like_before(self, code: Sequence[int], changed: int) -> Callable[[int], int]:
        """What a slot gets that comes into being: the value of the layer before, else the middle one."""
        filled: dict[int, int] = {}

        def fill(number: int) -> int:
            before = self._layout.repeats(number)
            choice = self._layout.slots[number].choice
            position = ABSENT if before is None else filled.get(before, code[before])
            if position == ABSENT:
                position = choice.nearest(0.5) if choice.numeric else 0
            filled[number] = position
            return position

        return fill

    @staticmethod
    def _as_in(goal: Sequence[int], otherwise: Callable[[int], int]) -> Callable[[int], int]:
        return lambda number: otherwise(number) if goal[number] == ABSENT else goal[number]

    def crossover(self, first: Architecture, second: Architecture, rng: np.random.Generator) -> Architecture:
        """Each choice from either parent with probability one half; one that only one of them has, from that one.

        A parent where the constraints, or choices that neither has, allow no mixture in a number of attempts.
        """
        pair = (first.code, second.code)
        for _ in range(_TRIES):
            sides = (rng.random(len(first.code)) < 0.5).tolist()
            code = [ABSENT] * len(first.code)
            orphans: list[int] = []

            def inherited(number: int, sides: list[bool] = sides, orphans: list[int] = orphans) -> int:
                one, other = pair[sides[number]][number], pair[not sides[number]][number]
                if one == ABSENT and other == ABSENT:
                    orphans.append(number)
                return int(max(one, other) if ABSENT in (one, other) else one)

            child = tuple(self._layout.filled(code, inherited))
            if not orphans and self._admits(child):
                return Architecture(self.name, child)
        return first if rng.random() < 0.5 else second

    def edit_distance(self, first: Architecture, second: Architecture) -> int:
        """Number of choices that differ; one that does not exist in one of the two differs."""
        return sum(map(operator.ne, first.code, second.code))

    def steps_towards(self, architecture: Architecture, goal: Architecture) -> Iterator[Architecture]:
        """Architectures with one more choice as in the goal, and what hangs on it; the goal if there is none."""
        distance, found = self.edit_distance(architecture, goal), False
        for number, (here, there) in enumerate(zip(architecture.code, goal.code, strict=True)):
            if here == there or ABSENT in (here, there):
                continue
            fill = self._as_in(goal.code, self._like_before(architecture.code, number))
            step = self._with(architecture.code, number, there, fill)
            nearer = Architecture(self.name, step)
            if self.edit_distance(nearer, goal) < distance and self._admits(step):
                found = True
                yield nearer
        if distance and not found:
            yield goal

    # -- keys and texts -------------------------------------------------------------------------------------------

    def canonical(self, architecture: Architecture) -> str:
        """The code as text: choices that do not exist have no value, so no two codes mean the same."""
        return " ".join("-" if position == ABSENT else str(position) for position in architecture.code)

    def to_string(self, architecture: Architecture) -> str:
        """The configuration as JSON."""
        return json.dumps(self.config_of(architecture), separators=(",", ":"), ensure_ascii=False)

    def from_string(self, text: str) -> Architecture:
        """Parse a configuration as JSON."""
        try:
            found = json.loads(text, object_pairs_hook=_without_repetition)
        except (ValueError, RecursionError) as error:
            raise InvalidArchitectureError(self.name, text, f"expected a configuration as JSON ({error})") from None
        return self.architecture_of(found)

    def validate(self, architecture: Architecture) -> None:
        """Check the space's name, the choices that exist, their values, and the constraints."""
        code, slots = architecture.code, self._layout.slots
        if architecture.space != self.name:
            raise InvalidArchitectureError(self.name, code, f"it belongs to {architecture.space}")
        if not isinstance(code, tuple) or len(code) != len(slots):
            raise InvalidArchitectureError(self.name, code, f"expected {len(slots)} integers")
        for number, (slot, position) in enumerate(zip(slots, code, strict=True)):
            where = slot.name + "".join(f"[{k}]" for k in slot.path)
            if type(position) is not int or not ABSENT <= position < slot.choice.count:
                reason = f"{where} is {position!r}, expected 0 to {slot.choice.count - 1}"
                raise InvalidArchitectureError(self.name, code, reason)
            if (position == ABSENT) == self._layout.exists(code, number):
                absent = "is missing" if position == ABSENT else "does not exist under the others"
                raise InvalidArchitectureError(self.name, code, f"{where} {absent}")
        self._check_constraints(architecture)

    # -- encodings ------------------------------------------------------------------------------------------------

    @property
    def graph_shape(self) -> tuple[int, int, int]:
        """Nodes (choices, input, output), features of a node, features of an edge (one: it exists)."""
        return self._encodings.graph_shape

    @property
    def vector_size(self) -> int:
        """Length of the vector."""
        return self._encodings.vector_size

    @property
    def numeric_columns(self) -> NDArray[np.intp]:
        """Columns of the vector that are the places of single choices, not of layers, on a scale."""
        return self._encodings.numeric

    @property
    def vector_groups(self) -> tuple[tuple[int, ...], ...]:
        """Columns of the vector by choice, all its layers together."""
        return self._encodings.groups

    def encode_vector(self, architecture: Architecture) -> NDArray[np.float64]:
        """Places on scales and one-hots, as `CodeEncodings.vector` says; shape (vector_size,)."""
        return self._encodings.vector(architecture.code)

    def encode_vectors(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """The same of n architectures, (n, vector_size)."""
        return self._encodings.vectors([architecture.code for architecture in architectures])

    def scale_columns(self, architecture: Architecture) -> NDArray[np.intp]:
        """Columns of the places of all choices that exist and lie on a scale, layers included."""
        return self._encodings.on_scale(architecture.code)[1]

    def at_places(self, architecture: Architecture, places: NDArray[np.float64]) -> Architecture | None:
        """The architecture with the values nearest to `places`.

        What comes into being by it is as in `neighbours`. None where the constraints do not allow it.
        """
        code = architecture.code
        for number, place in zip(self._encodings.on_scale(code)[0], places.tolist(), strict=True):
            position = self._layout.slots[number].choice.nearest(min(max(place, 0.0), 1.0))
            if code[number] not in (ABSENT, position):
                code = self._with(code, number, position, self._like_before(code, number))
        return Architecture(self.name, tuple(code)) if self._admits(code) else None

    def encode_graph(self, architecture: Architecture) -> GraphEncoding:
        """The dense graph, as `CodeEncodings.graph` says."""
        return self._encodings.graph(architecture.code)

    def operation_graph(self, architecture: Architecture) -> OperationGraph:
        """Chains of layers and single choices side by side, labelled ``name=value``."""
        return self._encodings.operations(architecture.code)

    def sequence_graph(self, architecture: Architecture) -> OperationGraph:
        """The same graph; a choice with more than 32 values is labelled by its name alone."""
        return self._encodings.operations(architecture.code, coarse=True)

    def __repr__(self) -> str:
        counted = "no end of architectures" if self.size is None else f"{self.size:,} architectures"
        return f"<DeclaredSpace {self.name!r}, {len(self.choices)} choices, {counted}>"


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found
