"""Which licences allow training on a font, and how each is recognised. What is not recognised is left out."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

# SPDX identifier -> what its text, or its address, is recognised by.
ALLOWED: Final[dict[str, re.Pattern[str]]] = {
    "OFL-1.1": re.compile(r"SIL Open Font License|scripts\.sil\.org/OFL|openfontlicense\.org", re.IGNORECASE),
    "Apache-2.0": re.compile(r"Apache License,?\s+Version 2\.0|apache\.org/licenses/LICENSE-2\.0", re.IGNORECASE),
    "Ubuntu-font-1.0": re.compile(r"Ubuntu Font Licen[cs]e,?\s+Version 1\.0|UBUNTU FONT LICENCE", re.IGNORECASE),
    "CC0-1.0": re.compile(r"CC0 1\.0|creativecommons\.org/publicdomain/zero/1\.0", re.IGNORECASE),
    "Bitstream-Vera": re.compile(r"Bitstream Vera is a trademark", re.IGNORECASE),
    "MIT": re.compile(r"Permission is hereby granted, free of charge, to any person obtaining a copy", re.IGNORECASE),
}

_FILES: Final = re.compile(r"(OFL|UFL|LICEN[CS]E|COPYING|COPYRIGHT|APACHE)([-_. ].*)?", re.IGNORECASE)
_MAX_CHARACTERS: Final = 1 << 16


def recognise(texts: Iterable[str]) -> str | None:
    """Return the SPDX identifier of the first allowed licence that a text names, or None."""
    for text in texts:
        for identifier, pattern in ALLOWED.items():
            if pattern.search(text):
                return identifier
    return None


def beside(path: Path, root: Path) -> str | None:
    """Return the licence told by a licence file in the font's folder, or in one above it up to `root`."""
    for folder in [path.parent, *path.parent.parents]:
        if not folder.is_relative_to(root):
            return None
        found = recognise(_texts(folder))
        if found:
            return found
    return None


def _texts(folder: Path) -> Iterable[str]:
    for file in sorted(folder.iterdir()):
        if _FILES.fullmatch(file.name) and file.is_file():
            with file.open(encoding="utf-8", errors="replace") as stream:
                yield stream.read(_MAX_CHARACTERS)


def decide(own: tuple[str, ...], neighbour: str | None) -> str | None:
    """Return the licence of a font: its own words decide, the file beside it only where it has none."""
    return recognise(own) if own else neighbour
