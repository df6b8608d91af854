"""One drawing, one file: what all formats share, and the choice between them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from core.monogram.composition import Drawing
from core.monogram.export import dxf, pdf, png, svg
from core.monogram.export.page import Page
from core.registry import Format

_WRITERS: Final[Mapping[Format, Callable[[Drawing, Page, str], bytes]]] = {
    Format.PNG: png.write,
    Format.SVG: svg.write,
    Format.PDF: pdf.write,
    Format.DXF: dxf.write,
}

# Of the IPTC's vocabulary of digital source types: made by an algorithm that was trained on sampled content.
SOURCE_TYPE: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a drawing comes from, as its file says."""

    recipe: Mapping[str, Any]
    engine: int
    weights: str  # SHA-256

    def spell(self) -> str:
        """Return it as one line of JSON, the same for the same origin."""
        found = {
            "recipe": self.recipe,
            "engine": self.engine,
            "weights": self.weights,
            "digitalSourceType": SOURCE_TYPE,
            "software": "Vyaz",
        }
        return json.dumps(found, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def write(form: Format, drawing: Drawing, page: Page, origin: Origin) -> bytes:
    """Return a drawing as a file; the same drawing, page and origin give the same bytes."""
    return _WRITERS[form](drawing, page, origin.spell())
