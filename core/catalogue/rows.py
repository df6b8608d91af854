"""The row of one variant, as the pipeline makes it and the catalogue keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import Invalid


@dataclass(frozen=True, slots=True)
class VariantRow:
    """One made variant. Job, shard and model version are known to whoever finishes the shard."""

    index: int  # place in its job
    letters: str
    layout: str
    digest: bytes  # SHA-256 of size, mode and pixels
    offset: int  # of the PNG in the shard's tar, bytes
    length: int  # of the PNG, bytes
    ink: float  # share of the canvas, 0 to 1
    legibility: float | None = None  # probability of its least legible letter, 0 to 1; None: no judge read it
    score: float | None = None  # how good it looks, 0 to 1

    @classmethod
    def rebuild(cls, meta: Mapping[str, Any], offset: int, length: int) -> "VariantRow":
        """Make the row again from what a shard says of one picture; raise `Invalid` if it does not say enough."""
        try:
            legibility, score = meta.get("legibility"), meta.get("score")  # older shards say nothing of them
            return cls(
                index=int(meta["index"]),
                letters=str(meta["letters"]),
                layout=str(meta["layout"]),
                digest=bytes.fromhex(meta["digest"]),
                offset=offset,
                length=length,
                ink=float(meta["ink"]),
                legibility=None if legibility is None else float(legibility),
                score=None if score is None else float(score),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise Invalid(f"a picture's description is damaged: {error!r}") from error
