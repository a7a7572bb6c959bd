from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from pymatgen.core import Lattice, Structure
from pyscf.pbc.dft.numint import KNumInt

from labeling.attempt import attempt
from labeling.failure import LabelFailure, NotConvergedError
from labeling.periodic_labeler import compute, converge, mean_field
from labeling.periodic_level import PeriodicLevel
from labeling.uniform_grid import RestrictedGradients, UnrestrictedGradients
from labeling.workers import LabelingConfig, LabelWorkers
from potential.data.dataset import Label
from potential.data.frame import Frame
from potential.data.structure_files import frame_of, read_frames
from potential.data.units import HARTREE_EV, HARTREE_PER_BOHR_EV_PER_ANGSTROM

# Far too few plane waves for production, which shows in the net force, not in the derivatives.
COARSE = PeriodicLevel(
    basis="gth-szv", k_mesh=(2, 1, 1), ke_cutoff_hartree=40, precision=1e-7, conv_tol_hartree=1e-10
)


def crystal(name: str = "C", *, spin: int = 0) -> Frame:
    atoms = bulk("C") if name == "C" else bulk("LiH", "rocksalt", a=4.0)
    atoms.rattle(0.02, seed=1)
    return Frame.from_atoms(atoms, spin=spin)


def with_(**settings: Any) -> PeriodicLevel:
    return PeriodicLevel(**{**COARSE.model_dump(), **settings})


def strained(frame: Frame, i: int, j: int, amount: float) -> Frame:
    strain = np.eye(3)
    strain[i, j] += amount / 2
    strain[j, i] += amount / 2
    return frame.moved(frame.positions @ strain, cell=frame.cell @ strain)


def energy(frame: Frame, level: PeriodicLevel, mesh: list[int]) -> float:
    scf, _, _ = converge(frame, level)
    assert list(scf.cell.mesh) == mesh  # another number of plane waves would be another function
    return float(scf.e_free if level.smearing else scf.e_tot) * HARTREE_EV


@pytest.mark.physics
@pytest.mark.parametrize(
    ("frame", "level"),
    [
        pytest.param(crystal("LiH"), with_(k_mesh=(1, 1, 1)), marks=pytest.mark.slow),
        pytest.param(crystal(), with_(k_mesh=(2, 2, 1)), marks=pytest.mark.slow),  # as in test_contract.py
        (crystal(), with_(xc="lda,pw", smearing="fermi", smearing_width_eV=1.0, k_mesh=(1, 1, 1))),
        pytest.param(crystal(), with_(smearing="gauss", smearing_width_eV=2.0), marks=pytest.mark.slow),
        pytest.param(crystal(spin=2), with_(smearing="fermi", smearing_width_eV=2.0), marks=pytest.mark.slow),
    ],
    ids=["LiH", "diamond", "LDA, Fermi smearing, Gamma", "Gauss smearing", "triplet KUKS, Fermi smearing"],
)
def test_forces_and_stress_are_the_derivatives_of_the_energy(frame: Frame, level: PeriodicLevel) -> None:
    label = compute(frame, level)
    mesh, step = label.provenance["fft_mesh"], 1e-3
    assert label.energy == pytest.approx(energy(frame, level, mesh), abs=1e-6)

    shift = np.zeros(frame.positions.shape)
    shift[1, 2] = step
    pair = [energy(frame.moved(frame.positions + sign * shift), level, mesh) for sign in (1, -1)]
    assert label.forces[1, 2] == pytest.approx(-(pair[0] - pair[1]) / (2 * step), abs=5e-4)

    assert label.stress is not None
    assert np.array_equal(label.stress, label.stress.T)
    volume = abs(np.linalg.det(frame.cell))
    pair = [energy(strained(frame, 0, 1, sign * step), level, mesh) for sign in (1, -1)]
    assert label.stress[0, 1] == pytest.approx((pair[0] - pair[1]) / (2 * step) / volume, abs=2e-5)
    pair = [energy(strained(frame, 2, 2, sign * step), level, mesh) for sign in (1, -1)]
    assert label.stress[2, 2] == pytest.approx((pair[0] - pair[1]) / (2 * step) / volume, abs=2e-5)


@pytest.mark.parametrize("spin", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_kept_orbitals_and_fft_forces_give_pyscfs_own_numbers(spin: int) -> None:
    frame, level = crystal(spin=spin), with_(ke_cutoff_hartree=20.0)
    ours, theirs = mean_field(frame, level), mean_field(frame, level)
    theirs._numint, theirs.with_df._numint = KNumInt(), KNumInt()
    assert ours.kernel() == pytest.approx(theirs.kernel(), abs=1e-8)
    fast = (UnrestrictedGradients if spin else RestrictedGradients)(ours)
    slow = theirs.nuc_grad_method()
    fast.verbose = slow.verbose = 0
    assert np.abs(fast.kernel() - slow.kernel()).max() < 1e-6


def test_orbitals_that_do_not_fit_into_memory_are_not_kept() -> None:
    roomy, tight = (mean_field(crystal(), with_(ke_cutoff_hartree=20.0)) for _ in range(2))
    tight.cell.max_memory = 0.1
    assert tight.kernel() == pytest.approx(roomy.kernel(), abs=1e-8)
    assert roomy._numint._kept
    assert not tight._numint._kept


def test_more_plane_waves_make_the_net_force_vanish_and_too_few_are_no_label() -> None:
    rejected = attempt(crystal(), with_(ke_cutoff_hartree=25.0))
    assert isinstance(rejected, LabelFailure)
    assert rejected.kind == "rejected_by_check"
    assert "net_force" in rejected.message
    assert "ke_cutoff_hartree" in rejected.advice
    fine, _, _ = converge(crystal(), with_(ke_cutoff_hartree=160.0, k_mesh=(1, 1, 1)))
    net_force = RestrictedGradients(fine).kernel().sum(axis=0) * HARTREE_PER_BOHR_EV_PER_ANGSTROM
    assert np.linalg.norm(net_force) < 5e-3


@pytest.mark.slow
def test_a_supercell_at_gamma_is_the_primitive_cell_with_k_points() -> None:
    """Folding: the k-mesh 2x1x1 of a cell is the Gamma point of the cell doubled along a."""
    frame = crystal()
    one = compute(frame, COARSE)
    two = compute(Frame.from_atoms(frame.to_atoms() * (2, 1, 1)), with_(k_mesh=(1, 1, 1)))
    assert one.provenance["fft_mesh"][1:] == two.provenance["fft_mesh"][1:]
    assert two.energy / 2 == pytest.approx(one.energy, abs=0.02)  # not the same plane waves along a
    assert np.abs(two.forces - np.tile(one.forces, (2, 1))).max() < 0.15
    assert one.stress is not None
    assert two.stress is not None
    assert np.abs(two.stress - one.stress).max() < 0.005


def test_provenance_tells_how_the_label_was_made() -> None:
    label = compute(crystal(), COARSE)
    assert label.provenance["scf_rung"] == "diis"
    assert label.provenance["gap_eV"] > 0.5
    assert label.provenance["level"]["k_mesh"] == [2, 1, 1]
    parts = ("scf_seconds", "gradient_seconds", "stress_seconds")
    assert label.provenance["seconds"] == pytest.approx(sum(label.provenance[part] for part in parts))
    triplet = compute(crystal(spin=2), COARSE)
    assert triplet.provenance["spin_square"] == pytest.approx(2, abs=0.05)
    assert triplet.energy > label.energy + 1


def test_an_unconverged_scf_is_never_a_label() -> None:
    level = with_(smearing="fermi", max_scf_cycles=1, ke_cutoff_hartree=20.0)
    with pytest.raises(NotConvergedError, match=r"diis \(1 cycles\), damping \(1 cycles\)"):
        compute(crystal(), level)
    failure = attempt(crystal(), level)
    assert isinstance(failure, LabelFailure)
    assert failure.kind == "not_converged"


def test_the_ladder_climbs_to_the_same_solution() -> None:
    easy, first_rung, _ = converge(crystal(), with_(ke_cutoff_hartree=20.0))
    assert first_rung == "diis"
    for cycles_each in (4, 2):
        level = with_(ke_cutoff_hartree=20.0, max_scf_cycles=cycles_each)
        scf, rung, cycles = converge(crystal(), level)
        assert rung in ("level_shift", "second_order")
        assert cycles["diis"] == cycles_each
        assert scf.e_tot == pytest.approx(easy.e_tot, abs=1e-7)
    other_start, _, _ = converge(crystal(), with_(ke_cutoff_hartree=20.0), second_guess=True)
    assert other_start.e_tot == pytest.approx(easy.e_tot, abs=1e-7)


def test_a_crystal_from_pymatgen_or_a_file_is_labelled_by_the_workers(tmp_path: Path) -> None:
    lattice = Lattice.from_parameters(2.52, 2.52, 2.52, 60, 60, 60)
    structure = Structure(lattice, ["C", "C"], [[0.01, 0, 0], [0.25] * 3])
    structure.to(filename=str(tmp_path / "diamond.cif"), fmt="cif")
    structure.to(filename=str(tmp_path / "POSCAR"), fmt="poscar")
    frames = [
        frame_of(structure),
        *read_frames(tmp_path / "diamond.cif"),
        *read_frames(tmp_path / "POSCAR"),
    ]
    assert [frame.pbc for frame in frames] == [(True, True, True)] * 3
    level = with_(xc="lda,pw", ke_cutoff_hartree=140.0, k_mesh=(1, 1, 1))
    for frame in frames:
        level.check(frame)
    with LabelWorkers(LabelingConfig(workers=1)) as workers:
        label = workers.label(frames[2], level)
    assert isinstance(label, Label), label.message
    assert label.stress is not None
    energies = [converge(frame, with_(k_mesh=(1, 1, 1)))[0].e_tot for frame in frames]
    assert np.ptp(energies) < 1e-4  # the cells are turned in space, and with them the plane waves
