"""The catalog of translations, made from the marked sentences: `python -m tests.helpers.catalog` brings it up to date.

New sentences come in without a translation, changed ones lose theirs; those that are gone are removed. Then what the
package reads is written: `zh.mo` and the panel's `zh.json`.
"""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

from babel.messages import mofile, pofile
from babel.messages.catalog import Catalog
from babel.messages.extract import extract

PACKAGE = Path(__file__).parents[2] / "chatglm_magic"
PO = PACKAGE / "_language" / "zh.po"
MO = PO.with_suffix(".mo")
PAGE = PACKAGE / "panel" / "static"
PAGE_JSON = PAGE / "zh.json"

_PYTHON = {"tr": None, "trn": (1, 2), "marked": None}
_HEADER = "# The sentences of chatglm_magic in Chinese. Kept by: python -m tests.helpers.catalog"
_SPOKEN = ("title", "aria-label", "placeholder", "alt")
"""Attributes that a person sees or hears."""


class _Markup(HTMLParser):
    """Collects the words of a page: its texts and the attributes that are shown or read out."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_starttag(self, _: str, attrs: list[tuple[str, str | None]]) -> None:
        self.words += [value for name, value in attrs if name in _SPOKEN and value]

    def handle_data(self, data: str) -> None:
        if any(sign.isalpha() for sign in data):
            self.words.append(" ".join(data.split()))


def page_words() -> list[str]:
    """Return what the panel's page says: its markup's words, and what its scripts mark with `tr`."""
    markup = _Markup()
    markup.feed((PAGE / "panel.html").read_text(encoding="utf-8"))
    found = dict.fromkeys(markup.words)
    for path in sorted(PAGE.glob("*.js")):
        with path.open("rb") as file:
            found |= dict.fromkeys(one[1] for one in extract("javascript", file, keywords={"tr": None}))
    return list(found)


def template() -> Catalog:
    """Return all marked sentences, with the files they stand in."""
    found = Catalog(charset="utf-8")
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_bytes()
        if b"_language import" in source:
            for _, message, _, _ in extract("python", io.BytesIO(source), keywords=_PYTHON):
                found.add(message, locations=[(path.relative_to(PACKAGE.parent).as_posix(), None)])
    for message in page_words():
        found.add(message, locations=[("chatglm_magic/panel/static", None)])
    return found


def read() -> Catalog:
    """Return the catalog as it stands."""
    return pofile.read_po(io.BytesIO(PO.read_bytes()), locale="zh", abort_invalid=True)


def updated() -> Catalog:
    """Return the catalog with exactly the sentences that are marked, and the translations that still fit."""
    known = read() if PO.exists() else Catalog()
    new = Catalog(locale="zh", charset="utf-8", fuzzy=False, header_comment=_HEADER)
    for message in template():
        if message.id:
            old = known.get(message.id)
            new.add(message.id, old.string if old else None, locations=message.locations, flags=message.flags)
    return new


def po_text(catalog: Catalog) -> bytes:
    """Return the catalog as `zh.po` holds it: by file, without dates."""
    buffer = io.BytesIO()
    pofile.write_po(buffer, catalog, width=120, sort_by_file=True, omit_header=True, include_lineno=False)
    head = f'{_HEADER}\nmsgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n"Language: zh\\n"\n'
    return head.encode() + b'"Plural-Forms: nplurals=1; plural=0;\\n"\n\n' + buffer.getvalue()


def mo_bytes(catalog: Catalog) -> bytes:
    """Return the catalog as gettext reads it."""
    buffer = io.BytesIO()
    catalog.creation_date = catalog.revision_date = datetime(2026, 1, 1, tzinfo=UTC)  # the same bytes at any time
    mofile.write_mo(buffer, catalog)
    return buffer.getvalue()


def page_json(catalog: Catalog) -> str:
    """Return the translations of the panel's page: one for each sentence, also where Python has it with its plural."""
    found = {word: catalog.get(word).string for word in page_words()}
    words = {word: said if isinstance(said, str) else said[0] for word, said in found.items()}
    return json.dumps(words, ensure_ascii=False, indent=1) + "\n"


def main() -> None:
    """Write `zh.po`, `zh.mo` and `zh.json`, and print what is not translated yet."""
    PO.write_bytes(po_text(updated()))
    catalog = read()
    MO.write_bytes(mo_bytes(catalog))
    PAGE_JSON.write_text(page_json(catalog), encoding="utf-8")
    for message in catalog:
        if message.id and not message.string:
            print("untranslated:", message.id)


if __name__ == "__main__":
    main()
