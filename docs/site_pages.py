"""Hooks of mkdocs: pages of the site that lie outside ``docs/``, and links between all of them.

The pages of ``docs/`` link to files of the repository, so that they can be read on a code host. On the site README,
CHANGELOG, CONTRIBUTING and the examples are pages too, and the commands of ``po-nas`` have one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "examples/README.md": "examples/index.md",
    **{f"examples/{path.name}": f"examples/{path.stem}.md" for path in sorted((ROOT / "examples").glob("*.py"))},
    **{
        f"examples/pictures/{p.name}": f"examples/pictures/{p.name}" for p in (ROOT / "examples").glob("pictures/*.png")
    },
}
"""Files of the repository outside ``docs/`` that the site has, by the name that they have there."""

_FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]*)(#[^)\s]*)?\)")

_INTERVAL = re.compile(r"(\d) ± (\d)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of `PAGES`, and that of the command line."""
    for source, name in PAGES.items():
        path = ROOT / source
        if path.suffix == ".png":
            files.append(File.generated(config, name, abs_src_path=str(path)))
        elif path.suffix == ".py":
            files.append(File.generated(config, name, content=script_page(path.read_text(encoding="utf-8"))))
        else:
            files.append(File.generated(config, name, content=path.read_text(encoding="utf-8")))
    files.append(File.generated(config, "reference/command_line.md", content=command_page()))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    name = page.file.src_uri
    source = next((path for path, known in PAGES.items() if known == name), f"docs/{name}")
    parts = _FENCED.split(markdown)
    for number in range(0, len(parts), 2):
        parts[number] = _LINK.sub(lambda found: _on_site(found, source, name), parts[number])
        parts[number] = _INTERVAL.sub("\\1\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}\\2", parts[number])
    return "".join(parts)


def _on_site(found: re.Match[str], source: str, page: str) -> str:
    picture, text, path, anchor = found[1], found[2], found[3], found[4] or ""
    if not path or "://" in path or path.startswith("mailto:"):
        return found[0]
    target = os.path.normpath(PurePosixPath(source).parent / path)
    there = PAGES.get(target, target.removeprefix("docs/") if target.startswith("docs/") else None)
    if there is None:
        # A file that only the repository has.
        return text
    if text.endswith(".md") and not picture:
        # On a code host the name of a file says where a link leads, here the title of the page does.
        text = _title(ROOT / target)
    return f"{picture}[{text}]({os.path.relpath(there, PurePosixPath(page).parent)}{anchor})"


def _title(path: Path) -> str:
    """The first heading of a page."""
    heading = re.search(r"^# (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return heading[1] if heading else path.stem


def script_page(script: str) -> str:
    """A script of cells (``# %%``) as Markdown."""
    parts = []
    for cell in re.split(r"^# %%", script, flags=re.MULTILINE)[1:]:
        kind, _, body = cell.partition("\n")
        if "[markdown]" in kind:
            parts.append(re.sub(r"^# ?", "", body.strip(), flags=re.MULTILINE))
        else:
            parts.append(f"```python\n{body.strip()}\n```")
    return "\n\n".join(parts) + "\n"


def command_page() -> str:
    """Every command of ``po-nas`` with its arguments and options."""
    import typer.main

    from po_nas.commands.app import app

    lines = ["# Command line", "", "`po-nas --help` and `po-nas VERB --help` print the same.", ""]
    for name, command in _commands("po-nas", typer.main.get_command(app)):
        lines += [f"## {name}", "", command.help or "", ""]
        shown = [p for p in command.params if not getattr(p, "hidden", False) and p.name != "help"]
        arguments = [_argument(p) for p in shown if p.param_type_name == "argument"]
        lines += ["```", " ".join([name, *arguments, "[OPTIONS]"]), "```", ""]
        if shown:
            lines += ["| argument or option | |", "|---|---|", *map(_row, shown), ""]
    return "\n".join(lines)


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    if command.hidden:
        return
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
        return
    for word in sorted(below):
        yield from _commands(f"{name} {word}", below[word])


def _argument(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    name = parameter.name.upper() + ("…" if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _row(parameter: Any) -> str:
    names = [f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts)]
    if parameter.param_type_name == "argument":
        names = [f"`{_argument(parameter)}`"]
    help_ = (getattr(parameter, "help", None) or "").replace("|", "\\|").replace("\n", " ")
    return f"| {', '.join(names)} | {help_} |"
