"""A potential on disk, its card, and the ASE calculator."""

from __future__ import annotations

import json
import os
import stat

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

from potential.calculator import Potential
from potential.evaluator import Evaluator
from potential.known_environments import KnownEnvironments
from potential.package import load_card, load_potential, save_potential
from tests.support.systems import batch, crystal, ethanol, model, predict

CARD = {"name": "sic", "level_of_theory": "PBE/def2-SVP", "errors": {"force_mae_eV_per_A": 0.04}}


def test_a_saved_potential_predicts_the_same(tmp_path):
    network = model([6, 14])
    save_potential(tmp_path / "p", network, CARD)
    again = load_potential(tmp_path / "p")
    structures = batch(crystal())
    a, b = predict(network, structures), predict(again, structures)
    assert torch.equal(a.energy, b.energy)
    assert torch.equal(a.forces, b.forces)
    assert load_card(tmp_path / "p") == CARD
    text = (tmp_path / "p" / "MODEL_CARD.md").read_text()
    assert "PBE/def2-SVP" in text
    assert "0.04" in text


def test_weights_of_which_a_bit_was_altered_are_refused(tmp_path):
    save_potential(tmp_path, model([6, 14]), CARD)
    content = bytearray((tmp_path / "weights.safetensors").read_bytes())
    content[-3] ^= 1
    (tmp_path / "weights.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"is not the one that was saved with config\.json"):
        load_potential(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["weights_sha256"], config["digest"]  # as older versions wrote it
    (tmp_path / "config.json").write_text(json.dumps(config))
    load_potential(tmp_path)


def test_its_files_may_be_read_by_whom_the_umask_lets(tmp_path):
    before = os.umask(0o027)
    try:
        save_potential(tmp_path, model([6, 14]), CARD)
        KnownEnvironments.of([crystal()]).save(tmp_path)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o640}


def test_a_folder_that_is_no_potential_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no config\.json and no weights\.safetensors"):
        load_potential(tmp_path)


def test_calculator_gives_the_committee_mean_with_consistent_derivatives(tmp_path):
    save_potential(tmp_path, model([6, 14]), CARD)
    atoms = crystal().to_atoms()
    atoms.calc = Potential.load(tmp_path)
    forces, stress = atoms.get_forces(), atoms.get_stress()
    prediction = predict(model([6, 14]), batch(crystal()))
    assert atoms.get_potential_energy() == pytest.approx(float(prediction.mean_energy[0]), abs=1e-9)
    np.testing.assert_allclose(atoms.calc.results["force_disagreement"], prediction.force_disagreement)
    np.testing.assert_allclose(forces, calculate_numerical_forces(atoms, eps=1e-4), atol=1e-6)
    np.testing.assert_allclose(stress, calculate_numerical_stress(atoms, eps=1e-5), atol=1e-6)


def test_calculator_of_a_molecule_has_no_stress(tmp_path):
    atoms = ethanol().to_atoms()
    atoms.calc = Potential(model([1, 6, 8]))
    atoms.get_forces()
    assert "stress" not in atoms.calc.results


def test_calculator_follows_changes_of_the_cell():
    atoms = bulk("SiC", "zincblende", a=4.36, cubic=True)
    atoms.calc = Potential(model([6, 14]))
    before = atoms.get_potential_energy()
    atoms.set_cell(atoms.cell.array * 1.02, scale_atoms=True)
    fresh = atoms.copy()
    fresh.calc = Potential(model([6, 14]))
    assert atoms.get_potential_energy() == pytest.approx(fresh.get_potential_energy(), abs=1e-10)
    assert abs(atoms.get_potential_energy() - before) > 1e-3


def test_descriptors_are_invariant_and_tell_frames_apart():
    evaluator = Evaluator(model([1, 6, 8]))
    frame = ethanol(0)
    turned = frame.moved(frame.positions @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1.0]]) + 1.0)
    d = evaluator.descriptors([frame, turned, ethanol(1)], batch_size=2)
    np.testing.assert_allclose(d[0], d[1], atol=1e-6)
    assert np.linalg.norm(d[0] - d[2]) > 1e-3
    assert evaluator.descriptors([]).shape == (0, d.shape[1])
