"""Pictures and files as answers: what never changes may be kept for ever, and is not sent twice."""

from collections.abc import Callable, Iterator
from typing import Final

from fastapi import Response
from fastapi.responses import StreamingResponse

from api.errors import Responses, documented
from core.errors import EnvironmentFault, Invalid
from core.storage.blobs import Blobs

FOREVER: Final = "private, max-age=31536000, immutable"
SHOWN_PICTURE: Final[Responses] = {
    200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
    304: {"description": "The picture is the one that the client has"},
    **documented(401, 403, 404, 422, 503),
}

SHOWN_FILE: Final[Responses] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
    **documented(401, 403, 404, 422, 503),
}
CHUNK: Final = 1 << 20  # bytes read at a time
_TYPES: Final = {
    "zip": "application/zip",
    "png": "image/png",
    "svg": "image/svg+xml",
    "pdf": "application/pdf",
    "dxf": "image/vnd.dxf",
}


def answer_file(blobs: Blobs, key: str, size: int, digest: bytes) -> StreamingResponse:
    """A file of the store, by ranges; never shown in the page, since an SVG may hold scripts elsewhere."""
    name = key.rpartition("/")[2]

    def read() -> Iterator[bytes]:
        for offset in range(0, size, CHUNK):
            yield blobs.get_range(key, offset, min(CHUNK, size - offset))

    headers = {
        "Content-Length": str(size),
        "Content-Disposition": f'attachment; filename="{name}"',
        "ETag": f'"{digest.hex()}"',
        "X-Content-Type-Options": "nosniff",
    }
    kind = _TYPES.get(name.rpartition(".")[2], "application/octet-stream")
    return StreamingResponse(read(), media_type=kind, headers=headers)


def answer_picture(fetch: Callable[[], bytes], digest: bytes, if_none_match: str | None) -> Response:
    """The PNG that `fetch` gives, unless the client has it; raises `EnvironmentFault` where the store is damaged."""
    headers = {"ETag": f'"{digest.hex()}"', "Cache-Control": FOREVER}
    if headers["ETag"] in (if_none_match or ""):
        return Response(status_code=304, headers=headers)
    try:
        png = fetch()
    except Invalid as error:
        raise EnvironmentFault(f"what is stored is damaged: {error}") from error
    return Response(png, media_type="image/png", headers={**headers, "X-Content-Type-Options": "nosniff"})
