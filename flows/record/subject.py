"""What a campaign computes: compositions, charges, spins, how many structures, at which level of theory."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence

from flows.errors import ConfigError
from flows.record.folder import CampaignFolder
from potential.data.charge_states import ChargeState, charge_states, in_words
from potential.data.frame import Frame
from potential.data.notes import StructureWarning
from potential.data.structure_files import read_frames


def subject_of(folder: CampaignFolder) -> Counter[ChargeState]:
    """The structures that the campaign starts from, or where they are gone, its initial frames."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StructureWarning)  # they were told when the campaign began
        try:
            return charge_states(folder.config.structure.frames())
        except (ValueError, OSError):
            return charge_states(_kept(folder))


def subject_line(folder: CampaignFolder) -> str:
    """`C2H6O, charge 0, singlet (1 structure); PBE/def2-SVP`."""
    return f"{in_words(subject_of(folder))}; {folder.config.level.name}"


def refuse_strangers(folder: CampaignFolder, frames: Iterable[Frame]) -> None:
    """Whether frames have a composition, charge and spin of the campaign's.

    Raises:
        ConfigError: naming the first that has not, and what the campaign is about.
    """
    states = subject_of(folder) + charge_states(_kept(folder))
    for frame in frames:
        if states and ChargeState.of(frame) not in states:
            raise ConfigError(
                f"campaign {folder.config.name}",
                [
                    f"is about {in_words(subject_of(folder))}; a label of {ChargeState.of(frame)} has no "
                    "place in its store. Use a store of its own (--store), or write --any-composition"
                ],
            )


def _kept(folder: CampaignFolder) -> Sequence[Frame]:
    files = [file for file in (folder.initial_frames, folder.test_frames) if file.exists()]
    return [frame for file in files for frame in read_frames(file, check=False)]
