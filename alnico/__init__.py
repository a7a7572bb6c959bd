"""The front door: every documented name in one place, loaded when it is first used.

    from alnico import Potential, read_frames

The code is in `potential`, `exploration`, `labeling` and `flows`; docs/architecture.md says what is where.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from alnico.own_packages import refuse_strangers

refuse_strangers()

if TYPE_CHECKING:
    from exploration.dynamics.langevin import Langevin as Langevin
    from exploration.dynamics.npt import NPT as NPT
    from exploration.dynamics.nve import NVE as NVE
    from exploration.explore import explore as explore
    from exploration.ledger import Exploration as Exploration
    from exploration.selection import Selection as Selection
    from exploration.selection import select as select
    from exploration.settings import ExplorationConfig as ExplorationConfig
    from exploration.strategies.diverse import Diverse as Diverse
    from exploration.strategies.random_draw import RandomDraw as RandomDraw
    from exploration.strategies.uncertain_and_diverse import UncertainAndDiverse as UncertainAndDiverse
    from flows.campaign.loop import run_campaign as run_campaign
    from flows.errors import CampaignError as CampaignError
    from flows.errors import ConfigError as ConfigError
    from flows.record.folder import CampaignFolder as CampaignFolder
    from flows.record.results import RoundResult as RoundResult
    from flows.settings.campaign_config import CampaignConfig as CampaignConfig
    from flows.settings.yaml_file import load_config as load_config
    from flows.tracking.registry import load_champion as load_champion
    from labeling.failure import LabelFailure as LabelFailure
    from labeling.level import LennardJonesLevel as LennardJonesLevel
    from labeling.level import PySCFLevel as PySCFLevel
    from labeling.periodic_level import PeriodicLevel as PeriodicLevel
    from labeling.store import LabelStore as LabelStore
    from labeling.task import label as label
    from labeling.task import label_all as label_all
    from labeling.workers import LabelingConfig as LabelingConfig
    from labeling.workers import LabelWorkers as LabelWorkers
    from potential.calculator import Potential as Potential
    from potential.data.dataset import Dataset as Dataset
    from potential.data.dataset import Label as Label
    from potential.data.dataset import LabelledFrame as LabelledFrame
    from potential.data.frame import Frame as Frame
    from potential.data.structure_files import molecule as molecule
    from potential.data.structure_files import read_dataset as read_dataset
    from potential.data.structure_files import read_frames as read_frames
    from potential.data.structure_files import write_frames as write_frames
    from potential.evaluation import evaluate as evaluate
    from potential.evaluator import Evaluator as Evaluator
    from potential.nequip.batch import Structures as Structures
    from potential.nequip.model_config import ModelConfig as ModelConfig
    from potential.package import load_potential as load_potential
    from potential.package import save_potential as save_potential
    from potential.training.train import train_committee as train_committee
    from potential.training.training_config import TrainingConfig as TrainingConfig

    __version__: str

_HOMES = {
    "exploration.dynamics.langevin": ("Langevin",),
    "exploration.dynamics.npt": ("NPT",),
    "exploration.dynamics.nve": ("NVE",),
    "exploration.explore": ("explore",),
    "exploration.ledger": ("Exploration",),
    "exploration.selection": ("Selection", "select"),
    "exploration.settings": ("ExplorationConfig",),
    "exploration.strategies.diverse": ("Diverse",),
    "exploration.strategies.random_draw": ("RandomDraw",),
    "exploration.strategies.uncertain_and_diverse": ("UncertainAndDiverse",),
    "flows.campaign.loop": ("run_campaign",),
    "flows.errors": ("CampaignError", "ConfigError"),
    "flows.record.folder": ("CampaignFolder",),
    "flows.record.results": ("RoundResult",),
    "flows.settings.campaign_config": ("CampaignConfig",),
    "flows.settings.yaml_file": ("load_config",),
    "flows.tracking.registry": ("load_champion",),
    "labeling.failure": ("LabelFailure",),
    "labeling.level": ("LennardJonesLevel", "PySCFLevel"),
    "labeling.periodic_level": ("PeriodicLevel",),
    "labeling.store": ("LabelStore",),
    "labeling.task": ("label", "label_all"),
    "labeling.workers": ("LabelWorkers", "LabelingConfig"),
    "potential.calculator": ("Potential",),
    "potential.data.dataset": ("Dataset", "Label", "LabelledFrame"),
    "potential.data.frame": ("Frame",),
    "potential.data.structure_files": ("molecule", "read_dataset", "read_frames", "write_frames"),
    "potential.evaluation": ("evaluate",),
    "potential.evaluator": ("Evaluator",),
    "potential.nequip.batch": ("Structures",),
    "potential.nequip.model_config": ("ModelConfig",),
    "potential.package": ("load_potential", "save_potential"),
    "potential.training.train": ("train_committee",),
    "potential.training.training_config": ("TrainingConfig",),
}
"""The same as above, for the interpreter: module and public names (tests/test_front_door.py compares)."""

_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
__all__ = ["__version__", *_HOME_OF]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = import_module("flows.version").version()
    elif name in _HOME_OF:
        value = getattr(import_module(_HOME_OF[name]), name)
    else:
        raise AttributeError(f"alnico has no {name!r}; it has {', '.join(sorted(_HOME_OF))}")
    globals()[name] = value  # next time without this function
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
