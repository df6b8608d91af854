"""Where stage A1 begins: a basis of fields, each letter's coefficients in it, and a linear code of every style.

Everything is found by linear algebra from the dataset alone: principal components of all letters about their means, a
rotation of each letter's coordinates to a few coefficients, then principal components of whole alphabets, missing
letters guessed from those present (Ilin and Raiko, "Practical approaches to PCA in the presence of missing values",
2010: alternating ridge regressions).
"""

from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from core.networks.style import CELLS, HEADS, Architecture, Decoder
from core.training.style.framing import Framed
from core.training.style.tables import Table

_SAMPLE: Final = 24_000  # rows that the components are found from
_FACTORS: Final = 24  # that missing letters are guessed by
_TURNS: Final = 8
_RIDGE: Final = 0.02
# How far fields differ, in their own unit, for 1 of slant, middle or stretch: edges moved over about 800 cells.
FRAME_WORTH: Final = (48.0, 320.0, 55.0)


@dataclass(frozen=True)
class Beginning:
    """The fixed tables, and what training starts from."""

    basis: Tensor  # [B, 4096]
    turns: Tensor  # [heads, K, B]
    means: Tensor  # [heads, 4096]
    spread: Tensor  # [heads, K]
    targets: Tensor  # [S, heads, K] coefficients; guessed where a letter is missing
    stands: Tensor  # [S, heads, 3] frames; guessed where a letter is missing
    usual: Tensor  # [heads, 3] the mean frame of each letter
    codes: Tensor  # [S, W]; distances are distances of alphabets, the first entry varies by about 1
    heads: Tensor  # [W, heads, K + 3]: coefficients and `FRAME_WORTH` of the frame

    def prepare(self, decoder: Decoder) -> None:
        """Put the tables into a decoder."""
        with torch.no_grad():
            decoder.basis.copy_(self.basis)
            decoder.turns.copy_(self.turns)
            decoder.means.copy_(self.means)
            decoder.spread.copy_(self.spread)
            decoder.heads.copy_(self.heads[..., :-3] / self.spread)
            decoder.slant.weight.copy_(self.heads[:, :, -3].mean(1) / FRAME_WORTH[0])
            decoder.slant.bias.copy_(self.usual[:, 0].mean())
            decoder.stands.copy_(self.heads[..., -2:] / torch.tensor(FRAME_WORTH[1:]))
            decoder.usual.copy_(self.usual[:, 1:])


def find(table: Table, framed: Framed, architecture: Architecture, seed: int) -> Beginning:
    """Find all of it; the same table, seed and thread count give the same numbers."""
    means = _bytes(_means(table, framed), 1.0)
    basis = _components(table, framed, means, architecture.basis, torch.Generator().manual_seed(seed))
    coordinates = torch.cat(
        [(framed.rows(rows) - means[table.heads[rows]]) @ basis.T for rows in table.portions(torch.arange(len(table)))]
    )
    turns = _turn(table, coordinates, architecture.coefficients)
    targets = torch.zeros(len(table.rows), HEADS, architecture.coefficients)
    for head in range(HEADS):
        mine = table.heads == head
        targets[table.styles[mine], head] = coordinates[mine] @ turns[head].T
    present = table.present[:, :, None]
    count = present.sum(0).clamp(min=1)
    spread = (targets.square().sum(0) / count).sqrt().clamp(min=1e-3)
    stands = stand(table, framed)
    worth, usual = torch.tensor(FRAME_WORTH), stands.mean(0)
    filled = _fill(torch.cat([targets, (stands - usual) * worth], dim=2), table.present)
    codes, heads = _code(filled, table.weights, architecture.style)
    targets, stands = filled[:, :, :-3].contiguous(), filled[:, :, -3:] / worth + usual
    return Beginning(basis, turns, means, spread, targets, stands, usual, codes, heads.view(-1, *filled.shape[1:]))


def stand(table: Table, framed: Framed) -> Tensor:
    """Return the frame of every letter of each style [S, heads, 3]; for a missing letter, what is usual for it."""
    total = torch.zeros(HEADS, 3).index_add_(0, table.heads, framed.frames)
    count = torch.bincount(table.heads, minlength=HEADS)[:, None]
    usual = torch.where(count > 0, total / count.clamp(min=1), torch.tensor([0.0, 0.5, 1.0]))
    stands = usual.repeat(len(table.rows), 1, 1)
    stands[table.styles, table.heads] = framed.frames
    # Slant is the style's: a missing letter leans like the others.
    stands[table.styles, :, 0] = framed.frames[:, :1]
    return stands


def _means(table: Table, framed: Framed) -> Tensor:
    total = torch.zeros(HEADS, CELLS)
    for rows in table.portions(torch.arange(len(table))):
        total.index_add_(0, table.heads[rows], framed.rows(rows))
    return total / torch.bincount(table.heads, minlength=HEADS).clamp(min=1)[:, None]


def _components(table: Table, framed: Framed, means: Tensor, count: int, chance: torch.Generator) -> Tensor:
    """Return orthonormal fields [B, 4096], rounded to what bytes can hold."""
    chosen = torch.randperm(len(table), generator=chance)[:_SAMPLE]
    parts = (framed.rows(rows) - means[table.heads[rows]] for rows in table.portions(chosen))
    if len(chosen) < CELLS:  # a square of many zeros has more equal eigenvalues than LAPACK can part
        found = torch.linalg.svd(torch.cat(list(parts)), full_matrices=False).Vh[:count]
        found = F.pad(found, (0, 0, 0, count - len(found)))
    else:
        square = torch.zeros(CELLS, CELLS)
        for off in parts:
            square += off.T @ off
        found = torch.linalg.eigh(square).eigenvectors.flip(1)[:, :count].T.contiguous()
    return _bytes(found, found.abs().amax(dim=1, keepdim=True).clamp(min=1e-6))


def _turn(table: Table, coordinates: Tensor, count: int) -> Tensor:
    """Return each letter's most telling directions of coordinates, [heads, K, B]."""
    turns = torch.zeros(HEADS, count, coordinates.shape[1])
    for head in range(HEADS):
        own = coordinates[table.heads == head]
        if len(own):
            _, vectors = torch.linalg.eigh(own.T @ own)
            turns[head] = vectors.flip(1)[:, :count].T
    return _bytes(turns, turns.abs().amax(dim=2, keepdim=True).clamp(min=1e-6))


def _fill(joint: Tensor, present: Tensor) -> Tensor:
    """Guess what missing letters [S, heads, K] would be from those present [S, heads]: few factors, found in turns.

    Each style's factors are fitted to the letters that it has, each letter's loadings to the styles that have it, both
    with ridge. So a bold Latin font gets bold Cyrillic letters.
    """
    values, counts = joint.flatten(1), present.sum(1)
    factors = min(_FACTORS, len(joint) - 1)
    _, _, axes = torch.linalg.svd(values - values.mean(0), full_matrices=False)
    loadings = axes[:factors].view(factors, *joint.shape[1:])
    scores = torch.zeros(len(joint), factors)
    for _ in range(_TURNS):
        # Products of loadings, letter by letter: a style's normal matrix is the sum of its letters'.
        products = torch.einsum("fhk,ghk->hfg", loadings, loadings)
        scale = products.diagonal(dim1=1, dim2=2).mean()
        normal = torch.einsum("sh,hfg->sfg", present.float(), products)
        normal = normal + _RIDGE * (scale * counts[:, None, None] + 1e-6) * torch.eye(factors)
        moments = torch.einsum("shk,fhk->sf", joint * present[:, :, None], loadings)
        scores = torch.linalg.solve(normal, moments)
        for head in present.any(0).nonzero().flatten().tolist():
            own = scores[present[:, head]]
            gram = own.T @ own
            gram = gram + _RIDGE * (gram.diagonal().mean() + 1e-6) * torch.eye(factors)
            loadings[:, head] = torch.linalg.solve(gram, own.T @ joint[present[:, head], head])
    guessed = torch.einsum("sf,fhk->shk", scores, loadings)
    return torch.where(present[:, :, None], joint, guessed)


def _code(filled: Tensor, weights: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return codes [S, W] and heads [W, heads * K] whose product comes near filled targets [S, heads, K]."""
    flat = filled.flatten(1)
    width = min(size, len(flat))
    pull = (weights * len(weights)).sqrt().float()[:, None]  # styles that are drawn more often count for more
    weighted = pull * flat
    _, vectors = torch.linalg.eigh(weighted @ weighted.T)  # S is smaller than heads * K
    heads = vectors.flip(1)[:, :width].T @ weighted  # rows of length s
    scale = heads.norm(dim=1, keepdim=True).clamp(min=1e-6)
    unit = scale[0] / len(flat) ** 0.5  # of field distance
    codes, heads = (flat @ heads.T) / scale.T / unit, heads / scale * unit
    pad = size - width
    return torch.nn.functional.pad(codes, (0, pad)), torch.nn.functional.pad(heads, (0, 0, 0, pad))


def _bytes(values: Tensor, largest: Tensor | float) -> Tensor:
    """Round to the 255 steps that the stored tables have, so that training sees what will be shipped."""
    step = torch.as_tensor(largest) / 127
    return (values / step).round().clamp(-127, 127) * step
