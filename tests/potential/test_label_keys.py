"""Labels under the names that files give them; stress from virials."""

import numpy as np
import pytest

from potential.data.notes import StructureWarning
from potential.data.stress import full_stress, stress_of_virial, voigt_stress
from potential.data.structure_files import read_dataset, read_frames, write_frames

VOLUME = 5.0 * 4.0 * 8.0
MATRIX = np.array([[1.0, 0.3, 0.2], [0.3, 2.0, 0.1], [0.2, 0.1, 3.0]])
NINE, SIX = "1 0.3 0.2 0.3 2 0.1 0.2 0.1 3", "1 2 3 0.1 0.2 0.3"


def crystal(extra: str, *, energy: str = "energy=-1", forces: str = "forces", lattice: bool = True) -> str:
    cell = 'Lattice="5 0 0 0 4 0 0 0 8" ' if lattice else ""
    head = f"{cell}Properties=species:S:1:pos:R:3:{forces}:R:3 {energy} {extra}"
    return f"2\n{head}\nHe 0 0 0 0.1 0 0\nHe 0 0 3 -0.1 0 0\n"


def read(tmp_path, *texts, **names):
    (tmp_path / "f.xyz").write_text("".join(texts))
    return read_dataset(tmp_path / "f.xyz", "x", **names)


@pytest.mark.parametrize("name", ["virial", "Virial", "VIRIAL", "virials", "Virials"])
@pytest.mark.parametrize("components", [NINE, SIX])
def test_a_virial_is_minus_stress_times_volume(tmp_path, name, components):
    with pytest.warns(StructureWarning, match=rf"read the stress from {name} \(\d components"):
        data = read(tmp_path, crystal(f'{name}="{components}"'))
    np.testing.assert_allclose(data.labels[0].stress, -MATRIX / VOLUME, rtol=1e-12)


@pytest.mark.parametrize("name", ["stress", "Stress", "STRESS"])
@pytest.mark.parametrize("components", [NINE, SIX])
def test_a_stress_is_itself(tmp_path, name, components):
    data = read(tmp_path, crystal(f'{name}="{components}"'))
    np.testing.assert_allclose(data.labels[0].stress, MATRIX, rtol=1e-12)


def test_stress_and_virial_must_agree(tmp_path):
    agreeing = " ".join(f"{-x * VOLUME:.8f}" for x in MATRIX.ravel())
    data = read(tmp_path, crystal(f'stress="{NINE}" virial="{agreeing}"'))
    np.testing.assert_allclose(data.labels[0].stress, MATRIX)
    wrong_sign = crystal(f'virial="{agreeing}" stress="{" ".join(str(-x) for x in MATRIX.ravel())}"')
    with pytest.raises(ValueError, match=r"stress and virial .* disagree: \[-1 .*\] and \[1 "):
        read(tmp_path, wrong_sign)
    chosen = read(tmp_path, wrong_sign, stress="stress")
    np.testing.assert_allclose(chosen.labels[0].stress, -MATRIX)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ('stress="inf inf inf inf inf inf inf inf inf"', "stress is not finite"),
        ('virial="nan 0 0 0 0 0"', "virial is not finite"),
        ('Virial="1 2 3"', "Virial has 3 components, expected 6"),
        ('stress="1 2 3"', "stress"),
        ('virial="1 5 0 0 1 0 0 0 1"', "virial is not symmetric"),
        ('units="Hartree, Bohr"', "units says 'Hartree, Bohr'"),
        ("stress_unit=GPa", "stress_unit says 'GPa'"),
        ("energy_units=Ha", "energy_units says 'Ha'"),
        ("unit_energy=eV/atom", "unit_energy says 'eV/atom'"),
    ],
)
def test_a_stress_that_is_none_is_refused(tmp_path, extra, message):
    with pytest.raises(ValueError, match=f"structure 0: .*{message}"):
        read(tmp_path, crystal(extra))


def test_a_molecule_has_no_stress(tmp_path):
    with pytest.warns(StructureWarning, match="virial is not read: the structure is not periodic"):
        assert read(tmp_path, crystal(f'virial="{NINE}"', lattice=False)).labels[0].stress is None


def test_prefixes_and_other_names(tmp_path):
    text = crystal(f'REF_virial="{NINE}"', energy="REF_energy=-3", forces="REF_forces")
    with pytest.raises(ValueError, match=r"no energy and no forces.*--energy REF_energy --forces REF_forces"):
        read(tmp_path, text)
    with pytest.warns(StructureWarning, match="read the stress from REF_virial"):
        data = read(tmp_path, text, energy="REF_energy", forces="REF_forces")
    assert data.labels[0].energy == -3
    np.testing.assert_allclose(data.labels[0].stress, -MATRIX / VOLUME)
    with pytest.raises(ValueError, match=r"no forces.*--energy energy --forces force "):
        read(tmp_path, crystal("", forces="force"))
    assert read(tmp_path, crystal("", forces="force"), forces="force").labels[0].forces[0, 0] == 0.1
    with pytest.raises(ValueError, match=r"no dft_stress.*--stress"):
        read(tmp_path, crystal(""), stress="dft_stress")
    with pytest.raises(ValueError, match="label it first"):
        read(tmp_path, "1\n\nHe 0 0 0\n")


def test_suffixes(tmp_path):
    text = crystal(f'virial_ref="{NINE}"', energy="energy_ref=-3", forces="forces_ref")
    with pytest.warns(StructureWarning, match="read the stress from virial_ref"):
        data = read(tmp_path, text, energy="energy_ref", forces="forces_ref")
    np.testing.assert_allclose(data.labels[0].stress, -MATRIX / VOLUME)
    with pytest.warns(StructureWarning, match="stress_voigt not read"):
        assert read(tmp_path, crystal(f'stress_voigt="{SIX}"')).labels[0].stress is None


def test_a_free_energy_alone_is_named(tmp_path):
    with pytest.raises(ValueError, match="--energy free_energy --forces forces"):
        read(tmp_path, crystal("", energy="free_energy=-1"))


def test_a_second_set_of_labels_is_told(tmp_path):
    with pytest.warns(StructureWarning, match="REF_energy not read, but energy and forces"):
        assert read(tmp_path, crystal("REF_energy=-9")).labels[0].energy == -1


@pytest.mark.parametrize("energy", ['energy="1 2"', "energy=none", "energy=nan"])
def test_an_energy_that_is_no_number_is_refused(tmp_path, energy):
    with pytest.raises(ValueError, match=r"structure 0: .*energy"):
        read(tmp_path, crystal("", energy=energy))


@pytest.mark.parametrize(
    "keys",
    [
        ("a559557d2110", "c9d30063694c"),
        ("a559557d2110", None),
        (123456789012, "a"),
        ("111111e11111", "222222e22222"),  # which read as infinity
    ],
)
def test_two_levels_in_one_file_are_refused(tmp_path, keys):
    texts = [
        crystal("" if key is None else f"level_key={key}").replace("3 -0.1", f"{3 + i} -0.1")
        for i, key in enumerate(keys)
    ]
    with pytest.raises(ValueError, match=rf"2 levels of theory.*{keys[0]}.*{keys[1] or 'none'}"):
        read(tmp_path, *texts)
    data = read(tmp_path, texts[0])
    assert data.labels[0].level_key == str(keys[0])


@pytest.mark.parametrize("word", ["level", "theory", "xc", "Functional", "basis"])
def test_two_levels_by_other_words_are_refused(tmp_path, word):
    texts = [crystal(f"{word}=PBE"), crystal(f"{word}=BLYP").replace("3 -0.1", "3.1 -0.1")]
    with pytest.raises(ValueError, match=rf"{word} PBE \(structure 0\), BLYP \(structure 1\)"):
        read(tmp_path, *texts)
    assert read(tmp_path, texts[0]).frames[0].info[word] == "PBE"


def test_duplicates_are_told_and_contradictions_refused(tmp_path):
    with pytest.warns(StructureWarning, match="2 structures, 1 of them there before with the same label"):
        assert len(read(tmp_path, crystal(""), crystal(""))) == 1
    with pytest.raises(ValueError, match=r"-1\.0+ and -7\.0+ eV.*structures 0 and 1 of the file"):
        read(tmp_path, crystal(""), crystal("", energy="energy=-7"))


def test_constraints_do_not_matter_to_labels(tmp_path):
    text = crystal("").replace("forces:R:3", "forces:R:3:move_mask:L:3")
    text = text.replace("0.1 0 0\n", "0.1 0 0 F T T\n")
    with pytest.warns(StructureWarning, match="hold atoms only partly are left out"):
        assert len(read(tmp_path, text)) == 1
    with pytest.raises(ValueError, match="FixCartesian"):
        read_frames(tmp_path / "f.xyz")


def test_a_column_that_seems_to_hold_atoms_is_refused_in_a_start_and_left_out_of_labels(tmp_path):
    text = crystal("").replace("forces:R:3", "forces:R:3:fixed:L:1")
    text = text.replace("0.1 0 0\n", "0.1 0 0 T\n")
    with pytest.warns(StructureWarning, match="the column fixed is left out"):
        assert len(read(tmp_path, text.replace("-0.1 0 0\n", "-0.1 0 0 F\n"))) == 1
    with pytest.raises(ValueError, match=r"the column fixed is not read.*move_mask"):
        read_frames(tmp_path / "f.xyz")


def test_the_users_columns_go_through_a_labelled_file(tmp_path):
    data = read(tmp_path, crystal('my_id="cfg-1" config_type=bulk'))
    write_frames(tmp_path / "g.extxyz", data)
    back = read_dataset(tmp_path / "g.extxyz", "y")
    assert back.frames[0].info == {"my_id": "cfg-1", "config_type": "bulk"}
    assert back.labels[0].level_key == "x"


def test_forms_of_the_stress():
    np.testing.assert_array_equal(full_stress([1, 2, 3, 0.1, 0.2, 0.3]), MATRIX)
    np.testing.assert_array_equal(voigt_stress(MATRIX), [1, 2, 3, 0.1, 0.2, 0.3])
    np.testing.assert_allclose(stress_of_virial(MATRIX, np.diag([-5.0, 4.0, 8.0])), -MATRIX / VOLUME)
    with pytest.raises(ValueError, match="has 4 components"):
        full_stress([1, 2, 3, 4])


def test_the_energy_is_the_one_whose_derivative_the_forces_are(tmp_path):
    metal = crystal("free_energy=-1.25")
    with pytest.warns(StructureWarning, match="read from free_energy, whose derivative the forces are"):
        assert read(tmp_path, metal).labels[0].energy == -1.25
    assert read(tmp_path, metal, energy="energy").labels[0].energy == -1.0
    assert read(tmp_path, crystal("free_energy=-1")).labels[0].energy == -1.0
