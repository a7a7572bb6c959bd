"""What a campaign used is cited, and nothing else; the methods paragraph has its numbers."""

import re
import shutil
from typing import get_args

import pytest
from pydantic import TypeAdapter

from exploration.dynamics.scheme import Ensemble
from exploration.strategies import Strategy
from flows.record.folder import CampaignFolder
from flows.record.pretraining_results import GuardSummary, PretrainSummary, TeachSummary
from flows.record.stage_inputs import Settings
from flows.record.stages import MANIFEST, Manifest
from flows.settings.campaign_config import CampaignConfig
from flows.settings.pretraining import GFN2_XTB
from flows.views import references as table
from flows.views.methods import SCHEDULES, SELECTED, citations, methods
from flows.views.pretraining import pretraining_facts
from flows.views.references import entries, of_basis, of_functional, of_level, references
from flows.views.summary import champion_round
from labeling.ase_calculators import CALCULATORS
from labeling.ase_level import AseLevel
from labeling.level import LennardJonesLevel
from labeling.presets import PRESETS
from labeling.solvent import Solvent
from potential.training.training_config import NOT_OF_THE_RESULT, TrainingConfig


def tags(union: object, field: str) -> set[str]:
    return {member.model_fields[field].default for member in get_args(get_args(union)[0])}


def test_every_entry_is_whole_and_cited_somewhere():
    """Every key that a table names is in the bibliography, and no entry is there for nothing."""
    named = set()
    for value in vars(table).values():
        if isinstance(value, str | tuple | dict):
            named |= set(re.findall(r"'([a-z0-9]+)'", repr(value)))
    assert set(entries()) <= named
    for key, entry in entries().items():
        assert entry.count("{") == entry.count("}"), key
        assert re.search(r"title +=", entry), key
        assert re.search(r"(doi|note|year) +=", entry), key
    keys = re.findall(r"^@\w+\{(\S+),$", table.BIBLIOGRAPHY.read_text(), re.MULTILINE)
    assert keys == list(entries())


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_cited_from_the_table(name: str):
    level = PRESETS[name]()
    found = of_level(level)
    assert not found.unknown
    assert not found.others
    assert set(found.keys) <= set(entries())
    assert {"sun2020recent", "lehtola2018recent"} <= set(found.keys)
    assert found.bibtex().count("@") == len(found.keys)


def test_every_strategy_scheme_calculator_and_solvent_is_in_the_table():
    strategies = tags(Strategy, "strategy")
    assert set(table.STRATEGIES) == set(SELECTED) == strategies
    assert set(table.SCHEMES) == tags(Ensemble, "scheme")
    assert set(table.CALCULATORS) == set(CALCULATORS)
    assert set(table.SOLVENTS) == set(get_args(Solvent.model_fields["model"].annotation))
    cited = [*table.STRATEGIES.values(), *table.SCHEMES.values(), *table.CALCULATORS.values()]
    assert {key for keys in [*cited, *table.SOLVENTS.values()] for key in keys} <= set(entries())


@pytest.mark.parametrize(
    ("xc", "dispersion", "keys"),
    [
        ("PBE", None, ["perdew1996generalized"]),
        ("PBE", "d3bj", ["perdew1996generalized", "grimme2010consistent", "grimme2011effect"]),
        ("wB97X-D3BJ", None, ["mardirossian2014wb97xv", "najibi2018nonlocal"]),
    ],
)
def test_a_functional_comes_with_its_dispersion(xc: str, dispersion: str | None, keys: list[str]):
    found = list(of_functional(xc, dispersion).keys)
    assert found[: len(keys)] == keys
    assert ("grimme2011effect" in found) == ("d3bj" in f"{xc}{dispersion}".lower())


def test_what_is_not_in_the_table_is_cited_as_libxc_says_or_named():
    found = of_functional("M06-2X", None)
    assert "Zhao and D. G. Truhlar, Theor. Chem. Acc. 120, 215 (2008)" in found.bibtex()
    assert found.cite() == r"\cite{libxc-m06-2x-1}"
    assert of_basis("pcseg-1").unknown == ("basis set pcseg-1",)


def test_only_what_was_used_is_cited(campaign_config: CampaignConfig):
    mine = set(references(campaign_config, pretrained=None).keys)
    assert {"batzner2022nequip", "arthur2007kmeans", "bannwarth2019gfn2", "weigend2005balanced"} <= mine
    assert not mine & {"holzmueller2023framework", "vanderoord2023hyperactive", "grimme2011effect"}
    displaced = {"frames": 5, "source": {"method": "displacement"}}
    lcmd = TypeAdapter(Strategy).validate_python({"strategy": "lcmd"})
    other = campaign_config.model_copy(update={"level": LennardJonesLevel(), "selection": lcmd})
    other = CampaignConfig.model_validate(
        other.model_dump(mode="json") | {"initial": displaced, "test": displaced}
    )
    assert "batatia2022mace" not in mine
    products = campaign_config.model.model_copy(update={"correlation": 3})
    assert (
        "batatia2022mace"
        in references(campaign_config.model_copy(update={"model": products}), pretrained=None).keys
    )
    theirs = set(references(other, pretrained=None).keys)
    assert "holzmueller2023framework" in theirs
    assert not theirs & {"bannwarth2019gfn2", "sun2020recent", "arthur2007kmeans"}
    assert {"bannwarth2019gfn2", "tblite"} <= set(references(other, pretrained=GFN2_XTB).keys)


def test_every_course_of_the_learning_rate_has_words():
    courses = get_args(TrainingConfig.model_fields["schedule"].annotation)
    assert set(SCHEDULES) == set(courses)
    assert not any("_" in said for said in SCHEDULES.values()), "LaTeX takes it for an index"


def test_the_methods_have_the_numbers_and_cite_only_what_there_is(reported_campaign):
    folder = CampaignFolder.open(reported_campaign)
    results = folder.results()
    said = methods(folder, results)
    assert said.startswith("Interatomic potentials for C2H6O, charge 0, singlet (1 structure) were trained")
    assert "committee of 4 NequIP models" in said
    assert "12 trajectories" in said
    assert "each of 3 rounds" in said
    assert "learned from 39 of 44 labels (1 more could not be computed)" in said
    low, high = results[3].evaluation.intervals["force_mae"]
    assert f"({1000 * low:.3g} to {1000 * high:.3g})" in said
    cited = {key for keys in re.findall(r"\\cite\{([^}]*)\}", said) for key in keys.split(",")}
    assert cited <= set(citations(folder).keys)
    assert "Å" not in said
    assert "Langevin dynamics" in said
    assert "None" not in said
    assert methods(folder, []) == ""
    hot = AseLevel(calculator="tblite.ase.TBLite", parameters={"electronic_temperature": 500.0})
    other = CampaignFolder(folder.path, folder.config.model_copy(update={"level": hot}))
    source = r"\cite{bannwarth2019gfn2,tblite}"
    assert rf"TBLite(electronic\_temperature=500.0) {source}." in methods(other, results)


def test_the_methods_say_how_the_champion_was_trained_not_what_is_set_now(reported_campaign, tmp_path):
    """A fine-tuning has a rate of its own; and settings may have changed since."""
    shutil.copytree(reported_campaign, tmp_path / "campaign")
    folder = CampaignFolder.open(tmp_path / "campaign")
    results = folder.results()
    here = folder.round(champion_round(results).round)
    trained = folder.config.training.model_copy(update={"learning_rate": 0.00321})
    inputs = {"training": Settings(trained, NOT_OF_THE_RESULT).as_json()}
    manifest = Manifest(inputs=inputs, outputs={}, seconds=1.0, finished_at="2026-01-01")
    (here.train / MANIFEST).write_text(manifest.model_dump_json())
    assert "learning rate 0.00321," in methods(folder, results)


@pytest.mark.parametrize("scratch", [0.030, 0.010])
def test_the_methods_say_whether_pretraining_was_kept(reported_campaign, tmp_path, scratch):
    shutil.copytree(reported_campaign, tmp_path / "campaign")
    folder = CampaignFolder.open(tmp_path / "campaign")
    taught = {"n_train": 1900, "n_held_out": 100, "steps": 500, "force_mae": 0.004, "energy_mae": 0.001}
    for place, summary in (
        (folder.teach, TeachSummary(n_frames=2000, n_alike=0, n_walks=16, broken=(), seconds=60.0)),
        (folder.pretrain, PretrainSummary(source="GFN2-xTB", seconds=120.0, **taught)),
        (
            folder.guard,
            GuardSummary(n_train=30, n_held_out=10, pretrained=0.02, scratch=scratch, seconds=30.0),
        ),
    ):
        place.mkdir(parents=True)
        (place / "summary.json").write_text(summary.model_dump_json())
        (place / MANIFEST).write_text("{}")
    said = methods(folder, folder.results())
    weights = "from weights trained on 2000 frames that TBLite(method=GFN2-xTB) "
    assert ("Training began " + weights in said) == (scratch == 0.030)
    assert ("in each round from the pretrained weights" in said) == (scratch == 0.030)
    left_out = "Training began from random weights: on 10 held-out labels they led to 10 meV/"
    assert (left_out in said) == (scratch == 0.010)
    assert pretraining_facts(folder)["compared on 10 labels"].endswith(
        "kept" if scratch == 0.030 else "left out"
    )
