r"""A methods paragraph of a campaign, to paste into LaTeX: what was done, with the numbers and `\cite`s.

Whatever it says comes from the configuration and the results. What is not there, is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from exploration.frame_sources import (
    EnergyContour,
    FramesConfig,
    FramesFromFile,
    NormalModes,
    RandomDisplacement,
    XtbMD,
)
from flows.record.folder import CampaignFolder
from flows.record.pretraining_results import GuardSummary
from flows.record.results import RoundResult
from flows.record.subject import subject_of
from flows.settings.campaign_config import CampaignConfig, FrameSetConfig
from flows.settings.pretraining import GFN2_XTB, FromTeacher
from flows.version import version
from flows.views.pretraining import read_guard, read_pretrain, read_teach
from flows.views.references import (
    ALWAYS,
    BAND,
    BIAS,
    BOOTSTRAP,
    COMMITTEE,
    CONTOURS,
    FARNESS,
    MODES,
    MUON,
    PRODUCTS,
    XTB,
    References,
    cite,
    of_level,
    of_scheme,
    of_strategy,
    references,
)
from flows.views.summary import champion_round
from labeling.ase_level import AseLevel
from labeling.level import PySCFLevel
from labeling.periodic_level import PeriodicLevel
from potential.data.charge_states import in_words
from potential.metrics import ENERGY_MAE, FORCE_MAE, Metric
from potential.training.training_config import TrainingConfig

SCHEDULES: dict[str, str] = {
    "cosine": "cosine schedule",
    "until_flat": "held until the held-out error was flat, then falling linearly to zero",
    "plateau": "halved on plateaus of the loss",
    "constant": "constant",
}
SELECTED: dict[str, str] = {
    "uncertain_and_diverse": "chosen among the candidates by farthest-point sampling in the committee's "
    "latent features",
    "uncertain": "those candidates on which the members disagreed most",
    "lcmd": "chosen among the candidates by largest-cluster maximum distance",
    "kmeans_pp": "drawn among the candidates by k-means++ weighted by the uncertainty",
    "point_of_failure": "the last ones before a trajectory became unphysical",
    "diverse": "chosen by farthest-point sampling in the committee's latent features",
    "random": "drawn at random",
}
"""What is labelled in each round, by strategy."""


DYNAMICS = {"nve": "NVE", "langevin": "Langevin", "npt": "NPT"}


def teacher_of(folder: CampaignFolder) -> AseLevel | None:
    """The cheap method that the committee learned from first, if it did."""
    if read_teach(folder) is None:
        return None
    source = folder.config.pretraining
    return source.teacher if isinstance(source, FromTeacher) else GFN2_XTB


def citations(folder: CampaignFolder) -> References:
    """What to cite for the campaign."""
    return references(folder.config, pretrained=teacher_of(folder))


def methods(folder: CampaignFolder, results: Sequence[RoundResult]) -> str:
    """The paragraph; up to the champion of these rounds, "" before the first."""
    if not results:
        return ""
    champion = champion_round(results).round
    config, trained = folder.at(champion), folder.trained_with(folder.round(champion))
    guard = read_guard(folder)
    begun_with_weights = read_pretrain(folder) is not None and (guard is None or guard.keep)
    sentences = [
        f"Interatomic potentials for {_tex(in_words(subject_of(folder)))} were trained by active learning "
        f"with alnico {version()}.",
        _reference(config),
        _model(config),
        *_pretraining(folder, guard),
        _start(config),
        _exploration(config, results),
        _training(trained, pretrained=begun_with_weights, seed=config.seed),
        *_changes(folder),
        _outcome(results),
    ]
    said = re.sub(r" +(?=[ .,;)])", "", " ".join(sentences))  # where there was nothing to cite
    return re.sub(" ?%", r"\\,\\%", said).replace("Å", r"\AA{}")


def _reference(config: CampaignConfig) -> str:
    level = config.level
    said = f"Reference energies and forces were computed at {_tex(level.name)} {of_level(level).cite()}"
    match level:
        case PySCFLevel():
            fitted = "density fitting, " if level.density_fit else ""
            details = f"{fitted}integration grid of level {level.grid_level}, "
            return f"{said} with PySCF ({details}SCF converged to {level.conv_tol_hartree:g} Hartree)."
        case PeriodicLevel():
            return (
                f"{said} with PySCF (plane waves of the density up to {level.ke_cutoff_hartree:g} Hartree, "
                f"SCF converged to {level.conv_tol_hartree:g} Hartree)."
            )
        case _:
            return f"{said}."


def _model(config: CampaignConfig) -> str:
    model, keys = config.model, (*ALWAYS[:1], "geiger2022e3nn", "paszke2019pytorch")
    products = ""
    if model.correlation > 1:
        products = f", products of up to {model.correlation} messages {cite(*PRODUCTS)}"
    network = (
        f"NequIP model{'s' if model.committee_size > 1 else ''} {cite(*keys)} ({model.num_layers} "
        f"interaction blocks, features up to l = {model.l_max} with {model.num_features} channels{products}, "
        f"cutoff {model.r_max:g} Å)"
    )
    if model.committee_size == 1:
        return f"The potential was one {network}."
    weighted = "" if config.training.bootstrap == "none" else " and by random weights of the frames"
    return (
        f"The model was a committee of {model.committee_size} {network}, whose members differed by their "
        f"initial weights{weighted}; "
        "their mean was the prediction and their standard deviation the uncertainty "
        f"{cite(*COMMITTEE)}."
    )


def _pretraining(folder: CampaignFolder, guard: GuardSummary | None) -> list[str]:
    learned, made, teacher = read_pretrain(folder), read_teach(folder), teacher_of(folder)
    if learned is None:
        return []
    if made is None or teacher is None:
        taught = f"from the weights of an earlier potential ({_tex(learned.source)})"
    else:
        taught = (
            f"from weights trained on {made.n_frames} frames that {_tex(teacher.name)} "
            f"{of_level(teacher).cite()} labelled, from dynamics with the same method"
        )
    if guard is None or guard.keep:
        return [f"Training began {taught}."]
    return [
        f"Training began from random weights: on {guard.n_held_out} held-out labels they led to "
        f"{1000 * guard.scratch:.3g} meV/Å, a training {taught} to {1000 * guard.pretrained:.3g} meV/Å."
    ]


def _start(config: CampaignConfig) -> str:
    said = (
        f"The first {config.initial.frames} frames to learn from were {_made(config.initial)}; "
        f"{config.test.frames} frames for testing, {_made(config.test)} independently of them, were set "
        "aside before anything was trained"
    )
    if (broad := config.test_broad) is not None:
        said += f", and {broad.frames} more, {_made(broad)}, as a test farther out"
    return f"{said}."


def _made(frames: FrameSetConfig) -> str:
    source: FramesConfig = frames.source
    match source:
        case XtbMD():
            at = _listed(f"{temperature:g}" for temperature in source.temperatures_K)
            cited = cite(*XTB)
            return f"taken from Langevin dynamics with GFN2-xTB {cited} at {at} K"
        case NormalModes():
            at = _listed(f"{temperature:g}" for temperature in source.temperatures_K)
            cited = cite(*XTB, *MODES)
            return f"displaced along normal modes of GFN2-xTB {cited}, with classical amplitudes at {at} K"
        case EnergyContour():
            at = _listed(f"{temperature:g}" for temperature in source.temperatures_K)
            cited = cite(*XTB, *CONTOURS)
            return f"taken along contours of the energy of GFN2-xTB {cited}, as high as heat of {at} K"
        case RandomDisplacement():
            return f"made by random displacements of {source.std_A:g} Å"
        case FramesFromFile():
            return f"drawn from a file ({_tex(source.path.name)})"


def _exploration(config: CampaignConfig, results: Sequence[RoundResult]) -> str:
    n = sum(result.exploration is not None for result in results)
    if not n:
        return "No round of exploration followed."
    e, strategy = config.exploration, config.selection
    at = _listed(f"{temperature:g}" for temperature in e.temperatures_K)
    biased = "" if e.bias is None else f", biased towards uncertainty {cite(*BIAS)}"
    cited = of_strategy(strategy)
    how = SELECTED.get(strategy.strategy, f"chosen by {strategy.strategy}")
    how += f" {cited.cite()}"
    return (
        f"In {'one round' if n == 1 else f'each of {n} rounds'}, {e.n_replicas} trajectories of up to "
        f"{e.n_steps * e.timestep_fs / 1000:g} ps (time step {e.timestep_fs:g} fs, "
        f"{DYNAMICS.get(e.ensemble.scheme, e.ensemble.scheme)} dynamics {of_scheme(e.ensemble).cite()} at "
        f"{at} K{biased}) were run with the committee.{_candidates(config)} Up to "
        f"{strategy.frames_per_round} frames a round, {how}, were labelled and added."
    )


def _candidates(config: CampaignConfig) -> str:
    e = config.exploration
    if config.selection.strategy in ("diverse", "random"):
        return ""
    if e.error_bounds is None:
        low, high, what, unit = e.lower_eV_per_A, e.upper_eV_per_A, "disagreement", "eV/Å"
    else:
        low, high = e.error_bounds.lower_meV_per_A, e.error_bounds.upper_meV_per_A
        what, unit = "expected force error", "meV/Å"
    far = (
        ""
        if e.max_extrapolation is None
        else f", or if an atom's surroundings were more than {e.max_extrapolation:g} times farther from the "
        f"training data than usual {cite(*FARNESS)}"
    )
    return (
        f" Frames were candidates if the largest {what} of an atom was between {low:g} and {high:g} {unit} "
        f"{cite(*BAND)}{far}."
    )


def _training(t: TrainingConfig, *, pretrained: bool, seed: int) -> str:
    course = SCHEDULES[t.schedule]
    ends = [f"{t.max_epochs} epochs"] + ([f"{t.max_steps} steps"] if t.max_steps is not None else [])
    averaged = f", exponential moving average {t.ema_decay:g}" if t.ema_decay else ""
    stress = f", {t.stress_weight:g} for stress" if t.stress_weight else ""
    start = "the pretrained weights" if pretrained else "the same start"
    begun = "the weights of the round before" if t.warm_start else start
    held = (
        f"{t.validation_fraction:.0%} of the labels were held out of every training and chose its best epoch "
        "and, between rounds, the final potential"
        if t.validation_fraction
        else "No labels were held out"
    )
    how = f"Adam {cite('kingma2015adam')}"
    if t.optimizer == "muon":
        how = f"Muon {cite(*MUON)}, and {how} for embedding and readout,"
    return (
        "Training minimised squared errors of energies per atom and force components (weights "
        f"{t.energy_weight:g} and {t.force_weight:g}{stress}) with {how} (learning "
        f"rate {t.learning_rate:g}, {course}, batches of {t.batch_size} frames, at most "
        f"{' or '.join(ends)}{averaged}), in each round from {begun}. {held}. All random numbers follow from "
        f"the seed {seed}."
    )


def _changes(folder: CampaignFolder) -> list[str]:
    """A campaign may have changed its mind."""
    said = [_tex(line) for change in folder.changes() for line in change.said]
    return (
        [f"Settings are those of the last round; before it they changed: {'; '.join(said)}."] if said else []
    )


def _outcome(results: Sequence[RoundResult]) -> str:
    best = champion_round(results)
    failed = sum(result.labels.n_failed for result in results if result.labels is not None)
    lost = f" ({failed} more could not be computed)" if failed else ""
    return (
        f"The final potential learned from {best.training.n_train} of {best.n_labels} labels{lost}. On the "
        f"{best.test.n_frames} test frames its mean absolute error was {_error(best, FORCE_MAE)} for force "
        f"components and {_error(best, ENERGY_MAE)} for energies; intervals are 95 % over the test frames by "
        f"bootstrap {cite(*BOOTSTRAP)}."
    )


def _error(result: RoundResult, metric: Metric) -> str:
    value = metric.factor * result.evaluation.values()[metric.name]
    bounds = result.evaluation.intervals.get(metric.name)
    if bounds is None:
        return f"{value:.3g} {metric.unit}"
    low, high = (metric.factor * bound for bound in bounds)
    return f"{value:.3g} {metric.unit} ({low:.3g} to {high:.3g})"


def _tex(text: str) -> str:
    """A name of the user's as LaTeX takes it."""
    return re.sub(r"([_&#$])", r"\\\1", text)


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
