"""A level of theory of which labels are taken in, and none is computed here."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from labeling.abilities import Abilities
from labeling.level_key import level_key
from potential.data.config import Config
from potential.data.frame import Frame


class ForeignLevel(Config):
    """Labels that were made elsewhere (ORCA, VASP, a published set), by the name that a person gives them.

    Its key is a hash of the name: whoever names it vouches that all labels of this name are of one level.
    """

    can: ClassVar[Abilities] = Abilities(
        stress=True, spin=True, charge=True, threads=False, second_guess=False
    )

    labeler: Literal["none"] = "none"
    name: Annotated[
        str,
        # 200: a line of a report; what is longer is a description
        Field(
            min_length=1,
            max_length=200,
            pattern=r"^\S(.*\S)?$",
            description="how the labels were made, e.g. ORCA 6 r2SCAN-3c; names them on import (--vouch)",
        ),
    ]

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str) -> str:
        if not name.isprintable():
            raise ValueError(f"{name!r} has characters that no terminal shows; write it in plain text")
        return name

    @property
    def key(self) -> str:
        """12 hex digits."""
        return level_key({"labeler": self.labeler, "name": self.name})

    def check(self, frame: Frame) -> None:
        """Raise ValueError if the frame has no atoms; any element, charge and cell is accepted."""
        if len(frame) == 0:
            raise ValueError("the frame has no atoms; give it at least one")
