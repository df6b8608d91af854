"""Pictures of what a network draws while it is trained: for TensorBoard and for eyes."""

from io import BytesIO
from typing import Final

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from core.alphabet import position
from core.networks.mlp import LATENT, Generator

LETTERS: Final = "ABGMQRSWЖЩЄЇҐДЮ38"
STYLES: Final = 8


@torch.no_grad()
def draw_samples(generator: Generator, seed: int, cell: int = 96) -> bytes:
    """Return a PNG of the same letters (columns) in a few styles (rows), a style shared along its row."""
    device = generator.codes.device
    z = torch.randn(STYLES, LATENT, generator=torch.Generator().manual_seed(seed)).to(device)
    letters = torch.tensor([position(letter) for letter in LETTERS], device=device)
    images = generator(z.repeat_interleave(len(letters), 0), letters.repeat(STYLES))
    return draw_grid(generator.to_field(images), len(LETTERS), cell)


def draw_grid(fields: Tensor, columns: int, cell: int) -> bytes:
    """Return a PNG of fields [N, 1, H, W], each drawn on `cell` pixels, dark ink on white."""
    drawn = F.interpolate(fields.float(), size=(cell, cell), mode="bicubic")
    grey = (0.5 - drawn * cell).clamp(0, 1) * 255  # one pixel wide edges
    rows = len(fields) // columns
    sheet = grey.view(rows, columns, cell, cell).transpose(1, 2).reshape(rows * cell, columns * cell)
    out = BytesIO()
    Image.fromarray(sheet.round().byte().cpu().numpy()).save(out, "PNG")
    return out.getvalue()
