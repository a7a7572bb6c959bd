"""Explore with the committee: run replicas, score what they visit, stop those that leave the physics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from ase.data import chemical_symbols
from jaxtyping import Bool, Float64
from torch import Tensor

from exploration.band import band
from exploration.dynamics.bias import Biased
from exploration.dynamics.scheme import Scheme
from exploration.dynamics.state import MDState
from exploration.filters import MAX_STRIDE_A, unphysical
from exploration.held import refuse_fixed_atoms
from exploration.ledger import Exploration
from exploration.settings import ExplorationConfig
from exploration.uncertainty import uncertainty
from exploration.verdict import FrameScores, Outcome, Verdict
from potential.calibration.calibration import Calibration
from potential.data.frame import Frame
from potential.force_model import ForceModel
from potential.known_environments import KnownEnvironments


def explore(
    force_model: ForceModel,
    starts: Sequence[Frame],
    config: ExplorationConfig,
    *,
    seed: int,
    calibration: Calibration | None = None,
    environments: KnownEnvironments | None = None,
    restarts: Sequence[Frame] = (),
    origin: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Exploration:
    """Run `config.n_replicas` replicas and judge every `config.record_every`-th frame of each.

    Replicas start from `starts`, drawn at random without repeats while there are enough, and take the
    temperatures in turn. A replica whose frame is unphysical or hopelessly uncertain is recorded once
    more, stops, and leaves the batch; finiteness is checked at every step.

    Args:
        force_model: the committee.
        starts: structures to start from, such as the dataset's.
        config: how long, how hot, which bounds.
        seed: of the draw, the velocities and the noise; the same seed gives the same result.
        calibration: turns the committee's disagreement into expected errors, which are recorded, and
            which `config.error_bounds` judges by.
        environments: what the training has seen, for `config.max_extrapolation`; None: nobody knows.
        restarts: where the first replicas start, a share `config.restart_share` of them at most.
        origin: what every recorded frame's `origin` shall say besides replica, step and start,
            e.g. {"round": 2}.
        progress: called with (steps done, all steps) whenever frames are recorded.

    Raises:
        ValueError: for no starts, one with fixed atoms, or one that the ensemble cannot treat.
    """
    if not starts:
        raise ValueError("exploration needs at least one structure to start from, got none")
    refuse_fixed_atoms(starts)
    n, ladder = config.n_replicas, config.temperatures_K
    again = list(restarts)[: round(config.restart_share * n)]
    chosen = [*again, *_draw(starts, n, seed)[len(again) :]]
    baths_K = [ladder[i % len(ladder)] for i in range(n)]
    if config.bias is not None:
        force_model = Biased(force_model, config.bias)
    log = _Log(
        starts=chosen,
        baths_K=baths_K,
        config=config,
        origin=dict(origin or {}),
        calibration=calibration,
        environments=None if config.max_extrapolation is None else environments,
    )
    scheme: Scheme = config.ensemble
    state = scheme.init(force_model, chosen, baths_K, seed=seed)
    for step in range(config.n_steps):
        going = log.record(state, step, ~log.sound(state))
        if going is None:
            break
        state = scheme.step(force_model, going, timestep_fs=config.timestep_fs)
        if (step + 1) % config.record_every == 0:
            going = log.record(state, step + 1, torch.ones(state.n_replicas, dtype=torch.bool))
            if progress is not None:
                progress(step + 1, config.n_steps)
            if going is None:
                break
            state = going
    return log.exploration()


def _draw(starts: Sequence[Frame], n: int, seed: int) -> list[Frame]:
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(len(starts)) for _ in range(-(-n // len(starts)))])
    return [starts[i] for i in order[:n]]


@dataclass(kw_only=True)
class _Log:
    """Collects the ledger while the replicas run."""

    starts: list[Frame]
    baths_K: list[float]
    config: ExplorationConfig
    origin: dict[str, Any]
    calibration: Calibration | None = None
    environments: KnownEnvironments | None = None
    frames: list[Frame] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    stopped: dict[int, tuple[int, str]] = field(default_factory=dict)

    def sound(self, state: MDState) -> Bool[Tensor, "structures"]:
        """Whether each replica can take a step: anything that is not finite says no."""
        finite = state.prediction.energy.isfinite().all(0)
        ratio, widest = self._volume_ratio(state), self.config.max_volume_factor
        near = self._stride(state) <= MAX_STRIDE_A
        return finite & near & (ratio >= 1 / widest) & (ratio <= widest)

    def record(self, state: MDState, step: int, mask: Bool[Tensor, "structures"]) -> MDState | None:
        """Judge the replicas in `mask`; returns the state without those that stop, None if all have."""
        if not mask.any():
            return state
        going = torch.ones(state.n_replicas, dtype=torch.bool)
        all_scores = self._scores(state)
        all_positions = state.structures.positions.split(state.structures.n_atoms.tolist())
        for i in mask.nonzero().flatten().tolist():
            replica = int(state.replica[i])
            verdict = self._add(replica, step, all_positions[i], state.structures.cell[i], all_scores[i])
            if verdict.stops:
                going[i] = False
                self.stopped[replica] = (step, verdict.reason)
        if going.all():
            return state
        return state.keep(going) if going.any() else None

    def _add(self, replica: int, step: int, positions: Tensor, cell: Tensor, scores: FrameScores) -> Verdict:
        start, bath = self.starts[replica], self.baths_K[replica]
        where = {"replica": replica, "step": step, "bath_temperature_K": bath}
        origin = self.origin | where | {"start": start.id}
        frame = start.moved(positions.numpy(), cell=cell.numpy(), origin=origin)
        flaw = unphysical(frame, scores, bath_temperature_K=bath, config=self.config)
        if flaw is None and self.environments is not None:
            scores = replace(scores, max_extrapolation=float(self.environments.extrapolation(frame).max()))
        verdict = band(scores, self.config, self.calibration) if flaw is None else Verdict.unphysical(flaw)
        time = {"time_fs": step * self.config.timestep_fs}
        said = {"verdict": str(verdict.outcome), "reason": verdict.reason, "physical": verdict.physical}
        self.frames.append(frame)
        self.rows.append({"frame_id": frame.id} | where | time | scores.known() | said)
        return verdict

    def _scores(self, state: MDState) -> list[FrameScores]:
        unsure = uncertainty(state.prediction, state.structures)
        columns = {
            "energy": state.prediction.mean_energy.double(),
            "max_force_disagreement": unsure.max_force.double(),
            "mean_force_disagreement": unsure.mean_force.double(),
            "energy_disagreement_per_atom": unsure.energy_per_atom.double(),
            "temperature_K": state.kinetic_temperature,
            "stride_A": self._stride(state),
            "volume_ratio": self._volume_ratio(state),
        }
        if self.calibration is not None:
            columns |= self._expected(state, self.calibration)
        rows = torch.stack(list(columns.values()), dim=1).tolist()
        return [FrameScores(**dict(zip(columns, row, strict=True))) for row in rows]

    def _expected(self, state: MDState, calibration: Calibration) -> dict[str, Tensor]:
        """Largest and mean expected error of each replica's atoms; NaN where the disagreement is."""
        structures = state.structures
        symbols = [chemical_symbols[z] for z in structures.numbers.tolist()]
        disagreement = state.prediction.force_disagreement.double().cpu().numpy()
        atoms = torch.from_numpy(calibration.expected_error(disagreement, symbols))
        zeros, owner = atoms.new_zeros(structures.n_structures), structures.structure.cpu()
        return {
            "max_expected_error": zeros.scatter_reduce(0, owner, atoms, reduce="amax"),
            "mean_expected_error": zeros.index_add(0, owner, atoms) / structures.n_atoms.cpu(),
        }

    def _stride(self, state: MDState) -> Float64[Tensor, "structures"]:
        return self.config.ensemble.stride(state, timestep_fs=self.config.timestep_fs)

    def _volume_ratio(self, state: MDState) -> Float64[Tensor, "structures"]:
        """Volume over that of the start, 1 where there is none."""
        before = torch.linalg.det(torch.from_numpy(np.stack([start.cell for start in self.starts]))).abs()
        before = before[state.replica]
        return torch.where(before > 0, state.volume / before, torch.ones_like(before))

    def exploration(self) -> Exploration:
        records = pd.DataFrame(self.rows)
        replicas = pd.DataFrame([self._fate(r, records) for r in range(len(self.starts))])
        return Exploration(records=records, frames=tuple(self.frames), replicas=replicas)

    def _fate(self, replica: int, records: pd.DataFrame) -> dict[str, Any]:
        mine = records[records["replica"] == replica]
        steps, reason = self.stopped.get(replica, (self.config.n_steps, ""))
        return {
            "replica": replica,
            "start_frame_id": self.starts[replica].id,
            "formula": self.starts[replica].formula,
            "bath_temperature_K": self.baths_K[replica],
            "steps": steps,
            "time_fs": steps * self.config.timestep_fs,
            "survived": replica not in self.stopped,
            "mean_temperature_K": float(mine["temperature_K"].mean()),
            **{str(outcome): int((mine["verdict"] == outcome).sum()) for outcome in Outcome},
            "stop_reason": reason,
        }
