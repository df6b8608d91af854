"""Pictures as answers: what never changes may be kept for ever, and is not sent twice."""

from collections.abc import Callable
from typing import Final

from fastapi import Response

from api.errors import Responses, documented
from core.errors import EnvironmentFault, Invalid

FOREVER: Final = "private, max-age=31536000, immutable"
SHOWN_PICTURE: Final[Responses] = {
    200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
    304: {"description": "The picture is the one that the client has"},
    **documented(401, 403, 404, 422, 503),
}


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
