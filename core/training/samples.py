"""Pictures of what a network draws while it is trained: for TensorBoard and for eyes."""

from io import BytesIO
from typing import Final

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from core.alphabet import LETTERS, position
from core.networks import mlp
from core.networks.families import Generator
from core.networks.mlp import LATENT

SHOWN: Final = "ABGMQRSWЖЩЄЇҐДЮ38"
STYLES: Final = 8


def choose_letters(labels: Tensor) -> str:
    """Return the letters worth a look in a dataset with these labels [N]: a few of a full alphabet, or all it has."""
    known = {LETTERS[label] for label in set(labels.tolist())}
    return SHOWN if known.issuperset(SHOWN) else "".join(sorted(known, key=position))


@torch.no_grad()
def draw_samples(generator: mlp.Generator, seed: int, shown: str = SHOWN, cell: int = 96) -> bytes:
    """Return a PNG of the same letters (columns) in a few styles (rows), a style shared along its row."""
    device = generator.codes.device
    z = torch.randn(STYLES, LATENT, generator=torch.Generator().manual_seed(seed)).to(device)
    letters = torch.tensor([position(letter) for letter in shown], device=device)
    images = generator(z.repeat_interleave(len(letters), 0), letters.repeat(STYLES))
    return draw_grid(generator.to_field(images), len(shown), cell)


@torch.no_grad()
def draw_alphabets(generator: Generator, w: Tensor, shown: str = SHOWN, cell: int = 96) -> bytes:
    """Return a PNG of letters (columns) in styles w [R, W] (rows)."""
    letters = torch.tensor([position(letter) for letter in shown])
    rows = [generator.draw(one.repeat(len(letters), 1), letters) for one in w]
    return draw_grid(torch.cat(rows), len(shown), cell)


def draw_grid(fields: Tensor, columns: int, cell: int) -> bytes:
    """Return a PNG of fields [N, 1, H, W], each drawn on `cell` pixels, dark ink on white."""
    drawn = F.interpolate(fields.float(), size=(cell, cell), mode="bicubic", antialias=True)
    grey = (0.5 - drawn * cell).clamp(0, 1) * 255  # one pixel wide edges
    rows = len(fields) // columns
    sheet = grey.view(rows, columns, cell, cell).transpose(1, 2).reshape(rows * cell, columns * cell)
    out = BytesIO()
    Image.fromarray(sheet.round().byte().cpu().numpy()).save(out, "PNG")
    return out.getvalue()
