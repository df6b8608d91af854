"""SVG 1.1: one path for each letter and each rule of a frame, in millimetres."""

from typing import Final
from xml.sax.saxutils import escape

from core.monogram.composition import Drawing
from core.monogram.export.page import Page, name_pieces
from core.monogram.outline import svg_path

_DIGITS: Final = 3  # a thousandth of a millimetre


def write(drawing: Drawing, page: Page, about: str) -> bytes:
    """Return the drawing as SVG; `about` goes into its metadata."""
    side = f"{page.side:g}"
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{side}mm" height="{side}mm" viewBox="0 0 {side} {side}">',
        f"<metadata>{escape(about)}</metadata>",
    ]
    if page.ground is not None:
        lines.append(f'<rect width="{side}" height="{side}" fill="{page.ground}"/>')
    lines.append(f'<g fill="{page.ink}" fill-rule="evenodd">')
    lines += [f'<path id="{name}" d="{svg_path(piece, page.side, _DIGITS)}"/>' for name, piece in name_pieces(drawing)]
    return "\n".join([*lines, "</g>", "</svg>", ""]).encode()
