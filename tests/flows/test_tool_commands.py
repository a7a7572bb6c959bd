"""The commands on files, on real ones: train, evaluate, md, freq, optimize, scan, label."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from flows.cli.app import run_command
from labeling.lennard_jones import compute
from labeling.level import LennardJonesLevel
from potential.data.dataset import LabelledFrame
from potential.data.frame import Frame
from potential.data.role import Role, tagged
from potential.data.structure_files import read_dataset, read_frames, write_frames
from potential.roles import Roles


def test_train_evaluate_and_md_on_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rng, level = np.random.default_rng(0), LennardJonesLevel()
    trimer = np.array([[0.0, 0.0, 0.0], [3.8, 0.0, 0.0], [1.9, 3.3, 0.0]])
    frames = [Frame.of([18] * 3, trimer + rng.normal(0, 0.1, (3, 3))) for _ in range(8)]
    data, potential = tmp_path / "data.extxyz", tmp_path / "potential"
    write_frames(data, [LabelledFrame(frame=frame, label=compute(frame, level)) for frame in frames])
    train = ["train", str(data), "--output", str(potential), "--committee-size", "2", "--max-epochs", "10"]
    assert run_command(train) == 0
    assert run_command(["evaluate", str(potential), str(data), "--output", str(tmp_path / "tables")]) == 0
    said = capsys.readouterr().out
    assert "force MAE  " in said
    assert "warning: of these 8 frames it was trained on 7 and chose its best epoch on 1; they are no" in said
    (potential / "frames.csv").unlink()  # as older versions left it
    assert run_command(["evaluate", str(potential), str(data)]) == 0
    assert "does not say what it learned from" in capsys.readouterr().out
    assert len((tmp_path / "tables" / "atoms.csv").read_text().splitlines()) == 1 + 8 * 3
    output = tmp_path / "md.extxyz"
    start = ["md", str(potential), str(data), "--output", str(output)]
    assert run_command([*start, "--steps", "20", "--every", "10", "--temperature-K", "30"]) == 0
    assert "max disagreement" in capsys.readouterr().out
    from potential.data.structure_files import read_frames

    assert [frame.origin["time_fs"] for frame in read_frames(output, check=False)] == [0.0, 5.0, 10.0]


def test_frames_of_a_frozen_test_are_not_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rng, level = np.random.default_rng(0), LennardJonesLevel()
    frames = [Frame.of([18, 18], [[0, 0, 0], [0, 0, 3.8 + 0.1 * rng.normal()]]) for _ in range(6)]
    items = [LabelledFrame(frame=frame, label=compute(frame, level)) for frame in frames]
    roles: dict[Role, list[Frame]] = {"train": frames[:3], "held_out": frames[3:4], "test": frames[4:]}
    by_id: dict[str, Role] = {frame.id: role for role, mine in roles.items() for frame in mine}
    data, potential = tmp_path / "data.extxyz", tmp_path / "potential"
    write_frames(data, tagged(items, by_id))
    train = ["train", str(data), "--output", str(potential), "--committee-size", "2", "--max-epochs", "1"]
    assert run_command(train) == 0
    assert "2 of them are of a frozen test (role) and are not trained on" in capsys.readouterr().out
    assert Roles.load(potential).of == by_id
    assert run_command(["evaluate", str(potential), str(data)]) == 0
    said = capsys.readouterr().out
    assert "of these 6 frames it was trained on 3 and chose its best epoch on 1" in said
    assert "the 2 frames that it has not seen" in said
    write_frames(data, tagged(items[4:], by_id))
    assert run_command(["evaluate", str(potential), str(data)]) == 0
    assert "warning" not in capsys.readouterr().out


def save_argon(folder: Path, *, members: int) -> Path:
    """An untrained potential of argon, and a dimer to start from."""
    from potential.nequip.model import NequIP
    from potential.nequip.model_config import ModelConfig
    from potential.package import save_potential

    config = ModelConfig(num_layers=1, l_max=0, num_features=2, committee_size=members)
    save_potential(folder, NequIP(config, [18], seed=0, avg_num_neighbors=2.0), {})
    write_frames(folder / "dimer.extxyz", [Frame.of([18, 18], [[0, 0, 0], [0, 0, 3.8]])])
    return folder


def test_freq_optimize_and_scan_on_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Untrained and dimerless: a force so large is allowed that the structure counts as relaxed."""
    monkeypatch.chdir(tmp_path)
    potential = str(save_argon(tmp_path / "potential", members=2))
    dimer = str(tmp_path / "potential" / "dimer.extxyz")
    assert run_command(["optimize", potential, dimer, "--max-force", "10"]) == 0
    assert "Ar2: " in (said := capsys.readouterr().out)
    assert "sample standard deviation" in said
    assert len(read_frames("optimized.extxyz")) == 1
    assert run_command(["freq", potential, dimer, "--max-force", "10"]) == 0
    assert "Ar2, 1 modes" in capsys.readouterr().out
    assert len(Path("frequencies.csv").read_text().splitlines()) == 2
    bond = ["scan", potential, dimer, "--atoms", "0", "1", "--from", "3.5", "--to", "4.5", "--points", "3"]
    assert run_command(bond) == 0
    assert "distance Ar0-Ar1 of Ar2, rigid" in capsys.readouterr().out
    assert [frame.origin["distance"] for frame in read_frames("scan.extxyz")] == [3.5, 4.0, 4.5]
    assert len(Path("scan.csv").read_text().splitlines()) == 4
    assert run_command([*bond[:4], "9", *bond[5:]]) == 2
    assert "counted from 0 to 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("temperature-K", "-1"),
        ("temperature-K", "nan"),
        ("every", "0"),
        ("steps", "-5"),
        ("timestep-fs", "0"),
        ("timestep-fs", "1e9"),
        ("friction-per-fs", "-0.1"),
        ("seed", "-1"),
    ],
)
def test_md_refuses_impossible_settings(
    option: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    potential, output = save_argon(tmp_path / "potential", members=2), tmp_path / "md.extxyz"
    start = ["md", str(potential), str(potential / "dimer.extxyz"), "--output", str(output)]
    assert run_command([*start, f"--{option}={value}"]) == 2
    said = capsys.readouterr().err
    assert option.replace("-", "_") in said
    assert "Traceback" not in said
    assert not output.exists()


def test_md_says_where_it_leaves_the_training_and_stops_there_if_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from potential.known_environments import KnownEnvironments

    monkeypatch.chdir(tmp_path)
    potential = save_argon(tmp_path / "potential", members=2)
    command = ["md", str(potential), str(potential / "dimer.extxyz"), "--steps", "4", "--every", "1"]
    assert run_command([*command, "--stop-at", "2"]) == 2
    assert "came without its training's environments" in capsys.readouterr().err
    learned = [Frame.of([18, 18], [[0, 0, 0], [0, 0, 2.5 + 0.01 * i]]) for i in range(5)]
    KnownEnvironments.of(learned).save(potential)
    assert run_command(command) == 0
    said = capsys.readouterr()
    assert said.err.count("warning: outside of training: the surroundings of Ar") == 1
    assert len(read_frames("md.extxyz", check=False)) == 5
    assert run_command([*command, "--stop-at", "2"]) == 1
    assert "stopped at 0 fs: the surroundings of Ar" in capsys.readouterr().err
    assert len(read_frames("md.extxyz", check=False)) == 1
    bond = ["scan", *command[1:3], "--atoms", "0", "1", "--from", "2.51", "--to", "3.5", "--points", "3"]
    assert run_command(bond) == 0
    assert "* 2 of 3 points are outside of training" in capsys.readouterr().out


def test_md_with_one_member_prints_no_disagreement(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    potential = save_argon(tmp_path / "potential", members=1)
    start = ["md", str(potential), str(potential / "dimer.extxyz"), "--output", str(tmp_path / "md.extxyz")]
    assert run_command([*start, "--steps", "2", "--every", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "one member" in lines[0]
    assert [line.split()[3] for line in lines[2:5]] == ["none"] * 3


def test_evaluate_refuses_unknown_elements(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from potential.nequip.model import NequIP
    from potential.nequip.model_config import ModelConfig
    from potential.package import save_potential

    model = NequIP(ModelConfig(num_layers=1, l_max=0, num_features=2), [1, 8], seed=0, avg_num_neighbors=2.0)
    save_potential(tmp_path / "potential", model, {})
    frame = Frame.from_atoms(Atoms("Ar2", [[0, 0, 0], [0, 0, 3.8]]))
    data = tmp_path / "argon.extxyz"
    write_frames(data, [LabelledFrame(frame=frame, label=compute(frame, LennardJonesLevel()))])
    assert run_command(["evaluate", str(tmp_path / "potential"), str(data)]) == 2
    assert "never seen: Ar; it knows H, O" in " ".join(capsys.readouterr().err.split())
    assert run_command(["md", str(tmp_path / "potential"), str(data)]) == 2
    assert "never seen: Ar" in " ".join(capsys.readouterr().err.split())


def test_label_a_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    write_frames("h2.xyz", [Frame.of([1, 1], [[0, 0, 0], [0, 0, 0.74 + 0.02 * i]]) for i in range(2)])
    command = ["label", "h2.xyz", "--xc", "PBE", "--basis", "sto-3g", "--workers", "1"]
    assert run_command(command) == 0
    dataset = read_dataset("labelled.extxyz", level_key="any")
    assert len(dataset) == 2
    assert dataset.labels[0].energy == pytest.approx(-30.5, abs=1.0)
    assert run_command(command) == 0
    assert "2 labelled before" in capsys.readouterr().out


def test_label_writes_one_structure_for_each_of_the_file_with_its_own_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    distances = [3.6, 3.7, 3.8, 3.7]
    head = "Properties=species:S:1:pos:R:3 my_id=cfg-{} config_type=dimer"
    rows = "Ar 0 0 0\nAr 0 0 {}\n"
    text = "".join(f"2\n{head.format(i)}\n{rows.format(d)}" for i, d in enumerate(distances))
    Path("ar2.extxyz").write_text(text)
    Path("level.yaml").write_text("labeler: lennard_jones\n")
    assert run_command(["label", "ar2.extxyz", "--workers", "1", "--level", "level.yaml"]) == 0
    assert "4 frames at" in (said := capsys.readouterr().out)
    assert "3 of them different, 0 labelled before" in said
    frames = read_frames("labelled.extxyz")
    assert [frame.info["my_id"] for frame in frames] == [f"cfg-{i}" for i in range(4)]
    assert {frame.info["config_type"] for frame in frames} == {"dimer"}
    assert [frame.positions[1, 2] for frame in frames] == distances


def test_train_reads_the_files_own_names_and_tells_what_it_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    cell = 'Lattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3:REF_forces:R:3'
    rows = "O 0 0 0 0 0 .1\nH {} 0 0 0 0 -.05\nH -.24 .93 0 0 0 -.05\n"
    text = "".join(
        f'3\n{cell} REF_energy=-{i} REF_virial="1 0 0 0 1 0 0 0 1"\n{rows.format(0.95 + 0.01 * i)}'
        for i in range(3)
    )
    Path("ref.extxyz").write_text(text)
    model = "{num_layers: 1, l_max: 0, num_features: 2, committee_size: 2, r_max: 3.0}"
    source = "{frames: 1, source: {method: displacement}}"
    Path("tiny.yaml").write_text(
        "name: tiny\nstructure: {molecule: H2O}\nlevel: {labeler: lennard_jones}\n"
        f"initial: {source}\ntest: {source}\nmodel: {model}\n"
        "training: {max_epochs: 1, stress_weight: 100, validation_fraction: 0}\n"
    )
    command = ["train", "ref.extxyz", "--campaign", "tiny.yaml"]
    assert run_command(command) == 2
    assert "--energy REF_energy --forces REF_forces" in capsys.readouterr().err
    assert run_command([*command, "--energy", "REF_energy", "--forces", "REF_forces"]) == 0
    said = capsys.readouterr()
    assert "note: ref.extxyz: read the stress from REF_virial" in said.err
    assert "3 labelled frames" in said.out
    Path("ref.extxyz").write_text(text.replace("REF_virial", "other"))
    assert run_command([*command, "--energy", "REF_energy", "--forces", "REF_forces", "--output", "new"]) == 2
    assert "stress_weight is 100, but no label has a stress" in capsys.readouterr().err


def test_label_at_any_level_of_a_yaml_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    frame = Frame.of([18, 18], [[0, 0, 0], [0, 0, 3.8]])
    write_frames("ar2.xyz", [frame])
    Path("bare.yaml").write_text("labeler: lennard_jones\nepsilon_eV: 0.02\n")
    Path("inside.yaml").write_text("name: x\nlevel:\n  labeler: lennard_jones\n  epsilon_eV: 0.02\n")
    command = ["label", "ar2.xyz", "--workers", "1", "--level"]
    assert run_command([*command, "bare.yaml"]) == 0
    expected = compute(frame, LennardJonesLevel(epsilon_eV=0.02))
    assert read_dataset("labelled.extxyz", level_key="any").labels[0].energy == expected.energy
    assert run_command([*command, "inside.yaml"]) == 0
    assert "1 labelled before" in capsys.readouterr().out
    Path("wrong.yaml").write_text("labeler: lennard_jones\nepsilon: 0.02\n")
    assert run_command([*command, "wrong.yaml"]) == 2
    assert "line 2: epsilon: unknown key 'epsilon'; did you mean 'epsilon_eV'?" in capsys.readouterr().err
