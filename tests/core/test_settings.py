"""Settings that would let work be lost, or stand still, are refused with the reason."""

import pytest
from pydantic import ValidationError

from core.settings import Settings


def test_the_defaults_fit_each_other() -> None:
    assert Settings().lease_seconds > Settings().heartbeat_seconds


@pytest.mark.parametrize("lease", [1.0, 6.0, 7.9])
def test_a_lease_too_short_for_its_beats_and_ticks_is_refused_with_the_reason(lease: float) -> None:
    with pytest.raises(ValidationError, match=f"VYAZ_LEASE_SECONDS \\({lease:g}\\) must be at least 8"):
        Settings(lease_seconds=lease)


def test_a_shorter_lease_goes_with_shorter_beats_and_ticks() -> None:
    assert Settings(lease_seconds=2.0, heartbeat_seconds=0.5, tick_seconds=0.5).lease_seconds == 2.0
