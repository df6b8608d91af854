"""DXF R2010 in millimetres: closed polylines that do not overlap, a layer for each letter and rule."""

from io import StringIO
from typing import Final

from ezdxf import units
from ezdxf._options import options
from ezdxf.filemanagement import new

from core.monogram.composition import Drawing
from core.monogram.export.page import Page, name_pieces
from core.monogram.outline import flatten

CHORD: Final = 0.01  # mm between a curve and its polyline


def write(drawing: Drawing, page: Page, about: str) -> bytes:
    """Return the drawing as DXF; `about` goes into its custom properties."""
    # Instead of what ezdxf draws by lot and reads off the clock: the same drawing gives the same bytes.
    options.write_fixed_meta_data_for_testing = True
    document = new("R2010", units=units.MM)
    document.header.custom_vars.append("Vyaz", about)
    space = document.modelspace()
    for name, piece in name_pieces(drawing):
        document.layers.add(name)
        for ring in flatten(piece, CHORD / page.side):
            points = [(x * page.side, (1 - y) * page.side) for x, y in ring.tolist()]
            space.add_lwpolyline(points, close=True, dxfattribs={"layer": name})
    out = StringIO()
    document.write(out)
    return out.getvalue().encode()
