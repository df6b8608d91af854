"""Every setting of every process, read once from `VYAZ_*` and passed in. Nothing else reads the environment.

Training hyper-parameters are not settings; see `core/training/config.py`.
"""

from pathlib import Path

from platformdirs import user_data_path
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings of one process. An empty URL means: the embedded servers of `data`."""

    model_config = SettingsConfigDict(env_prefix="VYAZ_", env_file=None, extra="ignore", frozen=True)

    data: Path = Field(
        default_factory=lambda: user_data_path("vyaz"), description="Data folder of the embedded instance"
    )
    database_url: SecretStr = Field(SecretStr(""), description="postgresql://user:password@host/name")
    broker_url: SecretStr = Field(SecretStr(""), description="redis:// or valkey:// URL, or redis+socket:///path")
    store_url: str = Field(
        "",
        description="Where pixels, weights and datasets are kept: file:///folder or s3://bucket (docs/storage.md)",
    )

    url: str = Field("", description="Address of the API, for the client and the CLI")
    api_key: SecretStr = Field(SecretStr(""), description="Key for the API, for the client and the CLI")

    lease_seconds: float = Field(
        9.0, gt=0, description="A lease not extended for this long may be taken by another slot"
    )
    heartbeat_seconds: float = Field(3.0, gt=0, description="How often a slot extends its lease")
    tick_seconds: float = Field(
        1.0, gt=0, description="How often beat looks for due schedules, lost rings and dead nodes"
    )
    shard_seconds: float = Field(20.0, gt=0, description="Work aimed at in one shard")
    segment_seconds: float = Field(60.0, gt=0, description="Training between two checkpoints, when nobody waits")
    shared_segment_seconds: float = Field(
        20.0, gt=0, description="Training between two checkpoints, when another job waits"
    )

    stall_seconds: float = Field(
        300.0, gt=0, description="A slot whose block takes longer than this hangs, and its process is ended"
    )
    memory_growth: int = Field(
        2048,
        ge=0,
        description="MiB by which a slot may outgrow its first shard; then a fresh process takes its place. 0 is never",
    )

    device: str = Field("cpu", description="Device of this worker's slots: cpu or cuda:N")
    slots: int = Field(1, ge=1, le=1024, description="Slots that share this machine's cores and memory")
    threads: int = Field(0, ge=0, le=1024, description="CPU threads of one slot; 0 takes its share of all cores")
    log_level: str = Field("info", description="debug, info, warning or error")
    log_json: bool = Field(False, description="One JSON object a line instead of readable text")
    failpoints: str = Field("", description="For tests: folder with orders to kill, raise or hang at named points")

    @property
    def store(self) -> str:
        """The store's URL; the data folder's own store where none is named."""
        return self.store_url or (self.data.resolve() / "store").as_uri()

    @field_validator("broker_url")
    @classmethod
    def _spell_as_redis(cls, value: SecretStr) -> SecretStr:
        """kombu has no valkey:// transport; the protocol is the same."""
        url = value.get_secret_value()
        return SecretStr("redis" + url.removeprefix("valkey")) if url.startswith("valkey") else value

    @model_validator(mode="after")
    def _lease_outlives_heartbeat(self) -> "Settings":
        # With less, two ticks on time look like a gap in which nobody could beat, and no lease would ever run out.
        least = 2 * self.heartbeat_seconds + 2 * self.tick_seconds
        if self.lease_seconds < least:
            raise ValueError(
                f"VYAZ_LEASE_SECONDS ({self.lease_seconds:g}) must be at least {least:g}: twice "
                f"VYAZ_HEARTBEAT_SECONDS ({self.heartbeat_seconds:g}) and twice VYAZ_TICK_SECONDS "
                f"({self.tick_seconds:g})"
            )
        return self
