"""What z is mapped to: prototypes, means of a few fonts each, which the sampler mixes by nearness.

Never one Gaussian over the style vectors: it falls between kinds of letters. A prototype stays only if the decoder
draws its whole alphabet with as many parts and holes as fonts have: few fonts show all letters of both scripts.
"""

from typing import Final

import torch
from torch import Tensor

from core.networks.style import HEADS, LATENT, Decoder, Sampler
from core.training.style.framing import Framed
from core.training.style.tables import Table
from core.training.views import euler

_ROUNDS: Final = 12  # of Lloyd's algorithm
_USUAL: Final = 0.05  # the least share of fonts that makes a number of parts less holes usual for a letter
_WHOLE: Final = 0.93  # the least share of letters that a prototype draws as usual
_NEIGHBOURS: Final = 3.0  # prototypes that a style is mixed of, as the exponential of the entropy
_TRIES: Final = 2048


@torch.no_grad()
def fit(sampler: Sampler, decoder: Decoder, vectors: Tensor, table: Table, framed: Framed) -> None:
    """Fill a sampler from the style vectors [S, W]; the same input gives the same sampler."""
    noise = torch.Generator().manual_seed(len(vectors))
    usual = _usual(table, framed)
    centres = _pair_up(_centres(vectors, table.weights, 2 * len(sampler.prototypes), noise), vectors, table.weights)
    whole = torch.stack([_wholeness(decoder, centre, usual) for centre in centres])
    kept = whole.argsort(descending=True, stable=True)[: len(sampler.prototypes)]
    good = centres[kept[whole[kept] >= min(_WHOLE, float(whole[kept].max()))]]
    # A table of fixed length: what is left of it repeats good ones.
    filled = good[torch.arange(len(sampler.prototypes)) % len(good)]
    sampler.prototypes.copy_(filled)
    sampler.mean.copy_(good.mean(0))
    sampler.places.copy_(_places(good, sampler.places.shape[1])[torch.arange(len(filled)) % len(good)])
    sampler.nearness.fill_(_nearness(sampler, noise))


def _usual(table: Table, framed: Framed) -> list[Tensor]:
    """Return, for each letter, the numbers of parts less holes that at least `_USUAL` of the fonts have."""
    numbers = torch.cat(
        [euler(framed.rows(rows).view(-1, 64, 64) > 0) for rows in table.portions(torch.arange(len(table)))]
    )
    found = []
    for head in range(HEADS):
        values, counts = torch.unique(numbers[table.heads == head], return_counts=True)
        found.append(values[counts >= _USUAL * counts.sum()])
    return found


def _wholeness(decoder: Decoder, centre: Tensor, usual: list[Tensor]) -> Tensor:
    """Return the share of letters that a style draws with a usual number of parts less holes."""
    own = torch.einsum("hk,hkb->hb", decoder.coefficients(centre[None])[0], decoder.turns)
    drawn = euler((own @ decoder.basis + decoder.means).view(-1, 64, 64) > 0)
    return torch.stack([torch.isin(drawn[head], usual[head]) for head in range(HEADS)]).float().mean()


def _centres(vectors: Tensor, weights: Tensor, count: int, noise: torch.Generator) -> Tensor:
    """Find centres of style vectors by Lloyd's algorithm, begun at vectors drawn by weight."""
    count = min(count, len(vectors))
    centres = vectors[torch.multinomial(weights, count, generator=noise)].clone()
    pull = weights.float()
    for _ in range(_ROUNDS):
        nearest = torch.cdist(vectors, centres).argmin(1)
        mass = torch.zeros(count).index_add_(0, nearest, pull)
        total = torch.zeros_like(centres).index_add_(0, nearest, vectors * pull[:, None])
        centres = torch.where((mass > 0)[:, None], total / mass.clamp(min=1e-12)[:, None], centres)
    return centres


def _pair_up(centres: Tensor, vectors: Tensor, weights: Tensor) -> Tensor:
    """Move a centre that is one font's own halfway to the nearest other: no font's vector is given away."""
    nearest = torch.cdist(vectors, centres).argmin(1)
    alone = torch.bincount(nearest, minlength=len(centres)) < 2
    apart = torch.cdist(centres, vectors)
    apart[apart < 1e-4] = torch.inf
    other = vectors[apart.argmin(1)]
    return torch.where(alone[:, None], (centres + other) / 2, centres)


def _places(prototypes: Tensor, size: int) -> Tensor:
    """Return principal coordinates [P, size], each spread like a standard normal by rank."""
    centred = prototypes - prototypes.mean(0)
    _, _, axes = torch.linalg.svd(centred, full_matrices=False)
    found = centred @ axes[:size].T
    ranks = found.argsort(dim=0, stable=True).argsort(dim=0, stable=True)
    places = torch.special.ndtri((ranks.double() + 0.5) / len(prototypes)).float()
    return torch.nn.functional.pad(places, (0, size - places.shape[1]))


def _nearness(sampler: Sampler, noise: torch.Generator) -> float:
    """Return the width of the mixture at which `_NEIGHBOURS` prototypes share a typical style."""
    place = torch.randn(_TRIES, LATENT, generator=noise)[:, : sampler.places.shape[1]]
    near = place @ sampler.places.T - sampler.places.square().sum(dim=1) / 2
    low, high = 0.05, 10.0
    for _ in range(40):
        width = (low * high) ** 0.5
        share = torch.softmax(near / width**2, dim=1)
        count = torch.special.entr(share).sum(1).exp().mean()
        low, high = (width, high) if count < _NEIGHBOURS else (low, width)
    return float((low * high) ** 0.5)
