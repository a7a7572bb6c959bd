"""What is held out stays held out, and the champion is chosen on it."""

from inspect import unwrap
from pathlib import Path

import pytest

from flows.record.folder import CampaignFolder
from flows.record.rounds import RoundFolder
from flows.record.table import TRAIN
from flows.settings.campaign_config import CampaignConfig
from flows.steps.choose import choose
from flows.steps.train import learned_and_held_out
from potential.data.dataset import Dataset
from potential.data.role import tagged
from potential.package import save_potential
from potential.roles import Roles
from tests.support.systems import labelled, labelled_by, model, water


@pytest.fixture
def campaign(tmp_path: Path, campaign_config: CampaignConfig) -> CampaignFolder:
    return CampaignFolder(tmp_path, campaign_config)


def ids(dataset: Dataset) -> set[str]:
    return {frame.id for frame in dataset.frames}


def trained(here: RoundFolder, parts: tuple[Dataset, Dataset], *, seed: int = 0, record: bool = True) -> None:
    """Have a finished training of random weights, which says what it learned from."""

    def make(into: Path) -> None:
        save_potential(into / "potential", model([1, 8], seed=seed), {})
        for name in ("history.csv", "summary.json", "potential/frames.csv"):
            (into / name).write_text("frame_id,role\n")
        if record:
            Roles.made(train=ids(parts[0]), held_out=ids(parts[1])).save(into / "potential")

    TRAIN.run(here.train, dict.fromkeys(TRAIN.inputs, seed), make)
    if not record:  # as older versions leave it
        (here.potential / "frames.csv").unlink()


def test_no_round_before_has_learned_from_what_is_held_out(campaign: CampaignFolder) -> None:
    labels, held_before, learned_before = labelled(*(water(i) for i in range(20))), set[str](), set[str]()
    for number in range(3):
        here = campaign.round(number)
        parts = learned_and_held_out(campaign, here, labels)
        assert ids(parts[0]) | ids(parts[1]) == ids(labels)
        assert len(parts[1]) == round(0.1 * len(labels))
        assert held_before <= ids(parts[1])
        assert not learned_before & ids(parts[1])
        trained(here, parts)
        assert ids(learned_and_held_out(campaign, here, labels)[1]) == ids(parts[1])  # a rerun
        roles = (here.potential / "frames.csv").read_bytes()
        (here.potential / "frames.csv").unlink()
        assert ids(learned_and_held_out(campaign, here, labels)[1]) == ids(parts[1])  # it is trained anew
        (here.potential / "frames.csv").write_bytes(roles)
        held_before, learned_before = ids(parts[1]), learned_before | ids(parts[0])
        more = range(20 + 15 * number, 35 + 15 * number)
        labels = labels.add(labelled(*(water(i) for i in more)))


def test_what_a_file_says_was_held_out_stays_so(campaign: CampaignFolder) -> None:
    labels = labelled(*(water(i) for i in range(20)))
    held = [frame.id for frame in labels.frames[5:8]]
    told = Dataset.of(tagged(labels.items, dict.fromkeys(held, "held_out")))
    assert ids(learned_and_held_out(campaign, campaign.round(0), told)[1]) < set(held)  # a tenth: two of them


def test_less_may_be_held_out_later(campaign: CampaignFolder) -> None:
    labels = labelled(*(water(i) for i in range(20)))
    parts = learned_and_held_out(campaign, campaign.round(0), labels)
    trained(campaign.round(0), parts)
    training = campaign.config.training.model_copy(update={"validation_fraction": 0.05})
    less = CampaignFolder(campaign.path, campaign.config.model_copy(update={"training": training}))
    (one,) = learned_and_held_out(less, less.round(1), labels)[1]
    assert one.frame.id in ids(parts[1])


@pytest.mark.parametrize(("right", "champion"), [(0, 0), (1, 1)])
def test_an_earlier_round_stays_champion_only_if_it_is_better_beyond_doubt(
    campaign: CampaignFolder, right: int, champion: int
) -> None:
    held_out = labelled_by(model([1, 8], seed=right), *(water(i) for i in range(8)))
    for number in range(2):
        trained(campaign.round(number), (labelled(*(water(i) for i in range(90, 95))), held_out), seed=number)
        found = unwrap(choose)(campaign, campaign.round(number), held_out)
    assert found.round == champion
    assert found.n_held_out == 8
    errors = [found.before_force_mae, found.force_mae]
    assert errors[right] == pytest.approx(0, abs=1e-6)
    assert errors[1 - right] > 0.01
    low, high = found.difference
    assert (low > 0) == (champion == 0)
    assert low < errors[1] - errors[0] < high
    assert "round 1 less round 0 on 8 held-out labels" in found.said


@pytest.mark.parametrize(
    ("held_out", "record", "says"),
    [
        (range(5), True, "5 held-out labels are too few to compare it on (6 needed)"),
        (range(0), True, "no labels are held out to compare it on"),
        (range(8), False, "what round 0 learned from was not recorded"),
    ],
)
def test_the_newest_is_taken_where_nothing_can_be_compared(
    campaign: CampaignFolder, held_out: range, record: bool, says: str
) -> None:
    labels = labelled(*(water(i) for i in held_out))
    for number in range(2):
        trained(campaign.round(number), (Dataset(), labels), seed=number, record=record)
        found = unwrap(choose)(campaign, campaign.round(number), labels)
    assert found.round == 1
    assert found.difference is None
    assert says in found.said
