"""Variants: list, one, its pixels."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from core.errors import NotFound
from vyaz.transport import Transport, read

ABREAST: Final = 8  # pictures fetched at the same time


@dataclass(frozen=True)
class Variant:
    """One produced monogram."""

    id: str
    """`<job id>.<index>`"""
    job: str
    index: int
    letters: str
    layout: str
    model: str | None = None
    digest: str = ""
    """SHA-256 of size, mode and pixels, in hexadecimal: the same for the same picture, however it is packed."""
    ink: float | None = None
    """Share of the picture that is ink."""
    legibility: float | None = None
    """How surely a judge reads its least legible letter, 0 to 1; None: no judge read it."""
    score: float | None = None
    """How good it looks, 0 to 1: legible, even, balanced, well woven."""
    created_at: datetime | None = None


class Variants:
    """`client.variants`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        job: str | None = None,
        letters: str | None = None,
        model: str | None = None,
        layout: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Variant]:
        """Yield the variants that fit all filters; pages are fetched as they are needed."""
        filters = {"job": job, "letters": letters, "model": model, "layout": layout}
        for item in self._transport.pages("/v1/variants", limit, **filters):
            yield read(Variant, item)

    def get(self, variant_id: str) -> Variant:
        """One variant; raises `NotFound`."""
        return read(Variant, self._transport.get(f"/v1/variants/{variant_id}"))

    def recipe(self, variant_id: str) -> dict[str, Any]:
        """Everything needed to make it again: the recipe, the engine, the weights' SHA-256, the job's spec."""
        return self._transport.get(f"/v1/variants/{variant_id}/recipe")

    def image(self, variant_id: str) -> bytes:
        """Its PNG, as it is stored; raises `NotFound`."""
        return self._transport.get_bytes(f"/v1/variants/{variant_id}/image")

    def images(self, variant_ids: Iterable[str]) -> Iterator[bytes | None]:
        """Yield the PNGs of many, in order, fetched several at a time; None for one that is not there."""
        with ThreadPoolExecutor(ABREAST, thread_name_prefix="vyaz-images") as pool:
            yield from pool.map(self._image_if_any, variant_ids)

    def _image_if_any(self, variant_id: str) -> bytes | None:
        try:
            return self.image(variant_id)
        except NotFound:
            return None
