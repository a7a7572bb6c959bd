"""Structures of a molecule written as SMILES: distinct conformers, by RDKit's ETKDG.

ETKDGv3: Wang, Witek, Landrum and Riniker, J. Chem. Inf. Model. 60, 2044 (2020). Each is relaxed in MMFF94s
where that has parameters, else in UFF where that has, else left as it was embedded.
"""

from __future__ import annotations

from typing import Any

from potential.data.frame import Frame

SAME_A = 0.1
"""Relaxed conformers are one if they lie this near, RMSD in Angstrom, hydrogens on carbon not counted."""


def conformers(smiles: str, n: int = 1, *, seed: int = 0) -> list[Frame]:
    """At most `n` distinct conformers, lowest in the force field first; charge and spin as the SMILES says.

    Args:
        smiles: e.g. `CCO`, `CC(=O)[O-]`, `C[CH2]`.
        n: how many are drawn.
        seed: of the draws; the same gives the same structures.

    Raises:
        ModuleNotFoundError: without RDKit.
        ValueError: for text that is no SMILES, or a molecule that cannot be embedded.
    """
    chem, all_chem, logger = _rdkit()
    with logger.BlockLogs():  # what it says is in our error
        molecule = chem.MolFromSmiles(smiles)
        if molecule is None or molecule.GetNumAtoms() == 0:
            raise ValueError(f"{smiles!r} is no SMILES that RDKit reads; write e.g. CCO for ethanol")
        molecule = chem.AddHs(molecule)
        how = all_chem.ETKDGv3()
        how.randomSeed = seed + 1  # it is multiplied with each conformer's number
        found = list(all_chem.EmbedMultipleConfs(molecule, n, how))
        if not found:  # too strained for distances alone
            how.useRandomCoords = True
            found = list(all_chem.EmbedMultipleConfs(molecule, n, how))
        if not found:
            raise ValueError(f"{smiles!r}: RDKit finds no structure of it; draw one, and give its file")
        energies = _relax(molecule, all_chem)
        order = sorted(found, key=lambda i: (energies.get(i, 0.0), i))
        order = _different(molecule, order, chem, all_chem)
    charge = chem.GetFormalCharge(molecule)
    spin = sum(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    return [
        Frame.of(
            numbers,
            molecule.GetConformer(i).GetPositions(),
            charge=charge,
            spin=spin,
            origin={"smiles": smiles, "method": "ETKDGv3", "seed": seed, "conformer": rank},
        )
        for rank, i in enumerate(order)
    ]


def _relax(molecule: Any, all_chem: Any) -> dict[int, float]:
    """Conformer to its energy in a force field (kcal/mol); empty where none has parameters."""
    if all_chem.MMFFHasAllMoleculeParams(molecule):
        found = all_chem.MMFFOptimizeMoleculeConfs(molecule, mmffVariant="MMFF94s")
    elif all_chem.UFFHasAllMoleculeParams(molecule):
        found = all_chem.UFFOptimizeMoleculeConfs(molecule)
    else:
        return {}
    return {c.GetId(): energy for c, (_, energy) in zip(molecule.GetConformers(), found, strict=True)}


def _different(molecule: Any, order: list[int], chem: Any, all_chem: Any) -> list[int]:
    """The first of those that are alike."""
    frame = chem.RWMol(molecule)
    for atom in reversed(list(frame.GetAtoms())):
        if atom.GetAtomicNum() == 1 and any(near.GetAtomicNum() == 6 for near in atom.GetNeighbors()):
            frame.RemoveAtom(atom.GetIdx())
    kept = list[int]()
    for i in order:
        if all(all_chem.GetBestRMS(frame, frame, i, j) > SAME_A for j in kept):
            kept.append(i)
    return kept


def _rdkit() -> tuple[Any, Any, Any]:
    try:
        from rdkit import Chem, rdBase
        from rdkit.Chem import AllChem
    except ImportError as error:
        raise ModuleNotFoundError(
            "SMILES need RDKit: pip install 'alnico[smiles]', or draw the molecule and give its file"
        ) from error
    return Chem, AllChem, rdBase
