"""The configuration: everything that is wrong is said at once, with line, key and what to write instead."""

import json
from pathlib import Path

import pytest
import yaml

from exploration.strategies import Strategy
from exploration.strategies.diverse import Diverse
from exploration.strategies.kmeans_pp import WeightedKMeans
from exploration.strategies.random_draw import RandomDraw
from flows.errors import ConfigError
from flows.settings.campaign_config import CampaignConfig, campaign_schema
from flows.settings.template import commented_yaml
from flows.settings.yaml_file import load_config
from labeling.level import PySCFLevel

EXAMPLES = Path(__file__).parents[2] / "examples"
VALID = """\
name: water
structure: {molecule: H2O}
initial: {source: {method: displacement}}
test: {source: {method: displacement}}
level: {labeler: lennard_jones}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "campaign.yaml"
    path.write_text(text)
    return path


def problems(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load_config(written(folder, text))
    return caught.value.problems


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("round: 3\n", "line 6: round: unknown key 'round'; did you mean 'rounds'?"),
        ("model: {l_maxx: 2}\n", "line 6: model.l_maxx: unknown key 'l_maxx'; did you mean 'l_max'?"),
        (
            "model:\n  r_max: -1\n",
            "line 7: model.r_max: input should be greater than or equal to 0.8, got -1",
        ),
        (
            "training: {schedule: cosin}\n",
            "line 6: training.schedule: unknown value 'cosin'; did you mean 'cosine'?",
        ),
        (
            "exploration: {temperatures_K: 300}\n",
            "line 6: exploration.temperatures_K: a list is expected; write [300]",
        ),
        ("rounds: ten\n", "line 6: rounds: a whole number is expected, got 'ten'"),
        ("model: {r_max: 5 A}\n", "line 6: model.r_max: a number is expected, got '5 A'"),
        ("rounds: 1\nrounds: 2\n", "line 7: rounds: given twice"),
        (
            "selection: {frames_per_rund: 4}\n",
            "line 6: selection.frames_per_rund: unknown key 'frames_per_rund'; did you mean "
            "'frames_per_round'?",
        ),
        (
            "selection:\n  strategy: random\n  fill_with_accurate: true\n",
            "line 8: selection.fill_with_accurate: unknown key 'fill_with_accurate'; valid: strategy, "
            "frames_per_round, duplicate_tolerance_A, max_considered",
        ),
        (
            "selection: {strategy: randm}\n",
            "line 6: selection: unknown value 'randm'; did you mean 'random'?",
        ),
        (
            "selection:\n  frames_per_round: 0\n",
            "line 7: selection.frames_per_round: input should be greater than or equal to 1, got 0",
        ),
    ],
)
def test_each_problem_has_its_line_and_the_nearest_name(tmp_path: Path, extra: str, expected: str):
    assert problems(tmp_path, VALID + extra) == (expected,)


def test_keys_inside_a_union_are_those_of_the_chosen_kind(tmp_path: Path):
    text = VALID.replace(
        "initial: {source: {method: displacement}}", "initial: {source: {method: displacement, std: 1}}"
    )
    (problem,) = problems(tmp_path, text)
    assert problem == "line 3: initial.source.std: unknown key 'std'; did you mean 'std_A'?"
    (problem,) = problems(tmp_path, VALID.replace("displacement}}\ntest", "xtb}}\ntest"))
    assert problem == "line 3: initial.source: unknown value 'xtb'; did you mean 'xtb_md'?"
    (problem,) = problems(tmp_path, VALID.replace("lennard_jones", "pyscf, xc: wb97x-d3"))
    assert problem.startswith("line 5: level")
    assert "wb97x-d3bj" in problem


def test_all_problems_at_once_in_the_order_of_the_file(tmp_path: Path):
    found = problems(tmp_path, VALID.replace("name: water", "nam: water") + "sed: 1\nrounds: -1\n")
    assert [problem.split(": ")[0] for problem in found] == ["line 1", "line 1", "line 6", "line 7"]
    assert "name: missing" in found[0] + found[1]
    assert "'nam'; did you mean 'name'?" in found[0] + found[1]


def test_a_structure_is_given_once(tmp_path: Path):
    (problem,) = problems(tmp_path, VALID.replace("{molecule: H2O}", "{molecule: H2O, files: a.xyz}"))
    assert "and not both" in problem


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [1\n"])
def test_what_is_no_mapping(tmp_path: Path, text: str):
    assert len(problems(tmp_path, text)) == 1


def test_a_missing_file_names_its_neighbour(tmp_path: Path):
    written(tmp_path, VALID)
    with pytest.raises(ConfigError, match=r"no such file; there is campaign\.yaml"):
        load_config(tmp_path / "campain.yaml")


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir("/")
    text = VALID.replace("{molecule: H2O}", "{files: [a.xyz, /data/b.xyz]}")
    text = text.replace(
        "test: {source: {method: displacement}}", "test: {source: {method: file, path: c.xyz}}"
    )
    config = load_config(written(tmp_path, text))
    assert config.structure.files == (tmp_path / "a.xyz", Path("/data/b.xyz"))
    assert config.test.source.path == tmp_path / "c.xyz"
    assert config.folder == tmp_path / "campaigns"


def test_commented_yaml_reads_back_to_the_same(tmp_path: Path):
    config = load_config(written(tmp_path, VALID)).model_copy(
        update={"level": PySCFLevel(xc="B3LYP", dispersion="d4", conv_tol_hartree=2e-10), "seed": 7}
    )
    text = commented_yaml(config)
    assert load_config(written(tmp_path, text)) == config
    for comment in (
        "cutoff radius, Angstrom",
        "cosine or until_flat or plateau or constant",
        "frozen test set",
        "uncertain_and_diverse or uncertain or lcmd or kmeans_pp or point_of_failure or diverse or random",
    ):
        assert comment in text


@pytest.mark.parametrize("selection", [Diverse(frames_per_round=3), RandomDraw(max_considered=50)])
def test_any_strategy_is_written_and_read_back(tmp_path: Path, selection: Strategy):
    config = load_config(written(tmp_path, VALID)).model_copy(update={"selection": selection})
    assert load_config(written(tmp_path, commented_yaml(config))) == config


def test_a_selection_without_a_strategy_is_the_default_one(tmp_path: Path):
    text = VALID + "selection: {frames_per_round: 4, fill_with_accurate: false}\n"
    expected = WeightedKMeans(frames_per_round=4, fill_with_accurate=False)
    assert load_config(written(tmp_path, text)).selection == expected


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_examples_are_valid_and_can_be_labelled(example: Path):
    config = load_config(example)
    for frame in config.structure.frames():
        config.level.check(frame)


def test_the_schema_is_json_and_names_every_key():
    schema = json.loads(json.dumps(campaign_schema()))
    assert set(schema["properties"]) == set(CampaignConfig.model_fields)
    assert schema["additionalProperties"] is False
    assert yaml.safe_load(VALID).keys() >= set(schema["required"])
    # a selection without its strategy fits several of them, which `oneOf` would refuse
    selection = schema["properties"]["selection"]
    assert [model["$ref"].rpartition("/")[2] for model in selection["anyOf"]] == [
        "UncertainAndDiverse",
        "Uncertain",
        "LargestCluster",
        "WeightedKMeans",
        "PointOfFailure",
        "Diverse",
        "RandomDraw",
    ]
    assert "oneOf" not in selection
