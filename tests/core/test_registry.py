"""The registry: every name has its arity, and exactly one implementation behind it."""

from core.networks import judge, mlp, style
from core.registry import ARITY, DatasetKind, Family, Layout, Loss, Optimiser, default_layout
from core.training import losses, optimisers
from core.training.config import TrainConfig
from core.training.datasets import emnist, fonts


def test_every_layout_has_an_arity_that_takes_at_least_one_letter() -> None:
    assert set(ARITY) == set(Layout)
    assert all(1 <= arity.least <= arity.most for arity in ARITY.values())


def test_one_letter_stands_alone_and_more_stand_in_a_row() -> None:
    assert default_layout("Ж") == Layout.SINGLE
    assert default_layout("AB") == default_layout("ABCD") == Layout.STRAIGHT


def test_every_loss_and_every_optimiser_is_implemented_once() -> None:
    assert set(losses.LOSSES) == set(Loss)
    networks = mlp.Generator(mlp.Architecture()), mlp.Discriminator(mlp.Architecture())
    made = [
        optimisers.make_optimisers(
            TrainConfig(family=Family.MLP, optimiser=name), *(network.parameters() for network in networks)
        )
        for name in Optimiser
    ]

    assert len({type(pair["generator"]) for pair in made}) == len(Optimiser)


def test_every_family_and_every_dataset_kind_has_its_module() -> None:
    assert {f"core.networks.{family}" for family in Family} == {each.__name__ for each in (judge, mlp, style)}
    assert {f"core.training.datasets.{kind}" for kind in DatasetKind} == {emnist.__name__, fonts.__name__}
