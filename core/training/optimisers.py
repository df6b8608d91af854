"""Optimisers by name, fused where torch has a fused kernel, with the learning rate that suits each.

Rates were tried on the default fonts at batch 32: after 1,200 to 1,500 steps all but SGD stand at the same loss.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from torch import nn, optim

from core.registry import Optimiser
from core.training.config import TrainConfig

Parameters = Iterable[nn.Parameter]


@dataclass(frozen=True)
class _Kind:
    make: Callable[[Parameters, float, TrainConfig], optim.Optimizer]
    rate: float  # the usual learning rate
    # The discriminator's rate, as a share of it. SGD does not scale its steps, and the discriminator's are far longer:
    # at one rate for both it wins at once, and at 0.03 both diverge.
    judge: float = 1.0


_KINDS: Final[dict[Optimiser, _Kind]] = {
    Optimiser.ADAM: _Kind(lambda p, lr, c: optim.Adam(p, lr, betas=c.betas, fused=True), 1e-3),
    Optimiser.ADAMW: _Kind(lambda p, lr, c: optim.AdamW(p, lr, betas=c.betas, fused=True), 1e-3),
    Optimiser.SGD: _Kind(lambda p, lr, _: optim.SGD(p, lr, momentum=0.9, nesterov=True, fused=True), 0.02, 0.02),
    Optimiser.ADAGRAD: _Kind(lambda p, lr, _: optim.Adagrad(p, lr, fused=True), 0.02),
    Optimiser.RMSPROP: _Kind(lambda p, lr, _: optim.RMSprop(p, lr, foreach=True), 1e-3),
    Optimiser.ADADELTA: _Kind(lambda p, lr, _: optim.Adadelta(p, lr, foreach=True), 1.0),
}


def make_optimisers(
    config: TrainConfig, generator: Parameters, discriminator: Parameters
) -> dict[str, optim.Optimizer]:
    """Return the optimisers of both players; without a learning rate of the run's own, the usual one of their kind."""
    kind = _KINDS[config.optimiser]
    rate = config.lr if config.lr is not None else kind.rate
    return {
        "generator": kind.make(generator, rate, config),
        "discriminator": kind.make(discriminator, rate * kind.judge, config),
    }
