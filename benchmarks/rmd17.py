"""Data efficiency on rMD17, with pretraining and without: `python -m benchmarks.rmd17 FOLDER`.

    python -m benchmarks.rmd17 FOLDER --molecule ethanol --frames 50 --steps 6000 --seeds 0 1
    python -m benchmarks.rmd17 FOLDER --frames 10 50 200 --teacher '{"frames": 11500, "max_steps": 26000}'
    python -m benchmarks.rmd17 FOLDER --frames 20 --survival      and how long dynamics last
    python -m benchmarks.rmd17 FOLDER --table       what is there so far, beside published figures
    python -m benchmarks.rmd17 FOLDER --figure curves.svg

Trains a committee on the first frames of the official training split 01 and scores it on the whole test
split. With `--teacher` (settings of `pretraining:` in a campaign) it is first taught by GFN2-xTB, once for
a molecule and seed. Every result is a line in OUTPUT/results.jsonl the moment it is there; what is there is
not done again, and a run that was killed goes on. FOLDER holds `ethanol_train_01.xyz` and
`ethanol_test_01.xyz` (Christensen and von Lilienfeld, Mach. Learn.: Sci. Technol. 1, 045018 (2020); eV and
Angstrom).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from exploration.explore import explore
from exploration.settings import ExplorationConfig, SurvivalTest
from flows.cli.pretrain import taught_potential
from flows.record.pretraining_results import PretrainSummary, TeachSummary
from flows.record.results import SUMMARY_FILE
from flows.settings.pretraining import FromTeacher
from flows.views.plotting import panels
from potential.data.dataset import Dataset
from potential.data.structure_files import read_dataset
from potential.evaluation import evaluate
from potential.evaluator import Evaluator
from potential.nequip.model import NequIP
from potential.nequip.model_config import ModelConfig
from potential.package import load_potential
from potential.training.train import train_committee
from potential.training.training_config import TrainingConfig

SURVIVAL = SurvivalTest(replicas=8, temperatures_K=(300.0, 600.0, 1000.0), n_steps=4000)

# Force MAE (meV/Angstrom) and energy MAE (meV) as the NequIP and MACE papers give them.
PUBLISHED = {
    ("ethanol", 50): {"NequIP": (40.2, 8.7), "MACE": (32.6, 6.7)},
    ("aspirin", 50): {"NequIP": (52.0, 19.5), "MACE": (43.9, 17.0)},
    ("ethanol", 950): {"NequIP": (2.8, 0.4), "MACE": (2.1, 0.4)},
}

COLOURS = {
    "from random weights": "#D55E00",
    "from random weights, products": "#CC79A7",
    "taught by GFN2-xTB": "#0072B2",
    "taught by GFN2-xTB, products": "#009E73",
}


def main() -> None:
    arguments = _arguments()
    arguments.output.mkdir(parents=True, exist_ok=True)
    results = arguments.output / "results.jsonl"
    if arguments.table:
        print(table(read_results(results)))
        return
    if arguments.figure is not None:
        mine = [r for r in read_results(results) if r["molecule"] == arguments.molecule]
        curves(mine).savefig(arguments.figure)
        return
    source = None if arguments.teacher is None else FromTeacher(**json.loads(arguments.teacher))
    model = ModelConfig(**json.loads(arguments.model))
    training = TrainingConfig(
        **(
            {"max_epochs": 10**9, "max_steps": arguments.steps, "validation_fraction": 0.0}
            | ({} if source is None else {"learning_rate": source.fine_tuning_rate})
            | json.loads(arguments.training)
        )
    )
    train, test = (
        read_dataset(arguments.folder / f"{arguments.molecule}_{part}_01.xyz", "rMD17")
        for part in ("train", "test")
    )
    for seed in arguments.seeds:
        for n in arguments.frames:
            what = {
                "molecule": arguments.molecule,
                "frames": n,
                "seed": seed,
                "teacher": None if source is None else source.model_dump(mode="json"),
                "model": model.model_dump(),
                "training": training.model_dump(),
            }
            if any({key: r[key] for key in what} == what for r in read_results(results)):
                continue
            taught: NequIP | None = None
            facts: dict[str, Any] = {}
            if source is not None:
                taught, facts = _taught(arguments, source, model, training, train, seed)
            found = _trained(
                arguments.output, what, Dataset.of(train.items[:n]), test, taught, survival=arguments.survival
            )
            with results.open("a") as stream:
                stream.write(json.dumps(what | found | facts) + "\n")
            print(table([what | found | facts]), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, default=Path("build/rmd17"))
    parser.add_argument("--molecule", default="ethanol")
    parser.add_argument("--frames", type=int, nargs="+", default=[50], help="training frames")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=6000, help="gradient steps on the training frames")
    parser.add_argument("--teacher", help="teach first, with these settings of `pretraining`, as JSON")
    parser.add_argument("--model", default="{}", help="changes to the model, as JSON")
    parser.add_argument("--training", default="{}", help="changes to the training, as JSON")
    parser.add_argument("--survival", action="store_true", help="dynamics with each committee, too")
    parser.add_argument("--figure", type=Path, help="only draw what is there so far, into this file")
    parser.add_argument("--table", action="store_true", help="only print the results so far")
    return parser.parse_args()


def _taught(
    arguments: argparse.Namespace,
    source: FromTeacher,
    model: ModelConfig,
    training: TrainingConfig,
    train: Dataset,
    seed: int,
) -> tuple[NequIP, dict[str, Any]]:
    """Pretrained from one structure of the training split, which labels nothing."""
    name = _digest(source.model_dump(mode="json"), model.model_dump(), seed)
    folder = arguments.output / f"{arguments.molecule}-taught-{name}"
    taught = taught_potential(
        [train.frames[0]], source, model=model, training=training, seed=seed, folder=folder
    )
    made = TeachSummary.model_validate_json((folder / "teach" / SUMMARY_FILE).read_text())
    learned = PretrainSummary.model_validate_json((folder / "pretrain" / SUMMARY_FILE).read_text())
    facts = {
        "teacher_frames": made.n_frames,
        "teacher_seconds": made.seconds,
        "teacher_force_mae": learned.force_mae,
        "pretraining_seconds": learned.seconds,
    }
    return load_potential(taught), facts


def _trained(
    output: Path,
    what: dict[str, Any],
    train: Dataset,
    test: Dataset,
    taught: NequIP | None,
    *,
    survival: bool,
) -> dict[str, Any]:
    trained = train_committee(
        train,
        Dataset.of([]),
        model=ModelConfig(**what["model"]),
        training=TrainingConfig(**what["training"]),
        seed=what["seed"],
        folder=output / f"training-{_digest(what)}",
        warm_start=taught,
    )
    committee = Evaluator(trained.model)
    found = evaluate(committee, test)
    lasted = {"survival": _survival(committee, train)} if survival else {}
    return lasted | {
        "steps": trained.history[-1].step,
        "seconds": trained.seconds,
        "force_mae": found.force_mae,
        "energy_mae": found.energy_mae * len(test.frames[0]),
        "spearman": found.spearman,
    }


def _survival(committee: Evaluator, train: Dataset) -> dict[str, float]:
    """The share of the replicas that nothing unphysical stops within 2 ps, by temperature."""
    dynamics = ExplorationConfig(timestep_fs=0.5).of_survival(SURVIVAL)
    replicas = explore(committee, train.frames, dynamics, seed=0).replicas
    shares = replicas.groupby("bath_temperature_K")["survived"].mean()
    return {f"{float(str(temperature)):g} K": float(share) for temperature, share in shares.items()}


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:10]


def read_results(path: Path) -> list[dict[str, Any]]:
    """Every result so far, in the order in which they came."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(results: list[dict[str, Any]]) -> str:
    """Means over seeds, one row for each molecule, number of frames, teacher and training."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        key = {name: result[name] for name in ("molecule", "frames", "teacher", "model", "training")}
        groups.setdefault(json.dumps(key, sort_keys=True), []).append(result)
    rows = [
        "| molecule | labels | taught by xTB | steps | force MAE, meV/Å | energy MAE, meV | Spearman | seeds "
        "| seconds: teacher, pretraining, training | survival | published |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for found in groups.values():
        first, seeds = found[0], " ".join(str(r["seed"]) for r in found)
        taught = "no"
        if first["teacher"]:
            held_out = 1000 * _mean(found, "teacher_force_mae")
            steps = first["teacher"]["max_steps"]
            taught = f"{first['teacher_frames']} frames, {steps} steps, {held_out:.1f} meV/Å"
        cost = ", ".join(
            f"{_mean(found, name):.0f}" if name in first else "0"
            for name in ("teacher_seconds", "pretraining_seconds", "seconds")
        )
        forces, energies = ([1000 * r[name] for r in found] for name in ("force_mae", "energy_mae"))
        published = "; ".join(
            f"{name} {force} / {energy}"
            for name, (force, energy) in PUBLISHED.get((first["molecule"], first["frames"]), {}).items()
        )
        rows.append(
            f"| {first['molecule']} | {first['frames']} | {taught} | {first['steps']} | {_spread(forces)} "
            f"| {_spread(energies)} | {_mean(found, 'spearman'):.2f} | {seeds} | {cost} "
            f"| {_lasting(found)} | {published} |"
        )
    return "\n".join(rows)


def curves(results: list[dict[str, Any]]) -> Figure:
    """Force MAE against labels of the longest trainings, a curve for each kind, with the published points."""
    figure, (axes,) = panels(5.6, 4.0)
    for label, colour in COLOURS.items():
        mine = [r for r in results if _kind(r) == label]
        sizes = sorted({r["frames"] for r in mine})
        means = [_of_the_longest([r for r in mine if r["frames"] == n]) for n in sizes]
        if sizes:
            axes.plot(sizes, means, "o-", color=colour, label=label)
    for (molecule, n), figures in PUBLISHED.items():
        for marker, (name, (force, _)) in zip("s^", figures.items(), strict=True):
            if any(r["molecule"] == molecule for r in results):
                label = f"{name}, published" if n == 50 else None
                axes.plot([n], [force], marker, color="#59636E", label=label)
    axes.set(xscale="log", yscale="log", xlabel="labels", ylabel="test force MAE (meV/Å)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.legend(frameon=False, fontsize=9)
    return figure


def _kind(result: dict[str, Any]) -> str:
    """The curve to which a result belongs; one of an older version has no products of messages."""
    taught = "from random weights" if result["teacher"] is None else "taught by GFN2-xTB"
    return taught + (", products" if result["model"].get("correlation", 1) > 1 else "")


def _of_the_longest(results: list[dict[str, Any]]) -> float:
    """The mean force MAE, over the seeds, of the settings that made the most steps, meV/Angstrom."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        key = {name: result[name] for name in ("teacher", "model", "training")}
        groups.setdefault(json.dumps(key, sort_keys=True), []).append(result)
    return 1000 * _mean(max(groups.values(), key=lambda found: _mean(found, "steps")), "force_mae")


def _lasting(found: list[dict[str, Any]]) -> str:
    """Means over the seeds whose dynamics were tried."""
    tried = [r["survival"] for r in found if "survival" in r]
    at = tried[0] if tried else {}
    return ", ".join(f"{statistics.fmean(r[t] for r in tried):.0%} at {t}" for t in at)


def _mean(found: list[dict[str, Any]], name: str) -> float:
    return statistics.fmean(r[name] or 0.0 for r in found)


def _spread(values: list[float]) -> str:
    each = f" ({', '.join(f'{v:.1f}' for v in values)})" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.1f}{each}"


if __name__ == "__main__":
    main()
