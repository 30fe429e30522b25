"""A hook of MkDocs: pages made of files that lie elsewhere, or of what the code says of itself."""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from natsdb.cli import app
from natsdb.schema.meanings import KEYS
from natsdb.schema.tables import TABLES
from natsdb.sql import MACROS, VIEWS, comment

ROOT = Path(__file__).parents[1]
# Pages by the files that they are made of; those in docs/ are pages by themselves.
PAGES = {
    "README.md": "index.md",
    "training/README.md": "training.md",
    "notebooks/README.md": "notebooks.md",
    "natsdb/builtin/README.md": "builtin.md",
    "natsdb/embedded/README.md": "embedded.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
}
_LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, and the files of the repository that any page links to."""
    made = {page: (ROOT / source).read_text("utf-8") for source, page in PAGES.items()}
    made |= {"sql.md": sql_reference(), "cli.md": command_reference()}
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    linked = {
        path
        for file in files.documentation_pages()
        for link in _LINK.findall(file.content_string)
        if (path := _path(link, file.src_uri)) and not path.startswith("docs/") and path not in PAGES
    }
    for path in sorted(linked):
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links between files of the repository become links between pages."""

    def moved(link: re.Match[str]) -> str:
        path = _path(link[1], page.file.src_uri)
        return link[1] if path is None else PAGES.get(path, path.removeprefix("docs/"))

    return _LINK.sub(moved, markdown)


def _path(link: str, page: str) -> str | None:
    """The file of the repository that a page's link means; None if there is none, which MkDocs then says."""
    source = next((source for source, made in PAGES.items() if made == page), f"docs/{page}")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    return path if (ROOT / path).is_file() else None


def sql_reference() -> str:
    """Every table, view and macro, and the official keys."""
    lines = ["# SQL reference", "", "What `natsdb info NAME` says.", "", "## Tables", ""]
    for table in TABLES.values():
        lines += [f"### {table.name}", "", f"A row is {_plain(table.row)}. Key: {', '.join(table.key)}.", ""]
        lines += ["| column | type | meaning |", "|---|---|---|"]
        lines += [f"| `{one.name}` | {one.type} | {_plain(one.meaning)} |" for one in table.columns]
        lines.append("")
    for title, names in (("Views", VIEWS), ("Macros", MACROS)):
        lines += [f"## {title}", ""]
        for name in names:
            lines += [f"### {name}", "", _plain(comment(name)), ""]
    lines += ["## Official keys", "", "| key | meaning |", "|---|---|"]
    lines += [f"| `{key}` | {_plain(meaning)} |" for key, meaning in KEYS.items()]
    return "\n".join(lines) + "\n"


def command_reference() -> str:
    """Every command with its arguments and options."""
    lines = ["# Command line", "", "What `natsdb COMMAND --help` says."]
    for name, command in _commands(typer.main.get_command(app), "natsdb"):
        said, _, example = (command.help or "").partition("Example: ")
        lines += ["", f"## {name}", "", _plain(said.strip()), "", f"    {example.strip()}", ""]
        lines += ["| | |", "|---|---|"]
        for one in command.params:
            names = " ".join(f"`{text}`" for text in one.opts) if one.param_type_name == "option" else f"`{one.name}`"
            lines.append(f"| {names} | {_plain(getattr(one, 'help', None) or '')} |")
    return "\n".join(lines) + "\n"


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        for inner, one in command.commands.items():
            yield from _commands(one, f"{name} {inner}")
    else:
        yield name, command


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return re.sub(r"([|*_])", r"\\\1", html.escape(text, quote=False))
