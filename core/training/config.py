"""What a dataset and a training run are made from: frozen values, checked once, no torch.

Hyper-parameters live here and not in `core/settings.py`: they belong to a job, not to a process.
"""

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.registry import DatasetKind, EmnistSplit, Family, Loss, Optimiser

NAME: Final = r"^[a-z0-9][a-z0-9._-]{0,62}$"
Name = Annotated[str, Field(pattern=NAME)]

# What each family can be built as; the first is taken where none is named.
ARCHITECTURES: Final = {Family.MLP: ("plain",), Family.STYLE: ("default", "nano"), Family.JUDGE: ("select", "report")}


_GAME: Final = ("loss", "anchor", "conditional")
_UNUSED: Final = {
    Family.MLP: (),
    Family.STYLE: ("batch", "optimiser", "betas", "precision", *_GAME),
    Family.JUDGE: _GAME,
}


class DatasetConfig(BaseModel):
    """A named source of letters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name = "fonts"
    kind: DatasetKind = DatasetKind.FONTS
    path: Path | None = Field(
        None, description="Folder; none means the font packages installed, or a download for emnist"
    )
    split: EmnistSplit | None = Field(None, description="For emnist alone; none means letters")

    @model_validator(mode="after")
    def _split_of_emnist(self) -> Self:
        if self.split is not None and self.kind is not DatasetKind.EMNIST:
            raise ValueError(f"a dataset of kind {self.kind} has no split")
        return self


class TrainConfig(BaseModel):
    """One training run. Either `epochs` or `minutes` is its length; with neither it lasts one minute."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name = Field("letters", description="The model that this run makes a version of")
    dataset: str = Field("fonts", description="Dataset, or dataset:version")
    family: Family = Family.STYLE
    architecture: str | None = Field(None, description="style: default or nano; judge: select or report")

    epochs: float | None = Field(None, gt=0, le=100_000, description="Passes over the dataset")
    minutes: float | None = Field(None, gt=0, le=60 * 24 * 30, description="Committed device-minutes")
    batch: int = Field(32, ge=1, le=4096, description="Letters per optimisation step")
    seed: int = Field(125, ge=0, lt=2**53, description="Of weights, order and noise")

    optimiser: Optimiser = Optimiser.ADAM
    lr: float | None = Field(None, gt=0, le=10, description="Learning rate of both networks; none: the optimiser's own")
    betas: tuple[float, float] = Field((0.5, 0.99), description="Adam and AdamW only")
    loss: Loss = Loss.BCE

    anchor: float = Field(
        10.0, ge=0, le=1000, description="Pull towards real letters of a named style; 0: the bare GAN"
    )
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    conditional: bool = Field(True, description="Letter-conditional; otherwise one distribution of all letters")

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.epochs is not None and self.minutes is not None:
            raise ValueError("give epochs or minutes, not both")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas {self.betas} must lie in [0, 1)")
        known = ARCHITECTURES[self.family]
        if self.architecture is not None and self.architecture not in known:
            raise ValueError(f"a {self.family} has no architecture {self.architecture!r}; known: {', '.join(known)}")
        self._refuse_unused()
        return self

    def _refuse_unused(self) -> None:
        """Raise `ValueError` for settings that a family would pass over in silence."""
        fields = type(self).model_fields
        unused = [name for name in _UNUSED[self.family] if getattr(self, name) != fields[name].default]
        if unused:
            raise ValueError(f"a {self.family} has no {', '.join(unused)} to set; leave it out")

    @property
    def anchored(self) -> bool:
        """Whether latents name styles; without letters to condition on there is nothing to name."""
        return self.conditional and self.anchor > 0
