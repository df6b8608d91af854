"""Fonts to a dataset version: deterministic, licensed, and not to be stopped by one broken file."""

import json
import shutil
import struct
import zlib
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from fontTools.pens.ttGlyphPen import TTGlyphPen

from core.alphabet import BASELINE, CAP_HEIGHT, LATIN, position
from core.errors import Invalid, JobError
from core.training.config import DatasetConfig
from core.training.datasets import archive, fonts, parser
from core.training.datasets.archive import Dataset
from tests.core.training.foundry import make_font


def config(folder: Path) -> DatasetConfig:
    return DatasetConfig(name="mine", path=folder)


def build(folder: Path) -> fonts.Merged:
    return fonts.merge(fonts.parse_all(fonts.sources(config(folder))))


def fill(folder: Path) -> Path:
    """Two families, a light and a bold style of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    make_font(folder / "light.ttf", style="Light", stroke=70)
    make_font(folder / "bold.ttf", style="Bold", stroke=160)
    wide = {letter: 500 + 4 * place for place, letter in enumerate(LATIN)}
    make_font(folder / "other.ttf", family="Others", stroke=110, widths=wide)
    return folder


def reason(folder: Path) -> str:
    """Why the only font of a folder was dropped."""
    (part,) = fonts.parse_all(fonts.sources(config(folder)))
    return str(json.loads(archive.unpack(part)["meta"].tobytes())["dropped"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("once") / "fonts")


@pytest.fixture(scope="module")
def merged(folder: Path) -> fonts.Merged:
    return build(folder)


def test_the_same_content_gives_the_same_bytes_wherever_the_folder_lies(
    tmp_path: Path, folder: Path, merged: fonts.Merged
) -> None:
    copy = shutil.copytree(folder, tmp_path / "moved" / "elsewhere")
    again = build(copy)
    with ZipFile(BytesIO(again.data)) as packed:
        times = {entry.date_time for entry in packed.infolist()}

    assert again.data == merged.data
    assert times == {(1980, 1, 1, 0, 0, 0)}
    assert fonts.fingerprint(fonts.sources(config(copy))) == fonts.fingerprint(fonts.sources(config(folder)))


def test_a_changed_font_gives_another_fingerprint_and_another_hash(
    tmp_path: Path, folder: Path, merged: fonts.Merged
) -> None:
    copy = shutil.copytree(folder, tmp_path / "fonts")
    make_font(copy / "bold.ttf", style="Bold", stroke=161)

    assert fonts.fingerprint(fonts.sources(config(copy))) != fonts.fingerprint(fonts.sources(config(folder)))
    assert build(copy).sha256 != merged.sha256


def test_a_version_holds_fields_labels_styles_and_clusters(merged: fonts.Merged) -> None:
    dataset = Dataset.load(merged.data)

    assert dataset.fields.shape == (3 * len(LATIN), 128, 128)
    assert np.bincount(dataset.labels).tolist() == [3] * len(LATIN)
    assert dataset.style_names == ("Frames Bold", "Frames Light", "Others Regular")
    assert dataset.clusters[0] == dataset.clusters[1] != dataset.clusters[2]
    assert dataset.sha256 == merged.sha256
    assert dataset.report == merged.report
    assert (merged.report.sources, merged.report.styles, merged.report.families) == (3, 3, 2)
    assert merged.report.licences == {"OFL-1.1": 3}
    assert merged.report.masked == {"missing": 3 * 43}


def test_a_stored_field_is_the_distance_in_steps_of_the_clamp(merged: fonts.Merged) -> None:
    dataset = Dataset.load(merged.data)
    h = dataset.fields[(dataset.labels == position("H")) & (dataset.styles == 0)][0]
    row = round((BASELINE - CAP_HEIGHT / 2) * 128)
    crossings = np.flatnonzero(np.diff(h[row] > 0))
    stroke = (crossings[1] - crossings[0]) / 128

    assert h[0, 0] == -127
    assert stroke == pytest.approx(160 / 700 * CAP_HEIGHT, abs=1 / 128)
    assert h[row].max() < 127  # the stroke is thinner than twice the clamp
    assert h[row].max() / 127 / 16 == pytest.approx(stroke / 2, abs=1 / 128)


def test_strokes_under_the_floor_are_raised_and_counted(tmp_path: Path) -> None:
    make_font(tmp_path / "hair.ttf", stroke=14)
    merged = build(tmp_path)

    assert merged.report.raised == 1
    assert Dataset.load(merged.data).strokes[0] == pytest.approx(0.04 * CAP_HEIGHT, abs=1e-4)


def test_a_broken_file_is_dropped_with_its_reason_and_stops_no_other(tmp_path: Path) -> None:
    whole = make_font(tmp_path / "whole.ttf").read_bytes()
    (tmp_path / "cut.ttf").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "noise.otf").write_bytes(b"OTTO" + bytes(range(256)) * 8)
    (tmp_path / "page.woff2").write_text("<html>not found</html>" * 9)
    (tmp_path / "readme.txt").write_text("no font")
    report = build(tmp_path).report

    assert report.sources == 1
    assert {name for name, _ in report.dropped} == {"cut.ttf", "noise.otf", "page.woff2"}
    assert dict(report.dropped)["page.woff2"] == "not a TTF, OTF, WOFF or WOFF2 file"


def test_a_font_that_makes_the_parser_fall_over_is_only_dropped(tmp_path: Path) -> None:
    loop = TTGlyphPen({f"u{ord('E'):04X}": None})
    loop.addComponent(f"u{ord('E'):04X}", (1, 0, 0, 1, 0, 0))
    font = make_font(tmp_path / "loop.ttf")
    data = bytearray(font.read_bytes())
    start = data.index(b"glyf", 12)
    offset = int.from_bytes(data[start + 8 : start + 12], "big")
    # Every contour count becomes -1: composites of whatever bytes follow.
    data[offset : offset + 2] = b"\xff\xff"
    data[offset + 10 : offset + 14] = b"\x00\x22\x00\x00"  # more components, all of glyph 0, which is this one
    font.write_bytes(bytes(data))

    assert reason(tmp_path).startswith("broken:")


def test_a_font_that_takes_too_long_is_dropped(tmp_path: Path) -> None:
    make_font(tmp_path / "slow.ttf")
    (source,) = fonts.sources(config(tmp_path))
    (part,) = (fonts.parse(source, seconds=0.01),)

    assert b"dropped" in archive.unpack(part)["meta"].tobytes()


def test_a_table_that_unpacks_to_more_memory_than_the_parser_may_have_only_drops_the_font(tmp_path: Path) -> None:
    packer = zlib.compressobj(1)
    zeros = bytes(1 << 20)
    size = parser.MEMORY_BYTES + len(zeros)
    bomb = b"".join([packer.compress(zeros) for _ in range(size >> 20)] + [packer.flush()])
    start = 44 + 2 * 20
    entries = [tag + struct.pack(">IIII", start, len(bomb), size, 0) for tag in (b"cmap", b"glyf")]
    header = b"wOFF" + struct.pack(">4sIHHIHHIIIII", b"\0\1\0\0", start + len(bomb), 2, 0, 1000, 1, 0, 0, 0, 0, 0, 0)
    (tmp_path / "bomb.woff").write_bytes(header + b"".join(entries) + bomb)

    assert "MemoryError" in reason(tmp_path)


def test_a_letter_of_far_too_many_points_is_masked(tmp_path: Path) -> None:
    crowded = TTGlyphPen(None)
    for turn in range(2500):
        crowded.moveTo((turn % 50, turn // 50))
        crowded.lineTo((turn % 50, turn // 50 + 1))
        crowded.lineTo((turn % 50 + 1, turn // 50))
        crowded.closePath()
    make_font(tmp_path / "crowded.ttf", glyphs={"B": crowded.glyph()})

    assert build(tmp_path).report.masked["complex"] == 1


def test_a_font_without_a_known_licence_is_left_out_by_name(tmp_path: Path) -> None:
    make_font(tmp_path / "secret.ttf", licence="All rights reserved. Ask for a price.")

    assert reason(tmp_path).startswith("no licence of the allow-list found")
    with pytest.raises(JobError, match=r"none of 1 font files can be used .*secret\.ttf: no licence"):
        build(tmp_path)


def test_a_licence_file_beside_the_font_counts_where_the_font_says_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "family"
    folder.mkdir()
    make_font(folder / "silent.ttf", licence=None)
    assert reason(tmp_path).startswith("no licence")
    (tmp_path / "LICENSE.txt").write_text("Apache License, Version 2.0, January 2004")

    assert build(tmp_path).report.licences == {"Apache-2.0": 1}


def test_the_words_of_a_font_go_before_a_licence_file(tmp_path: Path) -> None:
    make_font(tmp_path / "own.ttf", licence="Proprietary. Do not copy.")
    (tmp_path / "OFL.txt").write_text("SIL Open Font License 1.1")

    assert reason(tmp_path).startswith("no licence")


def test_one_design_in_two_files_counts_once(tmp_path: Path) -> None:
    shutil.copy(make_font(tmp_path / "bold.ttf", style="Bold"), tmp_path / "twin.ttf")
    report = build(tmp_path).report

    assert report.styles == 1
    assert report.repeated == (("twin.ttf: Frames Bold", "bold.ttf: Frames Bold"),)


def test_nearly_the_same_design_under_another_name_shares_its_cluster(tmp_path: Path) -> None:
    make_font(tmp_path / "a.ttf", family="One", stroke=150)
    make_font(tmp_path / "b.ttf", family="Two", stroke=158)
    make_font(tmp_path / "c.ttf", family="Three", stroke=60)

    assert Dataset.load(build(tmp_path).data).clusters.tolist() == [0, 0, 1]


def test_a_folder_without_fonts_is_invalid(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("soon")

    with pytest.raises(Invalid, match=r"no fonts \(\.otf, \.ttf, \.woff, \.woff2\) in"):
        fonts.sources(config(tmp_path))
    with pytest.raises(Invalid, match="is not a folder"):
        fonts.sources(config(tmp_path / "nowhere"))


def test_a_folder_of_nothing_but_broken_fonts_fails_with_the_reasons(tmp_path: Path) -> None:
    for name in ("a.ttf", "b.otf"):
        (tmp_path / name).write_bytes(b"\x00\x01\x00\x00 oh no" * 20)

    with pytest.raises(JobError, match=r"none of 2 font files can be used \(.*a\.ttf: "):
        build(tmp_path)


def test_a_file_that_changed_since_it_was_listed_is_dropped(tmp_path: Path) -> None:
    make_font(tmp_path / "font.ttf")
    (source,) = fonts.sources(config(tmp_path))
    make_font(tmp_path / "font.ttf", stroke=90)

    assert b"changed while" in archive.unpack(fonts.parse(source))["meta"].tobytes()


def test_the_installed_packages_give_latin_ukrainian_and_their_licences() -> None:
    found = fonts.sources(DatasetConfig())
    names = {source.name for source in found}
    manrope = next(source for source in found if source.name == "font_manrope/files/Manrope-Bold.ttf")
    dataset = Dataset.load(fonts.merge([fonts.parse(manrope)]).data)

    assert len(found) >= 90
    assert any(name.startswith("justmytype_western_core/fonts/ofl/inter/") for name in names)
    assert sorted(dataset.labels.tolist()) == list(range(69))
    assert dataset.licences == ("OFL-1.1",)


@pytest.mark.parametrize("data", [b"", b"not a zip", b"PK\x05\x06" + bytes(18)])
def test_bytes_that_are_no_dataset_are_refused(data: bytes) -> None:
    with pytest.raises(JobError, match="dataset cannot be read"):
        Dataset.load(data)


def test_a_dataset_of_another_alphabet_is_refused(merged: fonts.Merged) -> None:
    arrays = archive.unpack(merged.data)
    meta = json.loads(arrays["meta"].tobytes()) | {"letters": "ZYX"}

    with pytest.raises(JobError, match="another version of Vyaz"):
        Dataset.load(archive.pack(arrays | {"meta": archive.text(meta)}))
