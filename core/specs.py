"""What each kind of job needs to know, as users spell it; `core.recipe` and `core.training.config` hold the longest."""

import re
import uuid
from string import Formatter
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from core.alphabet import parse
from core.catalogue import datasets, models
from core.errors import Invalid
from core.registry import Format

MOST_NAMED = 10_000
"""Variants that an export names one by one; more are a job's."""
MOST_SAMPLED = 1_000
"""Variants that a verification makes again by lot; more are all."""
VARIANT = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.(0|[1-9][0-9]{0,15})$"
COLOUR = r"^#[0-9a-f]{6}$"
_NAME = re.compile(r"(?!\.)[\w .{}-]+(?<![ .])")


def _one_letter(text: str) -> str:
    try:
        letters = parse(text[:16])
    except Invalid as error:
        raise ValueError(str(error)) from error
    if len(letters) != 1:
        raise ValueError(f"a picture shows one letter, not {letters!r}")
    return letters


def _template(text: str) -> str:
    """Take a name with {letters}, {index}, {layout} and {job}: never a path, never two files of one name."""
    if not text or len(text) > 80 or not _NAME.fullmatch(text):
        raise ValueError("a name is made of letters, digits, spaces, - . _ and {letters}, {index}, {layout}, {job}")
    fields = [field for _, field, form, turn in Formatter().parse(text) if field is not None and not form and not turn]
    if set(fields) - {"letters", "index", "layout", "job"} or text.count("{") != len(fields):
        raise ValueError("a name may hold {letters}, {index}, {layout} and {job}, and no other braces")
    return text if "index" in fields else text + "-{index}"


class DatasetSpec(BaseModel):
    """What a `dataset` job looks at again."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    dataset: str = datasets.BUILTIN


class EvaluateSpec(BaseModel):
    """What an `evaluate` job measures, and beside which real letters."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: str = "letters"
    dataset: str | None = None
    """None: what the version was trained on, else the built-in fonts."""
    judge: str = models.REPORTER
    styles: int = Field(100, ge=5, le=1000, description="Drawn; everything else in proportion. 100 take minutes")


class SheetSpec(BaseModel):
    """What a `sheet` job draws, and among which real letters it looks for the nearest."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: str = "letters"
    dataset: str | None = None
    """None: what the version was trained on, else the built-in fonts, if they have been looked at."""


class InvertSpec(BaseModel):
    """Which uploaded font or picture an `invert` job looks for the style of."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: str = "letters"
    upload: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the file, as its upload was answered")
    name: str = Field("the file", min_length=1, max_length=200, description="What messages call the file")
    letter: Annotated[str, AfterValidator(_one_letter)] | None = None
    """Which letter a picture shows."""
    steps: int = Field(300, ge=1, le=5_000, description="Of optimisation")


class ExportSpec(BaseModel):
    """Which variants an `export` job draws again, and as what: all of `job`, or those named in `variants`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    job: Annotated[uuid.UUID, Field(strict=False)] | None = None
    variants: tuple[Annotated[str, Field(pattern=VARIANT)], ...] = Field(
        (), max_length=MOST_NAMED, description="<job id>.<index> each"
    )
    jobs: dict[str, list[int] | None] = Field(default_factory=dict, exclude=True, description="Resolved; leave it out")
    formats: tuple[Annotated[Format, Field(strict=False)], ...] = Field((Format.SVG,), min_length=1, max_length=4)
    side: float = Field(50.0, gt=0, le=5000, description="mm, both ways")
    pixels: int = Field(1024, ge=16, le=4096, description="Of a PNG, both ways")
    ink: Annotated[str, Field(pattern=COLOUR)] = "#000000"
    ground: Annotated[str, Field(pattern=COLOUR)] | None = Field("#ffffff", description="Null: none, transparent")
    name: Annotated[str, AfterValidator(_template)] = "{letters}-{index}"
    min_stroke: float | None = Field(
        None, gt=0, le=100, description="mm; thinner drawings are thickened, if gaps allow. Null: reported only"
    )
    min_gap: float = Field(0.4, gt=0, le=100, description="mm")
    bare: bool = Field(False, description="One variant in one format, as it is instead of in an archive")

    def file_name(self, letters: str, index: int, layout: str, job: uuid.UUID) -> str:
        """What a variant's file is called, without its ending."""
        return self.name.format(letters=letters, index=index, layout=layout, job=job)


class VerifySpec(BaseModel):
    """Which job a `verify` job looks at, and how many of its variants it makes again."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    job: Annotated[uuid.UUID, Field(strict=False)]
    sample: int | None = Field(16, ge=0, le=MOST_SAMPLED, description="Variants made again, by lot. Null: all")


class RepairSpec(BaseModel):
    """Which job a `repair` job mends."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    job: Annotated[uuid.UUID, Field(strict=False)]


class RebuildSpec(BaseModel):
    """Which job a `rebuild` job makes the rows of. None: all jobs that only the store knows."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    job: Annotated[uuid.UUID, Field(strict=False)] | None = None


class GcSpec(BaseModel):
    """What a `gc` job may delete."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    dry_run: bool = Field(False, description="Only say what would be deleted")
    grace_seconds: float = Field(3600.0, ge=0, le=31_536_000, description="What was put since then is left")


NullFault = Literal["item", "shard", "raise", "exit", "segfault", "hang", "spin", "memory"]


class NullSpec(BaseModel):
    """What a `null` job pretends."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    seconds_per_item: float = Field(0.0, ge=0, le=60)
    rows: bool = True
    pictures: bool = False
    growth: int = Field(0, ge=0, le=1024, description="MiB that each shard leaves behind in memory")
    faults: dict[Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,15})$")], NullFault] = Field(
        default_factory=dict, max_length=1_000
    )
