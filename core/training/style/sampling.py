"""What z is mapped to: prototypes, means of a few fonts each, and the partners with which each may be mixed.

Never one Gaussian over the style vectors, nor mixtures of whatever is near in a few coordinates: both fall between
kinds of letters. A prototype stays only if the decoder draws its whole alphabet with as many parts and holes as fonts
have (few fonts show all letters of both scripts), a pair of two only if what lies halfway is as whole.
"""

from typing import Final

import torch
from torch import Tensor

from core.networks.style import HEADS, NEVER, PARTNERS, Decoder, Sampler
from core.training.style.framing import Framed
from core.training.style.tables import Table
from core.training.views import euler

_ROUNDS: Final = 12  # of Lloyd's algorithm
_USUAL: Final = 0.05  # the least share of fonts that makes a number of parts less holes usual for a letter
_WHOLE: Final = 0.95  # the least share of letters that a prototype draws as usual
_FEWEST: Final = 2 * PARTNERS  # prototypes that are kept, be they as they may
_NEAR: Final = 8  # prototypes among which partners are looked for
_LOOKS: Final = 32  # styles at a time


@torch.no_grad()
def fit(sampler: Sampler, decoder: Decoder, vectors: Tensor, table: Table, framed: Framed) -> None:
    """Fill a sampler from the style vectors [S, W]; the same input gives the same sampler."""
    noise = torch.Generator().manual_seed(len(vectors))
    usual = _usual(table, framed)
    centres, shares = _centres(vectors, table.weights, len(sampler.prototypes), noise)
    centres = _pair_up(centres, vectors)
    whole = _wholeness(decoder, centres, usual)
    least = min(_WHOLE, float(whole.sort(descending=True).values[: min(_FEWEST, len(whole))][-1]))
    kept = (whole >= least).nonzero().flatten()
    kept = kept[(centres[kept] @ _axis(centres[kept])).argsort(stable=True)]  # so that near z are near styles
    good, shares = centres[kept], shares[kept] / shares[kept].sum()
    count = len(good)
    # Tables of fixed length: what is left of them is never reached.
    sampler.prototypes.zero_()[:count] = good
    sampler.shares.fill_(NEVER)[: count - 1] = torch.special.ndtri(shares.cumsum(0)[:-1]).float()
    family = table.clusters[torch.cdist(good, vectors).argmin(1)]
    sampler.partners.zero_()[:count] = _partners(decoder, good, family, usual).float()
    sampler.mean.copy_((good * shares.float()[:, None]).sum(0))


def _axis(centres: Tensor) -> Tensor:
    """Return the direction [W] in which centres differ most."""
    first: Tensor = torch.linalg.svd(centres - centres.mean(0), full_matrices=False).Vh[0]
    return first


def _partners(decoder: Decoder, prototypes: Tensor, family: Tensor, usual: list[Tensor]) -> Tensor:
    """Return the partners [P, PARTNERS] of each prototype: of those near it the ones halfway to which is most whole.

    Of another family [P] where there is one: between two weights of one design lies that design again.
    """
    apart = torch.cdist(prototypes, prototypes)
    apart[apart < 1e-4] = torch.inf  # its own, or the same twice
    apart[family[:, None] == family] += 1e3  # last of all
    near = apart.argsort(dim=1, stable=True)[:, : min(_NEAR, max(1, len(prototypes) - 1))]
    halfway = (prototypes[:, None] + prototypes[near]) / 2
    whole = _wholeness(decoder, halfway.flatten(0, 1), usual).view(near.shape)
    best = whole.argsort(dim=1, descending=True, stable=True)
    best = best[:, torch.arange(PARTNERS) % best.shape[1]]
    return near.gather(1, best)


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


def _wholeness(decoder: Decoder, styles: Tensor, usual: list[Tensor]) -> Tensor:
    """Return the share of letters that each style [N, W] draws with a usual number of parts less holes, [N]."""
    found = []
    for start in range(0, len(styles), _LOOKS):
        some = styles[start : start + _LOOKS]
        own = torch.einsum("nhk,hkb->nhb", decoder.coefficients(some), decoder.turns)
        drawn = euler((own @ decoder.basis + decoder.means).flatten(0, 1).view(-1, 64, 64) > 0).view(len(some), HEADS)
        found.append(torch.stack([torch.isin(drawn[:, head], usual[head]) for head in range(HEADS)]).float().mean(0))
    return torch.cat(found)


def _centres(vectors: Tensor, weights: Tensor, count: int, noise: torch.Generator) -> tuple[Tensor, Tensor]:
    """Find centres of style vectors by Lloyd's algorithm, begun at vectors drawn by weight; and the weight of each."""
    count = min(count, len(vectors))
    centres = vectors[torch.multinomial(weights, count, generator=noise)].clone()
    pull = weights.float()
    for _ in range(_ROUNDS):
        nearest = torch.cdist(vectors, centres).argmin(1)
        mass = torch.zeros(count).index_add_(0, nearest, pull)
        total = torch.zeros_like(centres).index_add_(0, nearest, vectors * pull[:, None])
        centres = torch.where((mass > 0)[:, None], total / mass.clamp(min=1e-12)[:, None], centres)
    nearest = torch.cdist(vectors, centres).argmin(1)
    return centres, torch.zeros(count, dtype=torch.float64).index_add_(0, nearest, weights.double())


def _pair_up(centres: Tensor, vectors: Tensor) -> Tensor:
    """Move a centre that is one font's own halfway to the nearest other: no font's vector is given away."""
    nearest = torch.cdist(vectors, centres).argmin(1)
    alone = torch.bincount(nearest, minlength=len(centres)) < 2
    apart = torch.cdist(centres, vectors)
    apart[apart < 1e-4] = torch.inf
    other = vectors[apart.argmin(1)]
    return torch.where(alone[:, None], (centres + other) / 2, centres)
