"""The configuration files that come with the package, and which file a word of the command line means."""

from __future__ import annotations

from pathlib import Path

from po_nas.errors import ConfigError, UnknownNameError

__all__ = ["config_path", "folder", "packaged_file", "packaged_files"]

_PACKAGE = Path(__file__).parents[1]
_SUFFIXES = (".yaml", ".yml")


def folder() -> Path:
    """Where they are: in an installed package beside its modules, in a checkout beside the package."""
    inside = _PACKAGE / "configs"
    return inside if inside.is_dir() else _PACKAGE.parent / "configs"


def packaged_files() -> list[Path]:
    """All of them, sorted by path; not the published figures that studies name."""
    return sorted(file for file in folder().rglob("*.yaml") if file.parent.name != "numbers")


def packaged_file(name: str | Path) -> Path:
    """The one of that name, with or without its folder, its suffix or a leading ``configs/``.

    ``pwlnas_table2`` and ``configs/published/pwlnas_table2.yaml`` are one. Raises `UnknownNameError`, and `ConfigError`
    for a name that two folders have.
    """
    found = _named(Path(name))
    if found is None:
        raise UnknownNameError("configuration", str(name), [file.stem for file in packaged_files()])
    return found


def config_path(given: str | Path) -> Path:
    """The file that a word of the command line means: a path that is there, else the packaged file of that name.

    A path that names neither is returned as it is, for its reader to refuse; a plain word raises `UnknownNameError`.
    """
    path = Path(given)
    if path.exists():
        return path
    named = _named(path)
    if named is not None:
        return named
    return path if path.suffix in _SUFFIXES or len(path.parts) > 1 else packaged_file(path)


def _named(path: Path) -> Path | None:
    wanted = path.with_suffix("") if path.suffix in _SUFFIXES else path
    parts = wanted.parts[1:] if wanted.parts[:1] == ("configs",) else wanted.parts
    found = [file for file in packaged_files() if parts and _name(file)[-len(parts) :] == parts]
    exact = [file for file in found if _name(file) == parts]
    if len(found) > 1 and not exact:
        names = " and ".join("/".join(_name(file)) for file in found)
        raise ConfigError("configuration", path, f"may be {names}; name the folder as well")
    return next(iter(exact or found), None)


def _name(file: Path) -> tuple[str, ...]:
    return file.relative_to(folder()).with_suffix("").parts
