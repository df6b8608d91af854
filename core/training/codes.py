"""Where each style of a dataset lies: principal coordinates of how its letters differ from the mean letters."""

import torch
from torch import Tensor

from core.training.views import View


def code_styles(view: View, size: int) -> Tensor:
    """Return a code per style [S, size], each coordinate spread like a standard normal by rank.

    The first coordinates tell most styles apart (weight, slant, width), so that z ~ N(0, I) falls among the codes.
    Missing letters count as the mean letter.
    """
    alike = torch.zeros(view.count, view.count, dtype=torch.float64)
    for label in sorted(set(view.labels.tolist())):
        rows = view.labels == label
        images = view.images[rows].flatten(1).double()
        own = torch.zeros(view.count, images.shape[1], dtype=torch.float64)
        own[view.styles[rows]] = images - images.mean(dim=0)
        alike += own @ own.T
    alike -= alike.mean(dim=0) + alike.mean(dim=1, keepdim=True) - alike.mean()
    _, vectors = torch.linalg.eigh(alike)  # ascending
    found = vectors.flip(1)[:, :size]
    found = found * found.gather(0, found.abs().argmax(dim=0, keepdim=True)).sign()  # eigh leaves the sign open
    ranks = found.argsort(dim=0, stable=True).argsort(dim=0, stable=True)
    codes = torch.special.ndtri((ranks.double() + 0.5) / view.count)
    return torch.nn.functional.pad(codes, (0, size - codes.shape[1])).float()
