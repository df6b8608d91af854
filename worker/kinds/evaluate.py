"""Evaluate: a model version measured beside real letters; its figures are kept with the version."""

from typing import Any, Final

import numpy as np
from sqlalchemy.orm import Session
from torch import Tensor

from core.catalogue import models
from core.errors import EnvironmentFault
from core.ledger.finish import Keep, Outcome
from core.ledger.leases import Lease
from core.networks.families import Generator
from core.training.datasets.split import Role, check, split
from core.training.evaluation import OUTLINES, Outlines, evaluate
from core.training.inversion import invert
from core.training.run import one_thread
from worker.heartbeat import Hold
from worker.materials import load_dataset, load_generator, load_judge
from worker.work import Workplace

STEPS: Final = 200  # of fitting a code to a font


class Evaluate:
    """Measures model versions."""

    def __init__(self, place: Workplace) -> None:
        self._place = place

    def __call__(self, lease: Lease, hold: Hold) -> tuple[Outcome, Keep]:
        dataset, name = load_dataset(self._place, lease)
        check(dataset)
        judge = load_judge(self._place, lease.spec["judge"])
        generator = load_generator(self._place, lease)
        roles = split(dataset)
        # Clusters of the judge's own role are those that it was trained on.
        unseen = np.asarray((roles != Role.TRAIN) & (roles != judge.architecture.value), dtype=np.bool_)

        def fit(fields: Tensor, labels: Tensor) -> Tensor:
            return invert(generator, fields, labels, STEPS)

        outlines = Outlines.load(OUTLINES.read_bytes())
        watched = _Watched(generator, hold)
        styles = int(lease.spec["styles"])
        with one_thread():
            found = evaluate(
                watched,
                dataset,
                roles,
                judge,
                styles,
                fit,
                unseen=unseen,
                outlines=outlines,
                seed=lease.seed,
                edge_letters=12 * styles,
                fitted_fonts=2 * styles // 5,
                rows=2 * styles,
            )
        figures = found.as_json() | {"dataset": name, "judge": lease.spec["judge"]}

        def keep(session: Session) -> dict[str, Any]:
            models.keep_figures(session, lease.model_version_id, figures)
            return {"figures": figures}

        return Outcome(lease.stop, hold.seconds), keep


class _Watched:
    """A generator that looks, before it draws, whether its lease goes on: an evaluation takes minutes."""

    def __init__(self, generator: Generator, hold: Hold) -> None:
        self._generator = generator
        self._hold = hold

    def styles(self, z: Tensor, psi: float | None = None) -> Tensor:
        return self._generator.styles(z, psi)

    def draw(self, w: Tensor, letters: Tensor) -> Tensor:
        if not self._hold.reached(self._hold.mark):
            raise EnvironmentFault("the slot was asked to stop in the middle of an evaluation")
        return self._generator.draw(w, letters)
