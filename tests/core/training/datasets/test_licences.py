"""Whose word on a font's licence counts, and which licences are enough."""

import gzip
from pathlib import Path

import pytest

from core.training.datasets import licences

STANZA = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nCopyright: 2020 A\n"
LIST = """Licenses for source package texlive-extra

grand: ofl lppl1.3c
texmf-dist/doc/fonts/grand/*
texmf-dist/fonts/opentype/public/grand/*
mixed: gpl ofl
texmf-dist/fonts/opentype/public/mixed/*
silent:
texmf-dist/fonts/opentype/public/silent/*
polish: gfl
texmf-dist/fonts/opentype/public/polish/*
"""


def unpack(root: Path, licence: str, package: str = "fonts-some") -> Path:
    """A Debian package unpacked into a folder, with one font."""
    documents = root / "usr/share/doc" / package
    documents.mkdir(parents=True)
    (documents / "copyright").write_text(f"{STANZA}License: {licence}\n", encoding="utf-8")
    font = root / "usr/share/fonts/truetype/some/a.ttf"
    font.parent.mkdir(parents=True, exist_ok=True)
    font.touch()
    return font


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("This Font Software is licensed under the SIL Open Font License, Version 1.1.", "OFL-1.1"),
        ("Licensed under the OFL v1.1.", "OFL-1.1"),
        ("This work is released under the GUST Font License", "GFL-1.0"),
        ("LaTeX Project Public License, version 1.3c or later", "LPPL-1.3c"),
        ("Public Domain ", "public-domain"),
        ("Licensed under the Apache License, Version 2.0", "Apache-2.0"),
        ("The use of this font is granted subject to the GNU General Public License with font exception.", None),
        ("Creative Commons Attribution-ShareAlike 4.0 International", None),
        ("Free for personal, non-commercial use.", None),
    ],
)
def test_the_words_of_a_font_name_its_licence_and_go_before_any_other(words: str, name: str | None) -> None:
    assert licences.decide((words,), "MIT") == name


def test_words_that_name_no_licence_leave_the_question_to_what_lies_beside_the_font() -> None:
    assert licences.decide(("NAVER Corporation", "www.navercorp.com"), "OFL-1.1") == "OFL-1.1"
    assert licences.decide(("NAVER Corporation",), None) is None


def test_a_long_text_that_mentions_the_public_domain_puts_nothing_there() -> None:
    assert licences.recognise(["terms. " * 200 + "works in the public domain" + " more terms." * 200]) is None


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("OFL-1.1", "OFL-1.1"),
        ("SIL-OFL-1.1", "OFL-1.1"),
        ("Expat", "MIT"),
        ("GUST-Font-License", "GFL-1.0"),
        ("GPL-3+ or OFL-1.1", "OFL-1.1"),
        ("OFL-1.1 and Apache-2.0", "OFL-1.1"),
        ("OFL-1.1 and GPL-2", None),
        ("GPL-2+ with Font exception", None),
        ("GPL-2", None),
    ],
)
def test_an_unpacked_debian_package_tells_the_licence_of_all_its_files(
    tmp_path: Path, field: str, name: str | None
) -> None:
    assert licences.beside(unpack(tmp_path, field), tmp_path) == name


def test_packages_in_folders_of_their_own_are_told_apart_and_two_in_one_folder_are_not_believed(tmp_path: Path) -> None:
    free, other = unpack(tmp_path / "a", "MIT", "fonts-a"), unpack(tmp_path / "b", "GPL-2", "fonts-b")
    assert licences.beside(free, tmp_path) == "MIT"
    assert licences.beside(other, tmp_path) is None
    unpack(tmp_path / "a", "GPL-2", "fonts-b")

    assert licences.beside(free, tmp_path) is None


def test_a_copyright_file_that_no_machine_can_read_tells_nothing(tmp_path: Path) -> None:
    font = unpack(tmp_path, "MIT")
    (tmp_path / "usr/share/doc/fonts-some/copyright").write_text("Files: *\n\nLicense: MIT")

    assert licences.beside(font, tmp_path) is None


@pytest.mark.parametrize(
    ("package", "name"), [("grand", "OFL-1.1"), ("polish", "GFL-1.0"), ("mixed", None), ("silent", None), ("new", None)]
)
def test_tex_lives_list_tells_the_licence_if_all_that_a_package_has_are_allowed(
    tmp_path: Path, package: str, name: str | None
) -> None:
    unpack(tmp_path, "OFL-1.1", "texlive-fonts-extra")
    with gzip.open(tmp_path / "usr/share/doc/texlive-fonts-extra/Licenses.gz", "wt") as stream:
        stream.write(LIST)
    font = tmp_path / f"usr/share/texlive/texmf-dist/fonts/opentype/public/{package}/a.otf"
    font.parent.mkdir(parents=True)
    font.touch()

    assert licences.beside(font, tmp_path) == name
