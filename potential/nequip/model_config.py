"""Settings of the model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from potential.data.config import Config


class ModelConfig(Config):
    """The NequIP architecture, in the vocabulary of nequip 0.19 (Batzner et al. 2022)."""

    r_max: Annotated[PositiveFloat, Field(description="cutoff radius, Angstrom")] = 5.0
    num_layers: Annotated[PositiveInt, Field(description="interaction blocks")] = 3
    l_max: Annotated[int, Field(ge=0, le=3, description="highest degree of the features")] = 2
    parity: Annotated[
        bool, Field(description="carry features of both parities for each l, not only (-1)^l")
    ] = False
    num_features: Annotated[PositiveInt, Field(description="channels per irrep and member")] = 32
    num_bessels: Annotated[PositiveInt, Field(description="radial basis functions")] = 8
    polynomial_cutoff_p: Annotated[int, Field(ge=2, description="exponent of the smooth cutoff")] = 6
    radial_mlp_depth: Annotated[PositiveInt, Field(description="hidden layers of the radial network")] = 1
    radial_mlp_width: Annotated[PositiveInt, Field(description="width of the radial network")] = 64
    radial: Annotated[
        Literal["mlp", "spline"],
        Field(description="evaluate the radial network at every edge, or at the knots of a spline"),
    ] = "spline"
    radial_knots: Annotated[int, Field(ge=16, description="knots of the spline on [0, r_max]")] = 128
    committee_size: Annotated[PositiveInt, Field(description="members of the committee")] = 4
