"""Every error that po-nas raises on purpose, and what messages are made of.

One base class, narrow children that carry the data a caller may want. A message names the offending value and the
remedy; the command line prints it as one line and exits with code 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from po_nas.nearest import did_you_mean, names_listed, near_names

_WIDTH = 60
"""Characters of a value in a message; with what is around it, a line fits a terminal or nearly so."""


def short(value: object) -> str:
    """The `repr` of a value for a message, on one line: its beginning and end where it is long; a `Path` in full."""
    if isinstance(value, Path):
        return repr(str(value))
    try:
        shown = repr(value)
    except Exception as error:
        # A message about a bad value must not fail because of it.
        shown = f"<{type(value).__name__} whose repr raises {type(error).__name__}>"
    shown = " ".join(line.strip() for line in shown.splitlines())
    return shown if len(shown) <= _WIDTH else f"{shown[: _WIDTH - 11]} … {shown[-8:]}"


def described(error: BaseException) -> str:
    """The type and text of an exception, whatever its own ``__str__`` does."""
    try:
        text = str(error)
    except Exception as trouble:
        text = f"its text cannot be had, which raises {type(trouble).__name__}"
    return f"{type(error).__name__}: {text}"


def suggest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name nearest to `name`, or None when nothing is near."""
    return next(iter(near_names(name, tuple(known))[0]), None)


def hint(name: str, known: Iterable[str], otherwise: str) -> str:
    """What to do about an unknown `name`: a question about the nearest known ones, or `otherwise`."""
    return did_you_mean(name, tuple(known)) or otherwise


class PoNasError(Exception):
    """Base of all errors raised on purpose by po-nas, losses, proxies and surrogates.

    They can be sent to another process, with the data they carry, whatever their own arguments are.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args), self.__dict__


def _restored(kind: type[PoNasError], arguments: tuple[Any, ...]) -> PoNasError:
    # Not kind.__new__: where there are two bases, Python may find that of the wrong one.
    error: PoNasError = (OSError if issubclass(kind, OSError) else BaseException).__new__(kind)
    error.args = arguments
    return error


class FileError(PoNasError):
    """A file or folder that cannot be used: `path`, and `reason` in words."""

    form = "{path}: {reason}"
    """The message."""

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path, self.reason = Path(path), reason
        super().__init__(self.form.format(path=path, reason=reason))


class UnknownNameError(PoNasError, LookupError):
    """A name that no registry entry has."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, tuple(sorted(known))
        self.suggestion = suggest(name, self.known)
        remedy = hint(name, self.known, f"known: {names_listed(self.known)}")
        super().__init__(f"unknown {kind} {short(name)}; {remedy}")


class DuplicateNameError(PoNasError, ValueError):
    """Two plug-ins claim one name."""

    def __init__(self, kind: str, name: str, first: str, second: str) -> None:
        self.kind, self.name, self.first, self.second = kind, name, first, second
        super().__init__(f"{kind} {name!r} is registered by both {first} and {second}; rename or uninstall one of them")


class PluginError(PoNasError):
    """A plug-in that could not be loaded."""

    def __init__(self, kind: str, name: str, origin: str, cause: BaseException) -> None:
        self.kind, self.name, self.origin, self.cause = kind, name, origin, cause
        super().__init__(
            f"{kind} {name!r} from {origin} cannot be loaded: {type(cause).__name__}: {cause}; "
            "repair or uninstall it (see: po-nas plugins --check)"
        )


class UntrustedPluginError(PoNasError):
    """A file names a plug-in, which is code, and nobody has said that it is trusted.

    `plugin` is what the `file` names, `path` where its code lies.
    """

    def __init__(self, plugin: str, path: Path | str, file: Path | str) -> None:
        self.plugin, self.path, self.file = plugin, Path(path), Path(file)
        super().__init__(
            f"{file} names the plug-in {path}, whose code would run and is not known here; read it, then add --trust "
            "(in Python: trust=True)"
        )


class MissingExtraError(PoNasError, ImportError):
    """A feature whose optional dependency is not installed."""

    def __init__(self, feature: str, package: str, extra: str) -> None:
        self.feature, self.package, self.extra = feature, package, extra
        super().__init__(f"{feature} needs {package}; install it with: pip install 'po-nas[{extra}]'")


class InvalidArchitectureError(PoNasError, ValueError):
    """A string, JSON value or code that is no architecture of the space."""

    def __init__(self, space: str, value: object, reason: str) -> None:
        self.space, self.value, self.reason = space, value, reason
        super().__init__(f"{short(value)} is no architecture of {space}: {reason}")


class NotEnumerableError(PoNasError, TypeError):
    """Enumeration was asked of a space too large for it."""

    def __init__(self, space: str, size: int | None) -> None:
        self.space, self.size = space, size
        many = "no end of" if size is None else f"about {size:.2e}"
        super().__init__(f"{space} has {many} architectures and cannot be enumerated; sample it instead")


class EditPathError(PoNasError):
    """A search space in which no edit leads nearer to another architecture, against its own edit distance."""

    def __init__(self, space: str, start: str, end: str, distance: int) -> None:
        self.space, self.start, self.end, self.distance = space, start, end, distance
        super().__init__(
            f"{space}: no neighbour of {start} is nearer to {end}, {distance} edits away; make neighbours and "
            "edit_distance agree (po_nas.testing.SpaceConformance checks it)"
        )


class ConfigError(PoNasError, ValueError):
    """A configuration key or value that cannot be used."""

    def __init__(self, key: str, value: object, remedy: str) -> None:
        self.key, self.value, self.remedy = key, value, remedy
        nothing = isinstance(value, str) and not value
        super().__init__(f"{key} {remedy}" if nothing else f"{key}={short(value)}: {remedy}")


class RenamedWarning(FutureWarning):
    """An old name was used; what it names is called `new` now. Unlike a DeprecationWarning, users are shown it."""

    def __init__(self, kind: str, old: str, new: str) -> None:
        self.kind, self.old, self.new = kind, old, new
        super().__init__(f"{kind} {old} is called {new} now; {old} works in this version only")


class BudgetError(ConfigError):
    """A budget that is not positive or exceeds what there is to evaluate."""


class DataError(PoNasError):
    """Benchmark data that cannot be fetched, read or converted."""


class MissingDataError(DataError, FileNotFoundError):
    """Public benchmark data that has not been fetched yet; carries the command that fetches it."""

    def __init__(self, what: str, dataset: str) -> None:
        self.what, self.dataset = what, dataset
        self.command = f"po-nas data get {dataset}"
        super().__init__(f"{what} needs the public data set {dataset!r}; fetch it with: {self.command}")


class HashMismatchError(DataError):
    """A file whose bytes are not the published ones."""

    def __init__(self, path: Path | str, expected: str, actual: str, remedy: str) -> None:
        self.path, self.expected, self.actual = Path(path), expected, actual
        super().__init__(f"{path}: sha256 is {actual[:12]}…, expected {expected[:12]}…; {remedy}")


class UnsafePickleError(DataError):
    """A pickle that asks for something outside the allow-list."""

    def __init__(self, path: Path | str, wanted: str) -> None:
        self.path, self.wanted = Path(path), wanted
        super().__init__(f"{path}: refused, the pickle asks for {wanted}, which is not on the allow-list")


class ProxiesUnavailableError(DataError):
    """A method that needs proxy scores was asked to search where there are none."""

    def __init__(self, method: str, space: str, reason: str) -> None:
        self.method, self.space, self.reason = method, space, reason
        super().__init__(
            f"method {method!r} needs proxy scores on {space}: {reason}; have some computed (proxies=[…], for "
            "networks of your own with example_inputs), search a benchmark that has them (po-nas benchmarks list), or "
            "use a method that needs none, such as gp_bo"
        )


class IncompleteObjectiveError(PoNasError, TypeError):
    """An objective that lacks a part of the contract."""

    def __init__(self, kind: str, missing: str) -> None:
        self.kind, self.missing = kind, missing
        super().__init__(
            f"the objective {kind} has no {missing!r}; add it, or subclass po_nas.core.objective.Objective, which has "
            "defaults for all but name, space, metric and evaluate"
        )


class NotATableError(DataError, TypeError):
    """A benchmark whose architectures are trained, or whose values are predicted, was asked for what a table has."""

    def __init__(self, benchmark: str, instead: str = "trains its architectures") -> None:
        self.benchmark = benchmark
        super().__init__(
            f"benchmark {benchmark!r} {instead} and has no table; it can be searched "
            f"(po-nas search benchmark={benchmark} …), not read"
        )


class MissingImagesError(DataError, FileNotFoundError):
    """An image data set that is not where it was looked for; carries what to do."""

    def __init__(self, dataset: str, folder: Path | str, reason: str, remedy: str) -> None:
        self.dataset, self.folder, self.reason, self.remedy = dataset, Path(folder), reason, remedy
        super().__init__(f"images of {dataset}: {folder} {reason}; {remedy}")


class CorruptImageError(DataError, ValueError):
    """An image, or a file of images or labels, that cannot be read as what it should be."""

    def __init__(self, where: str, reason: str) -> None:
        self.where, self.reason = where, reason
        super().__init__(f"{where}: {reason}; repair or remove it")


class ClassCountError(DataError, ValueError):
    """Images whose labels are not those of the data set."""

    def __init__(self, dataset: str, expected: int, found: str) -> None:
        self.dataset, self.expected, self.found = dataset, expected, found
        super().__init__(f"images of {dataset}: expected {expected} classes, found {found}; is this the right folder?")


class ScoreError(PoNasError, ValueError):
    """Scores that cannot be compared: shapes that differ, missing values, a top share out of range."""


class SurrogateError(PoNasError):
    """A surrogate that cannot be fitted or asked."""


class EncodingError(SurrogateError, ValueError):
    """Encodings of architectures whose shapes or values cannot be used."""


class SurrogateDataError(SurrogateError, ValueError):
    """Targets or inputs that a surrogate cannot be fitted to, or inputs unlike those that it was fitted to."""


class NotFittedError(SurrogateError, RuntimeError):
    """A surrogate was asked for predictions before it was fitted."""

    def __init__(self, surrogate: str) -> None:
        self.surrogate = surrogate
        super().__init__(f"{surrogate} has not been fitted; call fit(inputs, targets) before posterior(inputs)")


class TrainingDivergedError(SurrogateError, ArithmeticError):
    """The training loss of a member became NaN or infinite."""

    def __init__(self, member: int, step: int, loss: str, learning_rate: float) -> None:
        self.member, self.step, self.loss, self.learning_rate = member, step, loss, learning_rate
        super().__init__(
            f"the loss {loss!r} of member {member} is not finite at step {step} (learning rate {learning_rate:g}); "
            "lower the learning rate or the gradient clip"
        )


class CheckpointError(FileError, SurrogateError):
    """A checkpoint of a pre-trained encoder that is damaged, or that another version wrote."""

    form = "{path} {reason}; remove it"


class TrainingError(PoNasError):
    """The training of a network that failed."""


class LossNotFiniteError(TrainingError, ArithmeticError):
    """The training loss of a network became NaN or infinite."""

    def __init__(self, epoch: int, learning_rate: float) -> None:
        self.epoch, self.learning_rate = epoch, learning_rate
        super().__init__(
            f"the training loss is not finite in epoch {epoch} (learning rate {learning_rate:g}); "
            "lower recipe.learning_rate or recipe.clip"
        )


class TrainingMemoryError(TrainingError, MemoryError):
    """A training that does not fit the memory of the device, even in small parts."""

    def __init__(self, batch: int, parts: int) -> None:
        self.batch, self.parts = batch, parts
        super().__init__(
            f"out of memory with a batch of {batch} in {parts} parts; lower recipe.batch or recipe.network.channels"
        )


class SamplesError(TrainingError, ValueError):
    """Samples that nothing can be trained on; `where` is train, validation, test, or given (any of them)."""

    def __init__(self, where: str, found: str, remedy: str) -> None:
        self.where, self.found, self.remedy = where, found, remedy
        super().__init__(f"{where} samples: {found}; {remedy}")


class NoSamplesError(TrainingError, ValueError):
    """Data that gave no batch to train on or to validate with."""

    def __init__(self, length: int) -> None:
        self.length = length
        super().__init__(f"data of length {length} give no batch of two samples; give more samples")


class NetworkOutputError(TrainingError, ValueError):
    """A network that returns something else than its task needs."""

    def __init__(self, found: object, expected: str) -> None:
        self.found, self.expected = found, expected
        shown = f"outputs of shape {found}" if isinstance(found, tuple) else str(found)
        super().__init__(f"the network returns {shown}, its training needs {expected}")


class TrainingStorageError(FileError, TrainingError):
    """What a training leaves behind could not be written."""

    form = "{path}: cannot be written ({reason}); make room and run the same command again"


class TrainingCheckpointError(FileError, TrainingError):
    """A checkpoint of a training that is damaged, or one of another training."""

    form = "{path}: {reason}; remove it to start the training again, or choose another folder"


class JournalError(PoNasError):
    """A run journal that cannot be read or written."""

    def __init__(self, path: Path | str, line: int | None, reason: str) -> None:
        self.path, self.line, self.reason = Path(path), line, reason
        where = f"{path}, line {line}" if line is not None else f"{path}"
        super().__init__(f"{where}: {reason}")


class RunDirectoryError(FileError):
    """A run directory that cannot be used as asked."""


class RunLockedError(RunDirectoryError):
    """A run directory that another process holds."""

    def __init__(self, path: Path | str, holder: str) -> None:
        self.holder = holder
        super().__init__(path, f"another process holds this run ({holder}); wait for it or stop it")


class StudyError(RunDirectoryError):
    """Parts of a study that failed: `failed` says why, by the part's title. Finished parts are kept."""

    def __init__(self, path: Path | str, failed: Mapping[str, str]) -> None:
        self.failed = dict(failed)
        title, reason = next(iter(self.failed.items()))
        what = f"{title}: {reason}" + (f"; {len(self.failed)} parts in all" if len(self.failed) > 1 else "")
        super().__init__(
            path,
            f"a part failed ({what}); finished ones are kept, run the same command again, with fewer --workers if "
            "memory is short",
        )


class ExecutorError(PoNasError):
    """Workers that cannot be started, or what runs them (Ray, Slurm) is gone; what was finished is in the journal."""


class WorkerLostError(PoNasError):
    """A worker that died or fell silent while it evaluated; the message says how, as in "was killed by SIGKILL"."""


class SearchExhaustedError(PoNasError):
    """A searcher has nothing left to propose."""


class ProxyError(PoNasError):
    """A proxy that has no score; `proxy` names it (``"*"`` when it concerns all), `reason` says why."""

    def __init__(self, proxy: str, reason: str) -> None:
        self.proxy, self.reason = proxy, reason
        super().__init__(proxy, reason)

    def __str__(self) -> str:
        return self.reason if self.proxy == "*" else f"proxy {self.proxy!r}: {self.reason}"


class ProxyBatchError(ProxyError, ValueError):
    """A batch that cannot be scored on: too small, not finite, labels missing or out of range.

    `part` says which part of it: ``"inputs"``, ``"labels"``, ``"batch"`` (the pair), ``"samples"`` (their number) or
    ``"loss"``; empty where nobody said.
    """

    def __init__(self, proxy: str, reason: str, part: str = "") -> None:
        self.part = part
        super().__init__(proxy, reason)


class UnsupportedModuleError(ProxyError, TypeError):
    """A module without what the proxy looks at; `lacks` names it (``"ReLU"``, …), `operator` where it lacks that."""

    def __init__(self, proxy: str, reason: str, lacks: str = "", operator: str = "") -> None:
        self.lacks, self.operator = lacks, operator
        super().__init__(proxy, reason)


class MissingPassError(ProxyError, AttributeError):
    """A proxy asked its context for something of a pass that its spec does not name."""

    def __init__(self, proxy: str, attribute: str, needed: str) -> None:
        self.attribute, self.needed = attribute, needed
        super().__init__(proxy, f"context.{attribute} needs the pass {needed!r}; add it to the passes of the spec")


class ProxyFailedError(ProxyError):
    """A pass or a proxy's own function raised something unforeseen."""


class ProxyValueError(ProxyError, ValueError):
    """A proxy's function returned something else than a finite number."""


class ProxyMemoryError(ProxyError, MemoryError):
    """There was not enough memory; the batch is never made smaller on its own, because that changes scores."""


class ProxyWorkerError(ProxyError):
    """A process that was scoring died or could not be sent its work."""


class ScoreCacheError(FileError):
    """A file of cached scores that cannot be used."""


class FormulaError(PoNasError, ValueError):
    """A text that is no formula over the functions and variables there are; `part` is what is wrong in it, or empty."""

    def __init__(self, formula: str, reason: str, part: str = "") -> None:
        self.formula, self.reason, self.part = formula, reason, part
        super().__init__(f"formula {formula!r}: {reason}")


class EvolvedProxyError(PoNasError, ValueError):
    """A file of an evolved proxy that is damaged, or does not fit what is here."""

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path, self.reason = str(path), reason
        super().__init__(str(path), reason)

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


class ProblemError(PoNasError, ValueError):
    """A problem, or a choice of problems, that no proxy can be evolved on."""


# Names in version 0.1.
MetricsUnavailableError, EvolvedMetricError = ProxiesUnavailableError, EvolvedProxyError
