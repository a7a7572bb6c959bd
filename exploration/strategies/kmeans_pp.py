"""Candidates drawn by their uncertainty and their distance from what is known."""

from __future__ import annotations

from typing import Literal, final

import numpy as np

from exploration.batch_selection import weighted_kmeans_plus_plus
from exploration.decisions import Decisions, Stage
from exploration.pool import Pool
from exploration.strategies.among_candidates import AmongCandidates
from exploration.strategies.fields import ByTemperature
from exploration.strategies.steps import by_id, described_rows, picked_by


@final
class WeightedKMeans(AmongCandidates):
    """The seeding of k-means++ among the candidates, weighted by their uncertainty."""

    strategy: Literal["kmeans_pp"] = "kmeans_pp"
    by_temperature: ByTemperature = True

    def pick(self, pool: Pool, rows: list[int], n: int, seed: int) -> Decisions:
        if not rows:
            return {}
        fresh, described, references, broken = described_rows(pool, by_id(pool, rows), pool.training_frames)
        drawn = weighted_kmeans_plus_plus(
            described,
            references,
            pool.uncertainty[fresh],
            n,
            rng=np.random.default_rng(seed),
            groups=pool.rungs[fresh] if self.by_temperature else None,
        )
        reason = "drawn by its uncertainty and its distance, {}"
        return broken | picked_by(fresh, drawn, n, stage=Stage.WEIGHTED_DRAW, reason=reason)
