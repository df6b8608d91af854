"""PDF: one page as large as the drawing, vectors only."""

import datetime

from fpdf import FPDF
from fpdf.drawing_primitives import DeviceRGB

from core.monogram.composition import Drawing
from core.monogram.export.page import Page, name_pieces, rgb


def write(drawing: Drawing, page: Page, about: str) -> bytes:
    """Return the drawing as PDF; `about` is its subject."""
    document = FPDF(unit="mm", format=(page.side, page.side))
    # No time of day: the same drawing gives the same bytes.
    document.set_creation_date(datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
    document.set_title("Monogram")
    document.set_creator("Vyaz")
    document.set_subject(about)
    document.set_auto_page_break(False)
    document.set_margin(0)
    document.add_page()
    if page.ground is not None:
        document.set_fill_color(*rgb(page.ground))
        document.rect(0, 0, page.side, page.side, style="F")
    colour = DeviceRGB(*(part / 255 for part in rgb(page.ink)))
    for _, piece in name_pieces(drawing):
        with document.new_path() as path:
            path.style.fill_color = colour
            path.style.stroke_color = None
            path.style.stroke_width = 0
            path.style.intersection_rule = "evenodd"
            for contour in piece.contours:
                points = (contour * page.side).tolist()
                path.move_to(*points[0][0])
                for _, first, second, end in points:
                    path.curve_to(*first, *second, *end)
                path.close()
    return bytes(document.output())
