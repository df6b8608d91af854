"""Which licences allow training on a font, and how each is recognised. What is not recognised is left out.

A font's own words decide. Where they name no licence, the nearest licence file does, and then the package that the font
was unpacked from: Debian's copyright file, or the list that TeX Live keeps of its packages.
"""

import gzip
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

# Name, of SPDX where it has one -> what a text, or an address, that grants it is recognised by.
ALLOWED: Final[dict[str, re.Pattern[str]]] = {
    "OFL-1.1": re.compile(
        r"Open ?Font ?Licen[cs]e|SIL Font Licen[cs]e|scripts\.sil\.org/OTF|openfontlicense\.org|\bOFL\b", re.IGNORECASE
    ),
    "Apache-2.0": re.compile(r"Apache License,?\s+Version 2\.0|apache\.org/licenses/LICENSE-2\.0", re.IGNORECASE),
    "Ubuntu-font-1.0": re.compile(r"Ubuntu Font Licen[cs]e,?\s+Version 1\.0|UBUNTU FONT LICENCE", re.IGNORECASE),
    "CC0-1.0": re.compile(r"CC0 1\.0|creativecommons\.org/publicdomain/zero/1\.0", re.IGNORECASE),
    "Bitstream-Vera": re.compile(r"Bitstream Vera is a trademark|subject to the Vera Licen[cs]e", re.IGNORECASE),
    "MIT": re.compile(
        r"Permission is hereby granted, free of charge, to any person obtaining a copy|\bMIT Licen[cs]e", re.IGNORECASE
    ),
    "GFL-1.0": re.compile(r"GUST[ -]Font[ -]Licen[cs]e", re.IGNORECASE),
    "LPPL-1.3c": re.compile(r"LaTeX Project Public Licen[cs]e", re.IGNORECASE),
    # Long texts speak of the public domain without putting anything there (Creative Commons' do).
    "public-domain": re.compile(r"\A[^\0]{0,400}\bpublic domain\b[^\0]{0,400}\Z", re.IGNORECASE),
}

# The same by the short names of Debian's copyright files and of TeX Live's list, in small letters.
_SHORT: Final[dict[str, re.Pattern[str]]] = {
    "OFL-1.1": re.compile(r"(sil[-_ ])?(ofl|open[-_ ]font[-_ ]licen[cs]e)([-_ ]?1\.[01])?(-rfn|-no-rfn)?|sil-1\.1"),
    "Apache-2.0": re.compile(r"apache-?2(\.0)?"),
    "Ubuntu-font-1.0": re.compile(r"ubuntu-font-1\.0|ufl-1\.0"),
    "CC0-1.0": re.compile(r"cc0(-?1\.0)?"),
    "Bitstream-Vera": re.compile(r"bitstream[- ]vera"),
    "MIT": re.compile(r"mit|expat"),
    "GFL-1.0": re.compile(r"gfl|gust-font-license(-1\.0)?"),
    "LPPL-1.3c": re.compile(r"lppl(-?1(\.[0-3][abc]?)?\+?)?"),
    "public-domain": re.compile(r"public[- ]domain|pd"),
}

# Name tables often hold no more than the maker's name and address: such words leave the question open.
_NAMING: Final = re.compile(
    r"licen[cs]|\b[al]?gpl|\bofl\b|public domain|creative ?commons|proprietary|permi(ssion|t)|rights reserved|\bfree"
    r"|granted?\b|\bterms\b|(redistribut|cop)(e|ed|ing|y)\b",
    re.IGNORECASE,
)
_FILES: Final = re.compile(r"(OFL|UFL|LICEN[CS]E|COPYING|COPYRIGHT|APACHE)([-_. ].*)?", re.IGNORECASE)
_MAX_CHARACTERS: Final = 1 << 16
_MAX_LIST_CHARACTERS: Final = 1 << 23
_DOCUMENTS: Final = Path("usr/share/doc")
_TREE: Final = Path("usr/share/texlive")


def recognise(texts: Iterable[str]) -> str | None:
    """Return the name of the first allowed licence that a text names, or None."""
    for text in texts:
        for name, pattern in ALLOWED.items():
            if pattern.search(text):
                return name
    return None


def decide(own: tuple[str, ...], neighbour: str | None) -> str | None:
    """Return the licence of a font: its own words decide, what lies beside it only where they name none."""
    naming = [text for text in own if _NAMING.search(text)]
    return recognise(naming) if naming else neighbour


def beside(path: Path, root: Path) -> str | None:
    """Return the licence told by a licence file in the font's folder, or in one above it up to `root`, or by a package.

    The nearest folder that tells one decides.
    """
    for folder in [path.parent, *path.parent.parents]:
        if not folder.is_relative_to(root):
            return None
        found = recognise(_texts(folder)) or _packaged(path, folder)
        if found:
            return found
    return None


def _texts(folder: Path) -> Iterable[str]:
    for file in sorted(folder.iterdir()):
        if _FILES.fullmatch(file.name) and file.is_file():
            with file.open(encoding="utf-8", errors="replace") as stream:
                yield stream.read(_MAX_CHARACTERS)


def _packaged(path: Path, folder: Path) -> str | None:
    """Return the licence of a font in a folder that exactly one Debian package was unpacked into."""
    documents = folder / _DOCUMENTS
    packages = sorted(documents.iterdir()) if documents.is_dir() else []
    if len(packages) != 1:
        return None
    if (listed := packages[0] / "Licenses.gz").is_file():
        tree = folder / _TREE
        return _listed(path.relative_to(tree).as_posix(), listed) if path.is_relative_to(tree) else None
    return _debian(packages[0] / "copyright")


@lru_cache(maxsize=1024)
def _debian(said: Path) -> str | None:
    """Return the licence of the stanza `Files: *` of a machine-readable copyright file (DEP-5)."""
    if not said.is_file():
        return None
    with said.open(encoding="utf-8", errors="replace") as stream:
        text = stream.read(_MAX_CHARACTERS)
    stanzas = re.split(r"\n\s*\n", text)
    if not stanzas[0].lstrip().startswith("Format"):
        return None
    for stanza in stanzas[1:]:
        fields = dict(re.findall(r"^([A-Z][A-Za-z-]*):[ \t]*(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE))
        if fields.get("Files", "").split() == ["*"]:
            return _choose(fields.get("License", ""))
    return None


def _choose(field: str) -> str | None:
    """Return the licence of a field `License`: one side of an "or" is enough, every side of an "and" is needed."""
    for choice in re.split(r"\s+or\s+", field.partition("\n")[0].strip().lower()):
        names = [_name(part) for part in re.split(r"\s+and\s+|,\s*", choice)]
        if None not in names:
            return names[0]
    return None


def _name(short: str) -> str | None:
    return next((name for name, pattern in _SHORT.items() if pattern.fullmatch(short.strip().lower())), None)


def _listed(place: str, listed: Path) -> str | None:
    """Return the first licence of the TeX Live packages that have a font, if every one of theirs is allowed."""
    owners = _read_list(listed)
    patterns = [place, *(f"{folder}/*" for folder in Path(place).parents)]
    shorts = next((owners[pattern] for pattern in patterns if pattern in owners), ())
    names = [_name(short) for short in shorts]
    return names[0] if names and None not in names else None


@lru_cache(maxsize=4)
def _read_list(listed: Path) -> dict[str, tuple[str, ...]]:
    """Read TeX Live's list: pattern of files -> licences of all packages that own it."""
    with gzip.open(listed, "rt", encoding="utf-8", errors="replace") as stream:
        text = stream.read(_MAX_LIST_CHARACTERS)
    owners: dict[str, tuple[str, ...]] = {}
    for pattern, shorts in _entries(text):
        owners[pattern] = owners.get(pattern, ()) + shorts
    return owners


def _entries(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    shorts: tuple[str, ...] = ()
    for line in text.splitlines():
        package, colon, licences = line.partition(":")
        if colon and "/" not in package:
            # A package without a licence owns files too, and must not inherit the one before.
            shorts = tuple(licences.split()) or ("unknown",)
        elif "/" in line:
            yield line.strip(), shorts
