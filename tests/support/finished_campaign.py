"""A campaign folder as a finished run leaves it, with made-up numbers: for what only reads the folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from flows.record.results import (
    RESULT_FILE,
    CalibrationSummary,
    ChampionSummary,
    ErrorMetrics,
    EvaluationSummary,
    ExplorationSummary,
    LabelSummary,
    LedgerCounts,
    RoundResult,
    SelectionSummary,
    TrainingSummary,
    UncertaintyMetrics,
)
from flows.settings.campaign_config import CampaignConfig
from flows.views.error_bars import frame_errors
from labeling.cost import stage_seconds
from potential.calibration.fit import fit_calibration
from potential.calibration.pairs import Pairs
from potential.calibration.scores import score_calibration
from potential.data.frame import Frame
from potential.data.structure_files import write_frames
from potential.evaluation import Evaluation
from potential.metrics import BASIC, METRICS, SPEARMAN, intervals
from tests.support.systems import ethanol

CONFIG = CampaignConfig.model_validate(
    {
        "name": "ethanol",
        "structure": {"molecule": "CH3CH2OH"},
        "seed": 1,
        "rounds": 3,
        "initial": {"frames": 20, "source": {"method": "xtb_md"}},
        "test": {"frames": 20, "source": {"method": "xtb_md"}},
        "level": {"labeler": "pyscf", "xc": "PBE", "basis": "def2-SVP"},
        "exploration": {"temperatures_K": [300.0, 500.0, 800.0], "n_replicas": 12},
    }
)
SYMBOLS = ["C", "C", "O", "H", "H", "H", "H", "H", "H"]


def ethanols(seed: int, n: int) -> list[Frame]:
    return [ethanol(seed + i) for i in range(n)]


TEST = ethanols(100, 20)
FORCE_MAE = (0.31, 0.22, 0.175, 0.149)


def build_campaign(folder: Path, *, finished_rounds: int = 4, potential: bool = True) -> Path:
    """Write campaign.yaml, the finished rounds and the potential; round 3 trains and evaluates only."""
    rng = np.random.default_rng(7)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "campaign.yaml").write_text(yaml.safe_dump(CONFIG.model_dump(mode="json"), sort_keys=False))
    (folder / "labels").mkdir()
    _labelled(40, "f").to_csv(folder / "labels" / "outcomes.csv", index=False)
    (folder / "frames").mkdir()
    write_frames(folder / "frames" / "initial.extxyz", ethanols(0, 20))
    write_frames(folder / "frames" / "test.extxyz", TEST)
    for number in range(finished_rounds):
        build_round(folder / "rounds" / f"{number:02d}", number, rng, last=number == len(FORCE_MAE) - 1)
    if potential:
        result = folder / "potential"
        result.mkdir()
        (result / "weights.safetensors").write_bytes(rng.bytes(2048))
        (result / "config.json").write_text(CONFIG.model.model_dump_json())
        (result / "model_card.json").write_text(json.dumps({"n_labels": 44, "level": "PBE/def2-SVP"}))
    return folder


def build_round(folder: Path, number: int, rng: np.random.Generator, *, last: bool = False) -> RoundResult:
    for stage in ("train", "evaluate") if last else ("train", "evaluate", "explore", "select", "label"):
        (folder / stage).mkdir(parents=True)
    _history(FORCE_MAE[number], rng).to_csv(folder / "train" / "history.csv", index=False)
    atoms = _test_atoms(FORCE_MAE[number], rng)
    atoms.to_csv(folder / "evaluate" / "test_atoms.csv", index=False)
    scored = _scored(FORCE_MAE[number], atoms)
    scored.frames.to_csv(folder / "evaluate" / "test_frames.csv", index=False)
    values = {
        "round": number,
        "n_labels": 20 + 8 * number,
        "training": TrainingSummary(
            n_train=18 + 7 * number,
            n_validation=2 + number,
            epochs=150,
            seconds=70.0 + 9 * number,
            fingerprint=f"{number}d5e61f0a2b3c4d5"[:16],
        ),
        "evaluation": EvaluationSummary(
            test=ErrorMetrics(
                n_frames=20,
                **{metric.name: metric.of(scored) for metric in BASIC if metric is not SPEARMAN},
            ),
            uncertainty=UncertaintyMetrics(
                mean_force_disagreement=float(atoms["force_disagreement"].mean()),
                max_force_disagreement=float(atoms["force_disagreement"].max()),
                spearman=float(atoms["force_disagreement"].corr(atoms["force_error"], method="spearman")),
            ),
            fingerprint="7e57f1a9e70000aa",
            more={metric.name: metric.of(scored) for metric in METRICS},
            intervals=intervals(scored),
        ),
    }
    if not last:
        replicas = _replicas(number, rng)
        replicas.to_csv(folder / "explore" / "replicas.csv", index=False)
        picked = ethanols(200 + 10 * number, 8)
        _selection(number, picked).to_csv(folder / "select" / "selection.csv", index=False)
        write_frames(folder / "select" / "selected.extxyz", picked)
        _outcomes(number).to_csv(folder / "label" / "outcomes.csv", index=False)
        values |= {
            "exploration": ExplorationSummary(
                ledger=LedgerCounts(
                    accurate=90 + 60 * number, candidate=190 - 50 * number, failed=20 - 10 * number
                ),
                seconds=22.0,
                surviving_replicas=float(replicas["survived"].mean()),
            ),
            "selection": SelectionSummary(n_selected=9 if number == 1 else 8),
            "labels": LabelSummary(
                n_labelled=8,
                n_failed=1 if number == 1 else 0,
                seconds=8 * 5.8 + (41.0 if number == 1 else 0.0),
            ),
        }
    values |= {"calibration": _calibrated(folder, atoms), "champion": _champion(number)}
    result = RoundResult.model_validate(values)
    (folder / RESULT_FILE).write_text(result.model_dump_json(indent=2))
    return result


def _scored(mae: float, atoms: pd.DataFrame) -> Evaluation:
    """With energies that are wrong by 0.02 of the force error, eV/atom."""
    rng = np.random.default_rng(int(1000 * mae))
    reference = -4210.0 + rng.normal(0, 0.2, 20)
    frames = pd.DataFrame(
        {
            "frame_id": (ids := atoms["frame_id"].unique()),
            "n_atoms": len(SYMBOLS),
            "energy_ref": reference,
            "energy": reference + len(SYMBOLS) * rng.normal(0, 0.025 * mae, 20),
            "energy_disagreement": 0.15 * mae,
            "force_mae": frame_errors(atoms).set_index("frame_id")["force_mae"][ids].to_numpy(),
            "max_force_disagreement": atoms.groupby("frame_id")["force_disagreement"].max()[ids].to_numpy(),
        }
    )
    nothing = dict.fromkeys(("energy_mae", "energy_rmse", "force_mae", "force_rmse"), 0.0)
    return Evaluation(n_frames=20, **nothing, spearman=None, atoms=atoms, frames=frames)


def _champion(number: int) -> ChampionSummary:
    """The newest; too few labels are held out to compare the rounds."""
    if number == 0:
        return ChampionSummary(round=0, n_held_out=2, said="the first round")
    said = "the newest: 5 held-out labels are too few to compare it on (6 needed)"
    return ChampionSummary(round=number, before=number - 1, n_held_out=2 + number, said=said)


def _calibrated(folder: Path, atoms: pd.DataFrame) -> CalibrationSummary:
    """Fitted on the test atoms themselves, which a campaign never does."""
    pairs = Pairs.of(atoms)
    found = fit_calibration(pairs)
    scores = {"test": score_calibration(found, pairs, bound_eV_per_A=0.1)}
    summary = CalibrationSummary(calibration=found, n_held_out=2, n_arrived=8, scores=scores)
    (folder / "calibrate").mkdir()
    (folder / "calibrate" / "summary.json").write_text(summary.model_dump_json())
    return summary


def _history(final_mae: float, rng: np.random.Generator) -> pd.DataFrame:
    epoch = np.arange(1, 151)
    mae = final_mae * (0.7 + 6 * np.exp(-epoch / 18)) * rng.lognormal(0, 0.04, 150)
    return pd.DataFrame(
        {
            "epoch": epoch,
            "seconds": 0.47 * epoch,
            "learning_rate": 0.005 * (1 + np.cos(np.pi * epoch / 150)) + 1e-5,
            "train_loss": mae**2,
            "train_force_mae": mae,
            "validation_force_mae": np.where(epoch % 5 == 0, 1.3 * mae, np.nan),
            "validation_energy_mae_per_atom": np.where(epoch % 5 == 0, 0.02 * mae, np.nan),
        }
    )


def _test_atoms(mae: float, rng: np.random.Generator) -> pd.DataFrame:
    n = 20 * len(SYMBOLS)
    reference = rng.normal(0, 1.2, (n, 3))
    size = mae * rng.lognormal(0, 0.6, (n, 1))
    error = size * rng.normal(0, 1.05, (n, 3))
    columns = {
        "frame_id": np.repeat([frame.id for frame in TEST], len(SYMBOLS)),
        "atom": np.tile(np.arange(len(SYMBOLS)), 20),
        "symbol": np.tile(SYMBOLS, 20),
    }
    for i, axis in enumerate("xyz"):
        columns |= {f"f{axis}_ref": reference[:, i], f"f{axis}": reference[:, i] + error[:, i]}
    columns["force_error"] = np.linalg.norm(error, axis=1)
    columns["force_disagreement"] = 0.8 * size[:, 0] * rng.lognormal(0, 0.3, n)
    return pd.DataFrame(columns)


def _replicas(number: int, rng: np.random.Generator) -> pd.DataFrame:
    temperature = np.repeat([300.0, 500.0, 800.0], 4)
    fails = np.array([0] * 7 + [number < 1] + [0] * 2 + [number < 2, 1]).astype(bool)
    return pd.DataFrame(
        {
            "replica": np.arange(12),
            "bath_temperature_K": temperature,
            "mean_temperature_K": temperature * rng.normal(1.0, 0.06, 12),
            "time_fs": np.where(fails, rng.uniform(40, 400, 12).round(), 500.0),
            "survived": ~fails,
            "stop_reason": np.where(
                fails, "too close: O3-H9 at 0.31 Å, 0.32 of the sum of their radii (bound 0.65)", ""
            ),
        }
    )


def _selection(number: int, picked: Sequence[Frame]) -> pd.DataFrame:
    stages = ["farthest_point"] * 8 + ["band"] * 30 + ["duplicate"] * 20 + ["cap"] * 10
    return pd.DataFrame(
        {
            "frame_id": [*(frame.id for frame in picked), *(f"{number}{i:015x}" for i in range(8, 68))],
            "replica": np.arange(68) % 12,
            "step": np.arange(68) * 10,
            "decision": ["selected"] * 8 + ["rejected"] * 60,
            "stage": stages,
            "reason": [f"distance {0.01 * i:.3g}" for i in range(68)],
        }
    )


def _labelled(n: int, first_digit: str) -> pd.DataFrame:
    """Labels of 5.8 s: 4.2 of SCF, 1.6 of gradient."""
    row = {"outcome": "labelled", "kind": "", "message": "", "advice": "", "seconds": 5.8}
    made = {"scf_seconds": 4.2, "gradient_seconds": 1.6, "seconds": 5.8}
    row |= {f"{stage}_seconds": seconds for stage, seconds in stage_seconds(made).items()}
    return pd.DataFrame([{"frame_id": f"{first_digit}{i:015x}", **row} for i in range(n)])


def _outcomes(number: int) -> pd.DataFrame:
    outcomes = _labelled(8, str(number))
    if number == 1:
        failure = {
            "frame_id": "1234e00000000000",
            "outcome": "failed",
            "kind": "not_converged",
            "message": "SCF did not converge in 100 cycles; <b>last</b> change 3e-4 Ha",
            "advice": "raise max_cycles or lower the exploration temperature",
            "seconds": 41.0,
        }
        outcomes = pd.concat([outcomes, pd.DataFrame([failure])])
    return outcomes
