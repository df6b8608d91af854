"""The app with its own OpenAPI: problems are described once, as application/problem+json."""

from typing import Any

from fastapi import FastAPI

from api.schemas import Problem


class Api(FastAPI):
    """A FastAPI whose routes may refer to the schema `Problem`."""

    def openapi(self) -> dict[str, Any]:
        """The description, made once."""
        if self.openapi_schema is None:
            described = super().openapi()
            schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
            parts = schema.pop("$defs")
            described["components"]["schemas"] |= {**parts, "Problem": schema}
        assert self.openapi_schema is not None
        return self.openapi_schema
