"""Distance to the training's surroundings: zero on it, growing with what is stretched, blind to symmetry."""

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, molecule
from scipy.spatial.transform import Rotation

from potential.calculator import Potential
from potential.calibration.calibration import Calibration
from potential.data.frame import Frame
from potential.known_environments import CENTRES_A, CUTOFF_A, WIDTH_A, KnownEnvironments, growth
from potential.package import save_potential
from tests.support.systems import ethanol, model, rattled

TRAINING = [rattled(molecule("CH3CH2OH"), seed, 0.04) for seed in range(30)]


@pytest.fixture(scope="module")
def known() -> KnownEnvironments:
    return KnownEnvironments.of(TRAINING)


def stretched(factor: float) -> Frame:
    """Ethanol with the O-H bond at `factor` times its length."""
    atoms = molecule("CH3CH2OH")
    atoms.set_distance(2, 3, factor * atoms.get_distance(2, 3), fix=0)
    return Frame.from_atoms(atoms)


def test_training_frames_are_at_no_distance_and_others_like_them_are_known(known: KnownEnvironments):
    assert known.extrapolation(TRAINING[3]).max() < 1e-3  # kept in single precision
    others = [rattled(molecule("CH3CH2OH"), seed, 0.04) for seed in range(100, 120)]
    found = np.concatenate([known.extrapolation(frame) for frame in others])
    assert (found < 1.0).mean() > 0.9
    assert found.max() < 2.0


def test_a_bond_that_is_stretched_or_compressed_is_farther_the_more_it_is(known: KnownEnvironments):
    for factors in ((1.0, 1.2, 1.3, 1.4), (1.0, 0.85, 0.75, 0.65)):
        found = [known.extrapolation(stretched(factor))[[2, 3]].max() for factor in factors]
        assert found == sorted(found)
        assert found[0] < 1.0
        assert found[-1] > 1.5
    far = known.extrapolation(stretched(1.4))
    assert far[0] < far[3]  # the methyl group is as it was


def test_turning_moving_and_exchanging_atoms_changes_nothing(known: KnownEnvironments):
    frame = ethanol(5)
    before = known.extrapolation(frame)
    order = np.random.default_rng(0).permutation(len(frame))
    turned = frame.positions @ Rotation.random(random_state=1).as_matrix().T + [3.0, -1.0, 2.0]
    again = known.extrapolation(Frame.of(frame.numbers[order], turned[order]))
    np.testing.assert_allclose(again, before[order], atol=1e-4)


def test_the_features_are_their_formula():
    pair = Frame.of([18, 18], [[0, 0, 0], [0, 0, 2.5]])
    near = Frame.of([18, 18], [[0, 0, 0], [0, 0, 2.6]])

    def g(distance: float) -> np.ndarray:
        smooth = (1 + np.cos(np.pi * distance / CUTOFF_A)) / 2
        return np.exp(-((distance - CENTRES_A) ** 2) / (2 * WIDTH_A**2)) * smooth

    found = KnownEnvironments.of([pair, near])
    np.testing.assert_allclose(found.features[0], g(2.5), atol=1e-6)
    assert found.scales[0] == pytest.approx(np.linalg.norm(g(2.5) - g(2.6)), rel=1e-5)


def test_images_of_a_crystal_are_neighbours():
    diamond = Frame.from_atoms(bulk("C", "diamond", 3.57))
    cubic = Frame.from_atoms(bulk("C", "diamond", 3.57, cubic=True))
    known = KnownEnvironments.of([diamond, rattled(bulk("C", "diamond", 3.57), 0, 0.05)])
    assert known.extrapolation(cubic).max() < 1e-3


def test_elements_that_the_training_has_not_seen_are_infinitely_far(known: KnownEnvironments):
    frame = Frame.of([6, 9, 6], [[0, 0, 0], [1.4, 0, 0], [20, 0, 0]])
    found = known.extrapolation(frame)
    assert np.isinf(found[:2]).all()  # the fluorine, and the carbon beside it
    assert np.isfinite(found[2])


def test_a_damaged_file_is_told(known: KnownEnvironments, tmp_path: Path):
    known.save(tmp_path)
    file = tmp_path / "environments.safetensors"
    whole = file.read_bytes()
    for damaged in (whole[:100], whole[:-1] + bytes([whole[-1] ^ 1])):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"environments\.safetensors is damaged"):
            KnownEnvironments.load(tmp_path)


def test_no_frames_are_refused():
    with pytest.raises(ValueError, match="got none"):
        KnownEnvironments.of([])


def test_a_potential_tells_what_it_knows_where_it_came_with_it(known: KnownEnvironments, tmp_path: Path):
    save_potential(tmp_path, model([1, 6, 8]), {})
    atoms = stretched(1.4).to_atoms()
    atoms.calc = Potential.load(tmp_path)
    atoms.get_forces()
    assert atoms.calc.results.get("extrapolation") is None
    calibration = Calibration(
        exponent=1.0, scale=0.1, scales={}, floor=0.1, ratios=(1.0, 2.0, 3.0), n_frames=5, n_atoms=45
    )
    calibration.save(tmp_path)
    known.save(tmp_path)
    atoms.calc = Potential.load(tmp_path)
    atoms.get_forces()
    results = atoms.calc.results
    np.testing.assert_allclose(results["extrapolation"], known.extrapolation(stretched(1.4)), rtol=1e-5)
    said = calibration.expected_error(results["force_disagreement"], atoms.get_chemical_symbols())
    np.testing.assert_allclose(results["expected_error"], said * growth(results["extrapolation"]))
    assert growth(np.array([0.2, 1.0, 3.0])).tolist() == [1.0, 1.0, 9.0]
