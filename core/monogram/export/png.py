"""PNG at any size: grey where black stands on white, in colours or transparent otherwise."""

from io import BytesIO

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from core.monogram.composition import Drawing
from core.monogram.export.page import Page, rgb
from core.monogram.render import render


def write(drawing: Drawing, page: Page, about: str) -> bytes:
    """Return the drawing as PNG; `about` goes into a text chunk of it."""
    grey = render(drawing.pieces, page.pixels)
    text = PngInfo()
    text.add_itxt("Vyaz", about)
    dots = round(page.pixels / page.side * 25.4)
    out = BytesIO()
    _colour(grey, page).save(out, "PNG", pnginfo=text, dpi=(dots, dots))
    return out.getvalue()


def _colour(grey: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], page: Page) -> Image.Image:
    if page.ground is not None and page.ink == "#000000" and page.ground == "#ffffff":
        return Image.fromarray(grey)
    cover = 255 - grey
    ink = np.broadcast_to(np.array(rgb(page.ink), dtype=np.uint8), (*grey.shape, 3))
    if page.ground is None:
        return Image.fromarray(np.concatenate([ink, cover[..., None]], axis=2))
    share = cover[..., None].astype(np.uint16)
    ground = np.array(rgb(page.ground), dtype=np.uint16)
    mixed = (ink * share + ground * (255 - share) + 127) // 255
    return Image.fromarray(mixed.astype(np.uint8))
