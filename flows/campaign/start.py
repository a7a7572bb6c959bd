"""Before the first round: the structures, their labels, the frozen test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flows.errors import CampaignError, ConfigError
from flows.record.folder import CampaignFolder
from flows.record.table import BROAD_LABELS, FIRST_LABELS, ISOLATED_ATOMS
from flows.settings.start_checks import check_start
from flows.steps.explore import make_broad_frames, make_frame_sets
from flows.steps.labels import label_frames
from labeling.failure import CannotLabelError
from labeling.gpu import require_gpu4pyscf
from labeling.isolated_atoms import isolated_atom, isolated_atom_energies
from labeling.store import LabelStore
from potential.data.dataset import Dataset
from potential.data.frame import Frame
from potential.training.device import check_device


@dataclass(frozen=True, kw_only=True)
class Start:
    """What every arm begins with.

    Attributes:
        initial: labelled frames to learn from.
        test: the frozen test set.
        broad: the second one, if there is one.
        quarantined: initial frames without a label.
        elements: atomic numbers of all structures.
        energy_shifts: energies of isolated atoms, eV; None where the shifts are fitted.
    """

    initial: Dataset
    test: Dataset
    quarantined: tuple[Frame, ...]
    elements: tuple[int, ...]
    energy_shifts: Mapping[int, float] | None
    broad: Dataset | None = None


def start_frames(folder: CampaignFolder) -> list[Frame]:
    """The structures of the configuration, checked against the level of theory and the dynamics.

    Raises:
        ConfigError: where a structure cannot be read, is impossible, cannot be labelled, or cannot move
            as the exploration shall, or where the campaign would be pointless (`check_start`).
    """
    config = folder.config
    try:
        frames = config.structure.frames()
        for frame in frames:
            config.level.check(frame)
            config.exploration.ensemble.check(frame)
            if config.training.energy_shifts == "isolated_atoms":
                for number in set(frame.numbers.tolist()):
                    config.level.check(isolated_atom(number))
    except (ValueError, OSError) as error:
        raise ConfigError(f"campaign {config.name}", [f"structure: {error}"]) from error
    try:
        for device in config.training.devices:
            check_device(device, elsewhere=config.labeling.engine.takes("training"))
    except ValueError as error:
        raise ConfigError(f"campaign {config.name}", [f"training.device: {error}"]) from error
    try:
        check_start(config, frames)
    except ValueError as error:
        raise ConfigError(f"campaign {config.name}", [str(error)]) from error
    config.labeling.engine.dry_run(config.labeling, folder.path)  # raises where it cannot be opened
    if config.labeling.backend == "gpu":
        try:
            require_gpu4pyscf()
        except CannotLabelError as error:
            raise ConfigError(f"campaign {config.name}", [str(error)]) from error
    return frames


def begin(folder: CampaignFolder, structures: Sequence[Frame], store: LabelStore) -> Start:
    """Make and label the initial and test frames.

    Raises:
        CampaignError: if too few of them have a label, or an isolated atom has none.
    """
    initial, test = make_frame_sets(folder, structures)
    first = label_frames(
        folder,
        FIRST_LABELS,
        folder.first_labels,
        [*test, *initial],
        store=store,
        description=FIRST_LABELS.title,
    )
    known = {item.frame.id: item for item in first.labelled}
    frozen = Dataset.of(known[frame.id] for frame in test if frame.id in known)
    learned = Dataset.of(known[frame.id] for frame in initial if frame.id in known)
    _enough(learned, len(initial), frozen, len(test))
    elements = tuple(sorted({int(z) for frame in [*structures, *initial, *test] for z in frame.numbers}))
    shifts = None
    if folder.config.training.energy_shifts == "isolated_atoms":
        shifts = _isolated_atoms(folder, elements, store)
    return Start(
        initial=learned,
        test=frozen,
        quarantined=tuple(frame for frame in initial if frame.id not in known),
        elements=elements,
        energy_shifts=shifts,
        broad=_broad(folder, structures, [*initial, *test], store),
    )


def _broad(
    folder: CampaignFolder, structures: Sequence[Frame], others: Sequence[Frame], store: LabelStore
) -> Dataset | None:
    if folder.config.test_broad is None:
        return None
    frames = make_broad_frames(folder, structures, others)
    tally = label_frames(
        folder, BROAD_LABELS, folder.broad_labels, frames, store=store, description=BROAD_LABELS.title
    )
    if not tally.labelled:
        raise CampaignError(
            "no frame of the broad test has a label; `alnico quarantine list` says why. Write a lower "
            f"temperature or a smaller std_A in test_broad, delete {folder.broad_frames} and "
            f"{folder.broad_labels}, and run again."
        )
    return tally.labelled


def _isolated_atoms(
    folder: CampaignFolder, elements: Sequence[int], store: LabelStore
) -> Mapping[int, float]:
    atoms = [isolated_atom(number) for number in elements]
    tally = label_frames(
        folder,
        ISOLATED_ATOMS,
        folder.isolated_atoms,
        atoms,
        store=store,
        description=ISOLATED_ATOMS.title,
    )
    if tally.quarantined:
        raise CampaignError(
            "an isolated atom could not be labelled; `alnico quarantine list` says why. Correct it, "
            f"delete {folder.isolated_atoms} and run again, or write `energy_shifts: least_squares`."
        )
    return isolated_atom_energies(elements, store, folder.config.level)


def _enough(initial: Dataset, n_initial: int, test: Dataset, n_test: int) -> None:
    if len(test) and len(initial) and 2 * len(initial) >= n_initial:
        return
    raise CampaignError(
        f"too few labels to begin with: {len(initial)} of {n_initial} initial and {len(test)} of {n_test} "
        "test frames have one.\nThe reasons are in labels/outcomes.csv of the campaign. Correct the level of "
        "theory, the spin or the temperatures of the frames, and start under another `name`."
    )
