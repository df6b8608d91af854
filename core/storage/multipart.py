"""Uploads in parts that a killed process left in an S3 bucket: invisible, paid for, and unknown to obstore."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from obstore.store import S3Store

from core.errors import EnvironmentFault


def abort(store: S3Store, before: datetime, *, dry: bool) -> int:
    """Abort the uploads in parts below the store's prefix that began before then; return how many there are."""
    import botocore.exceptions

    count = 0
    try:
        client, bucket, prefix = _open(store)
        for upload in _unfinished(client, bucket, prefix):
            if upload["Initiated"] > before:
                continue
            count += 1
            if not dry:
                client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        raise EnvironmentFault(f"unfinished uploads: {error}") from error
    return count


def _unfinished(client: Any, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get("Uploads", ())


def _open(store: S3Store) -> tuple[Any, str, str]:
    """A client of the same bucket with the same credentials; those that obstore does not show, it finds by itself."""
    import botocore.config
    import botocore.session

    config: dict[str, Any] = dict(store.config)
    hosted = str(config.get("virtual_hosted_style_request", "")).lower() == "true"
    client = botocore.session.get_session().create_client(
        "s3",
        endpoint_url=config.get("endpoint"),
        region_name=config.get("region"),
        aws_access_key_id=config.get("access_key_id"),
        aws_secret_access_key=config.get("secret_access_key"),
        aws_session_token=config.get("session_token") or config.get("token"),
        config=botocore.config.Config(
            connect_timeout=5,
            read_timeout=20,
            retries={"max_attempts": 5, "mode": "standard"},
            s3={"addressing_style": "virtual" if hosted else "path"},
        ),
    )
    prefix = str(store.prefix or "").strip("/")
    return client, str(config["bucket"]), f"{prefix}/" if prefix else ""
