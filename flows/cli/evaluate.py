"""`alnico evaluate`: a potential on labelled structures, or a campaign's on its frozen tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.cli.output import require_folder
from flows.cli.reading import reading
from flows.cli.single_steps import refuse_unknown_elements
from flows.errors import CampaignError, ConfigError
from flows.record.folder import CampaignFolder
from flows.views.calibration import SETS
from potential.data.dataset import Dataset
from potential.data.structure_files import read_dataset

if TYPE_CHECKING:
    from potential.evaluation import Evaluation
    from potential.evaluator import Evaluator


def evaluate_on_file(potential: Path, data: Path, *, names: Mapping[str, Any], output: Path | None) -> None:
    """Errors of a potential on a labelled file; warns where it has learned from a frame.

    Args:
        names: the file's names of energy, forces and stress, as `read_dataset` takes them.
        output: folder for the tables per atom and per frame.

    Raises:
        ConfigError: for a folder that is no potential, or a file without labels.
    """
    if output is not None:
        require_folder(output)
    evaluator = _evaluator(potential)
    with reading(data):
        dataset = read_dataset(data, level_key=data.name, **names)
    refuse_unknown_elements(data, dataset.frames, evaluator)
    _print(_evaluated(evaluator, dataset, output), f"{len(dataset)} frames")
    _warn_of_what_was_learned(evaluator, potential, dataset)


def evaluate_campaign(source: Path, *, output: Path | None) -> None:
    """Errors on its frozen tests: of its potential, or of the champion of its rounds while it has none.

    Raises:
        ConfigError: for no campaign.
        CampaignError: where no round is finished yet.
    """
    from flows.record.stages import is_finished
    from flows.steps.frozen import frozen_tests
    from flows.views.summary import champion_round

    if not (source / "campaign.yaml").exists() and source.suffix not in (".yaml", ".yml"):
        raise ConfigError(source, ["is no campaign; give a potential with a file of labelled structures"])
    folder = CampaignFolder.open(source)
    results = folder.results()
    if not results:
        raise CampaignError(f"no round of {folder.config.name} is finished yet; `alnico run {source}`")
    if output is not None:
        require_folder(output)
    champion = champion_round(results)
    published = is_finished(folder.potential)
    potential = folder.potential if published else folder.round(champion.round).potential
    evaluator = _evaluator(potential)
    print(f"{potential}, {'published' if published else f'the champion so far, round {champion.round}'}")
    for name, dataset in frozen_tests(folder).items():
        into = None if output is None else output / name
        print()
        _print(_evaluated(evaluator, dataset, into), f"{SETS[name]}, {len(dataset)} frames")


def _evaluator(potential: Path) -> Evaluator:
    from potential.evaluator import Evaluator
    from potential.package import load_potential

    with reading(potential):
        return Evaluator(load_potential(potential))


def _evaluated(evaluator: Evaluator, dataset: Dataset, output: Path | None) -> Evaluation:
    from potential.evaluation import evaluate

    found = evaluate(evaluator, dataset)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        found.atoms.to_csv(output / "atoms.csv", index=False)
        found.frames.to_csv(output / "frames.csv", index=False)
        print(f"wrote {output}/atoms.csv and frames.csv")
    return found


def _print(found: Evaluation, title: str) -> None:
    """Every metric with its 95 % interval over the frames."""
    from potential.metrics import BASIC, METRICS

    print(title)
    for metric in (*BASIC, *METRICS):
        estimate = metric.estimate(found)
        value, low, high = (metric.factor * x for x in (estimate.value, estimate.low, estimate.high))
        if value == value:  # NaN: not defined
            bounds = f"   95 % interval {low:.3g} to {high:.3g}" if low == low else ""
            print(f"{metric.title:<42} {value:10.2f} {metric.unit:<8}{bounds}".rstrip())


def _warn_of_what_was_learned(evaluator: Evaluator, potential: Path, dataset: Dataset) -> None:
    """An error on frames that a potential knows is no test of it."""
    from potential.roles import Roles

    with reading(potential):
        roles = Roles.load(potential)
    if roles is None:
        print("note: the potential does not say what it learned from; nobody can tell whether this is a test")
        return
    mine = [roles.of.get(frame.id) for frame in dataset.frames]
    trained, chose = mine.count("train"), mine.count("held_out")
    if not trained + chose:
        return
    held = f" and chose its best epoch on {chose}" if chose else ""
    print(f"warning: of these {len(mine)} frames it was trained on {trained}{held}; they are no test of it")
    unseen = Dataset.of(
        item for item, role in zip(dataset, mine, strict=True) if role not in ("train", "held_out")
    )
    if len(unseen):
        print()
        _print(_evaluated(evaluator, unseen, None), f"the {len(unseen)} frames that it has not seen")
