"""Named plug-ins of one kind: frozen metadata, lazy loading, entry points, wildcards, did-you-mean.

A registry lists names without importing what they name, so ``po-nas --help`` stays fast and one broken plug-in never
hides the others. This module is pure Python and imports neither numpy nor torch; `losses`, `proxies` and `surrogates`
may import it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, ParamSpec, TypeVar, cast
from weakref import WeakSet

from po_nas.errors import DuplicateNameError, PluginError, PoNasError, RenamedWarning, UnknownNameError

__all__ = [
    "CheckResult",
    "Entry",
    "PoNasError",
    "Registry",
    "UnknownNameError",
    "is_loaded",
    "kinds_of",
    "lazy",
    "load_plugin",
    "matching",
    "reads_as_data",
    "takes_old_names",
]

T = TypeVar("T")
O = TypeVar("O")  # noqa: E741 - the decorated object keeps its own type
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """The metadata of one plug-in.

    `target` is the object itself or a ``"module:attribute"`` string that is imported on first use. `spec` is a frozen
    record particular to the kind (for example a proxy's direction and passes).
    """

    name: str
    summary: str
    target: T | str
    reference: str = ""
    tags: tuple[str, ...] = ()
    spec: object = None
    origin: str = "po-nas"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of loading one plug-in; `error` is None when it loaded."""

    kind: str
    name: str
    origin: str
    error: PoNasError | None


_REGISTRIES: WeakSet[Registry[Any]] = WeakSet()


class Registry(Generic[T]):
    """All plug-ins of one kind.

    Names come from three places: `register` and `add` in code, and the entry-point `group` of installed packages.
    A name claimed twice raises `DuplicateNameError` (at registration, or on first use for entry points).

    Args:
        kind: What the entries are, for messages: ``"method"``.
        group: Entry-point group of installed packages: ``"po_nas.methods"``.
        files: Who reads plug-in files of this kind that are no code: ``"module:function"`` by suffix. The function
            takes the path and registers what is in it.

    Examples:
        >>> import po_nas
        >>> po_nas.methods.registry.entry("gp_bo").reference
        'arXiv 2310.20708'
        >>> "random" in po_nas.methods.registry
        True
    """

    def __init__(self, kind: str, group: str, files: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self.group = group
        self.files = dict(files or {})
        self._entries: dict[str, Entry[T]] = {}
        self._renamed: dict[str, str] = {}
        self._points: dict[str, list[EntryPoint]] | None = None
        _REGISTRIES.add(self)

    def register(
        self, name: str, *, summary: str, reference: str = "", tags: tuple[str, ...] = (), spec: object = None
    ) -> Callable[[O], O]:
        """Decorate a class or function to register it under `name`.

        Args:
            name: By which it is looked up.
            summary: One line for lists.
            reference: Publication, with its arXiv id.
            tags: Words by which lists are filtered.
            spec: A frozen record particular to the kind.

        Returns:
            A decorator that returns what it decorates.

        Raises:
            DuplicateNameError: When another definition has the name.

        Examples:
            >>> import surrogates
            >>> @surrogates.register("mine", summary="predicts the mean")
            ... class Mine(surrogates.Surrogate):
            ...     pass
            >>> "mine" in surrogates.names()
            True
            >>> surrogates.registry.remove("mine")
        """

        def decorator(target: O) -> O:
            origin = f"{getattr(target, '__module__', '?')}.{getattr(target, '__qualname__', repr(target))}"
            self.add(Entry(name, summary, cast(T, target), reference, tags, spec, origin))
            return target

        return decorator

    def declare(self, package: str, *rows: tuple[Any, ...]) -> None:
        """Add what comes with `package`, without importing it.

        A row is the beginning of an `Entry`: name, ``"module:attribute"`` below the package, summary, and if need be
        reference, tags, spec.
        """
        for name, target, summary, *rest in rows:
            self.add(Entry(name, summary, f"{package}.{target}", *rest))

    def add(self, entry: Entry[T]) -> None:
        """Add a finished entry; `DuplicateNameError` when somebody else has the name.

        The same definition once more (a notebook cell run again) replaces the first.
        """
        known = self._entries.get(entry.name)
        if known is not None and known.origin != entry.origin:
            raise DuplicateNameError(self.kind, entry.name, known.origin, entry.origin)
        self._entries[entry.name] = entry

    def rename(self, old: str, new: str) -> None:
        """Have an entry looked up by the name that it had in the version before, too; that one is not listed."""
        self._renamed[old] = new

    def current(self, name: str, *, warn: bool = True) -> str:
        """The name of today where `name` is an old one, with a `RenamedWarning`; else `name`, known or not."""
        new = self._renamed.get(name)
        if new is None or name in self._entries or name in self._installed():
            return name
        if warn:
            warnings.warn(RenamedWarning(self.kind, name, new), stacklevel=3)
        return new

    def remove(self, name: str) -> None:
        """Take back an entry that was added in code (for tests and notebooks)."""
        if self._entries.pop(name, None) is None:
            raise UnknownNameError(self.kind, name, self._entries)

    def _installed(self) -> dict[str, list[EntryPoint]]:
        if self._points is None:
            self._points = {}
            for point in entry_points(group=self.group):
                self._points.setdefault(point.name, []).append(point)
        return self._points

    def names(self, pattern: str = "*") -> list[str]:
        """All names that match a shell wildcard, sorted; nothing is imported.

        Args:
            pattern: A name or shell wildcard.

        Returns:
            Names, an empty list where nothing matches.

        Examples:
            >>> import po_nas, proxies
            >>> proxies.names("az_*")
            ['az_complexity', 'az_expressivity', 'az_progressivity', 'az_trainability']
            >>> po_nas.spaces.names("transnas_*")
            ['transnas_macro', 'transnas_micro']
        """
        every = {*self._entries, *self._installed()}
        return sorted(n for n in every if fnmatchcase(n, pattern))

    def entry(self, name: str) -> Entry[T]:
        """The metadata under `name`; installed plug-ins are described by where they come from until loaded."""
        name = self.current(name)
        known = self._entries.get(name)
        # A package may use the decorator and the entry point for one and the same object.
        points = [
            p for p in self._installed().get(name, []) if not (known and known.origin == p.value.replace(":", "."))
        ]
        claims = [known.origin] if known else []
        claims += [_origin(point) for point in points]
        if not claims:
            raise UnknownNameError(self.kind, name, self.names())
        if len(claims) > 1:
            raise DuplicateNameError(self.kind, name, claims[0], claims[1])
        if known:
            return known
        target = f"{points[0].module}:{points[0].attr}"
        return Entry(name, f"plug-in {points[0].value}", target, origin=claims[0])

    def entries(self, pattern: str = "*") -> Iterator[Entry[T]]:
        """Iterate over the metadata of all names that match a wildcard; a disputed name's summary says so."""
        for name in self.names(pattern):
            try:
                yield self.entry(name)
            except DuplicateNameError as error:
                yield Entry(name, str(error), "", origin=f"{error.first}, {error.second}")

    def get(self, name: str) -> T:
        """The object under `name`, imported now if need be.

        Raises `UnknownNameError` with the nearest name, `DuplicateNameError`, or `PluginError` when the import fails.
        """
        return self.load(self.entry(name))

    def load(self, entry: Entry[T]) -> T:
        """The object of an entry, imported now if need be. Raises `PluginError` when the import fails."""
        if not isinstance(entry.target, str):
            return entry.target
        try:
            module, _, attribute = entry.target.partition(":")
            return cast(T, getattr(importlib.import_module(module), attribute))
        except Exception as error:
            raise PluginError(self.kind, entry.name, entry.origin, error) from error

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._installed() or name in self._renamed

    def check(self) -> list[CheckResult]:
        """Load every entry and report each on its own; a broken one does not stop the others."""
        results = []
        for name in self.names():
            error: PoNasError | None = None
            origin = "?"
            try:
                origin = self.entry(name).origin
                self.get(name)
            except PoNasError as problem:
                error = problem
            results.append(CheckResult(self.kind, name, origin, error))
        return results


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def takes_old_names(**names: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function whose arguments, by new names, had the old ones of `names` in the version before.

    An argument under its old name is taken with a `RenamedWarning`. One that is given by both names is a `TypeError`.
    """

    def decorator(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> T:
            for old in names.keys() & kwargs.keys():
                if names[old] in kwargs:
                    raise TypeError(f"{function.__name__}() got {names[old]!r} and {old!r}, its old name")
                warnings.warn(RenamedWarning("argument", old, names[old]), stacklevel=2)
                kwargs[names[old]] = kwargs.pop(old)
            return function(*args, **kwargs)

        return called

    return decorator


def lazy(package: str, **modules: str) -> Callable[[str], Any]:
    """A package's ``__getattr__`` that imports what needs much on first use.

    `modules` are the names, between blanks, that each module of the package has.
    """
    places = {name: module for module, names in modules.items() for name in names.split()}

    def find(name: str) -> Any:
        if name in places:
            return getattr(importlib.import_module(f"{package}.{places[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find


def kinds_of(module: str) -> frozenset[str]:
    """The kinds of plug-ins that a module has registered by decorators."""
    return frozenset(
        registry.kind
        for registry in _REGISTRIES
        for entry in registry._entries.values()
        if entry.origin.startswith(f"{module}.")
    )


def reads_as_data(where: str) -> bool:
    """Whether a plug-in is a file that is no code: one whose suffix a registry knows (`Registry.files`)."""
    return any(Path(where).suffix in registry.files for registry in _REGISTRIES)


def matching(kind: str, patterns: Iterable[str], names: Iterable[str]) -> list[str]:
    """The names that shell wildcards match, each once, in the order of the patterns.

    Raises `UnknownNameError` for a pattern that matches none.
    """
    known, found = list(names), dict[str, None]()
    for pattern in patterns:
        fitting = [name for name in known if fnmatchcase(name, pattern)]
        if not fitting:
            raise UnknownNameError(kind, pattern, known)
        found |= dict.fromkeys(fitting)
    return list(found)


def is_loaded(where: str) -> bool:
    """Whether the code of a plug-in has run in this process."""
    if not where.endswith(".py"):
        return where in sys.modules
    path = Path(where).resolve()
    known = (sys.modules.get(name) for name in (path.stem, f"po_nas_plugin_{path.stem}"))
    return any(getattr(module, "__file__", None) == str(path) for module in known)


def load_plugin(where: str) -> ModuleType:
    """Import a plug-in given as a path to a ``.py`` file or as a module name, so that its decorators run.

    A file that is no code is read by the registry that knows its suffix (`Registry.files`), if it has been imported.

    The folder of a file joins ``sys.path`` (at its end), so that plug-in files may import each other; one whose name is
    taken by another module is imported under a private name. Raises `PluginError` when the file is absent or its code
    fails.
    """
    path = Path(where)
    before = {registry: dict(registry._entries) for registry in _REGISTRIES}
    try:
        for registry in before:
            if path.suffix in registry.files:
                module, _, attribute = registry.files[path.suffix].partition(":")
                reader = importlib.import_module(module)
                getattr(reader, attribute)(path)
                return reader
        return _import_file(path.resolve()) if path.suffix == ".py" else importlib.import_module(where)
    except Exception as error:
        # What it registered before it failed goes too, so that the repaired one can be loaded.
        for registry, entries in before.items():
            registry._entries = entries
        raise PluginError("plug-in", path.stem, where, error) from error


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    found = importlib.util.find_spec(path.stem)
    if found is not None and found.origin == str(path):
        return importlib.import_module(path.stem)
    name = f"po_nas_plugin_{path.stem}"
    known = sys.modules.get(name)
    if known is not None and known.__file__ == str(path):
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
