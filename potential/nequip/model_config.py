"""Settings of the model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from potential.data.config import Config


class ModelConfig(Config):
    """The NequIP architecture, in the vocabulary of nequip 0.19 (Batzner et al. 2022)."""

    r_max: Annotated[
        float,
        Field(ge=0.8, le=30, description="cutoff radius, Angstrom; 0.8 to 30: bonds are longer than 0.7"),
    ] = 5.0
    num_layers: Annotated[
        int, Field(ge=1, le=20, description="interaction blocks; at most 20: each reaches r_max further")
    ] = 3
    l_max: Annotated[int, Field(ge=0, le=3, description="highest degree of the features")] = 2
    correlation: Annotated[
        int,
        Field(
            ge=1,
            le=3,
            description="order of the products of an atom's messages with themselves; 1: none (NequIP), "
            "3: as in MACE, for which two layers are enough",
        ),
    ] = 1
    parity: Annotated[
        bool, Field(description="carry features of both parities for each l, not only (-1)^l")
    ] = False
    num_features: Annotated[
        int, Field(ge=1, le=2048, description="channels per irrep and member; at most 2048: memory")
    ] = 32
    num_bessels: Annotated[
        int, Field(ge=1, le=256, description="radial basis functions; at most 256: no finer detail is real")
    ] = 8
    polynomial_cutoff_p: Annotated[
        int,
        Field(
            ge=2,
            le=100,
            description="exponent of the smooth cutoff; 2 favours near neighbours, which helps molecules "
            "with few labels; beyond 100 it is a step",
        ),
    ] = 6
    radial_mlp_depth: Annotated[
        int, Field(ge=1, le=16, description="hidden layers of the radial network; at most 16: it must train")
    ] = 1
    radial_mlp_width: Annotated[
        int, Field(ge=1, le=4096, description="width of the radial network; at most 4096: memory")
    ] = 64
    radial: Annotated[
        Literal["mlp", "spline"],
        Field(description="evaluate the radial network at every edge, or at the knots of a spline"),
    ] = "spline"
    radial_knots: Annotated[
        int, Field(ge=16, le=65536, description="knots of the spline on [0, r_max]; at most 65536: memory")
    ] = 128
    committee_size: Annotated[
        int, Field(ge=1, le=64, description="members of the committee; exploration needs at least 2")
    ] = 4
