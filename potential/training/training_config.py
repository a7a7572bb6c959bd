"""Settings of the training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from potential.data.config import Config

YEAR_S = 3.2e7
NOT_OF_THE_RESULT = frozenset({"device", "processes", "checkpoint_every_epochs", "mixed_charges"})
"""Settings of a training that do not change what comes out."""
# 1e9: what does not end in a lifetime is a mistyped number.
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
# 1e6: a weight beyond leaves nothing of the others in single precision.
Weight = Annotated[float, Field(ge=0, le=1e6)]


class TrainingConfig(Config):
    """How a committee is trained. Training ends at the first of the limits that are set."""

    batch_size: Annotated[
        int, Field(ge=1, le=100_000, description="frames per gradient step; at most 100000: memory")
    ] = 5
    max_epochs: Annotated[Count, Field(description="passes over the training frames")] = 1000
    max_steps: Annotated[
        Count | None, Field(description="gradient steps; makes the cost independent of the data")
    ] = None
    max_seconds: Annotated[
        float | None,
        Field(ge=0.01, le=YEAR_S, description="wall time, a year at most; the result depends on the machine"),
    ] = None
    energy_shifts: Annotated[
        Literal["least_squares", "isolated_atoms"],
        Field(description="energy per atom of each element: fitted to the labels, or labelled alone"),
    ] = "least_squares"
    energy_scales: Annotated[
        Literal["forces_rms", "per_type_forces_rms"],
        Field(description="scale of the atomic energies: RMS of all forces, or of each element's"),
    ] = "forces_rms"
    optimizer: Annotated[
        Literal["muon", "adam"],
        Field(
            description="muon takes a fifth of adam's steps to the same error, each 1.4 to 1.6 times as long"
        ),
    ] = "muon"
    learning_rate: Annotated[
        float,
        Field(ge=1e-12, le=1, description="below 1e-12 nothing moves, above 1 all is lost"),
    ] = 0.02
    schedule: Annotated[
        Literal["cosine", "until_flat", "plateau", "constant"],
        Field(
            description="course of the learning rate; until_flat holds it until the held-out labels gain "
            "less than 2 % in a third of the steps, and then lets it fall to 0"
        ),
    ] = "cosine"
    plateau_patience_epochs: Count = 50
    energy_weight: Annotated[Weight, Field(description="weight of (energy error per atom)^2")] = 1.0
    force_weight: Annotated[Weight, Field(description="weight of (force component error)^2")] = 1.0
    stress_weight: Annotated[Weight, Field(description="weight of (stress error)^2, in eV/A^3")] = 0.0
    ema_decay: Annotated[
        float, Field(ge=0, lt=1, description="exponential moving average of the weights; 0 is off")
    ] = 0.99
    max_gradient_norm: Annotated[
        float | None, Field(ge=1e-9, le=1e9, description="clip gradients, per member; beyond 1e9 none is")
    ] = None
    validation_fraction: Annotated[
        float, Field(ge=0, lt=1, description="part of the labels held out to choose the best epoch")
    ] = 0.1
    validate_every_epochs: Count = 10
    early_stop_patience_epochs: Annotated[
        Count | None, Field(description="stop after so many epochs without a better validation")
    ] = None
    checkpoint_every_epochs: Count = 20
    warm_start: Annotated[bool, Field(description="begin from the last round's committee")] = False
    bootstrap: Annotated[
        Literal["none", "bayesian"],
        Field(
            description="members differ by their initial weights alone, or also by random weights of the "
            "frames (Rubin, Ann. Stat. 9, 130 (1981)), which costs accuracy"
        ),
    ] = "none"
    mixed_charges: Annotated[
        bool,
        Field(description="take several charges or spins of one composition, which the model cannot tell"),
    ] = False
    device: Annotated[str, Field(description="torch device, e.g. cpu or cuda")] = "cpu"
    processes: Annotated[
        int,
        Field(
            ge=1,
            le=64,
            description="processes that share a committee's members in training, with cuda a GPU each; the "
            "result is the same; 64 at most, as members",
        ),
    ] = 1
    dtype: Literal["float32", "float64"] = "float32"
    tf32: Annotated[
        bool, Field(description="on CUDA devices, train with matrix products in TF32: faster, less precise")
    ] = False

    @model_validator(mode="after")
    def _something_to_learn(self) -> TrainingConfig:
        if self.energy_weight == 0 and self.force_weight == 0:
            raise ValueError(
                "energy_weight and force_weight are both 0: nothing would be learned; "
                "write e.g. force_weight: 1"
            )
        return self

    @model_validator(mode="after")
    def _flatness_is_seen(self) -> TrainingConfig:
        if self.schedule == "until_flat" and self.validation_fraction == 0:
            raise ValueError(
                "schedule: until_flat looks at held-out labels, and validation_fraction is 0; "
                "write validation_fraction: 0.1, or schedule: cosine"
            )
        return self

    @classmethod
    def of_record(cls, record: Any) -> TrainingConfig:
        """Before there was a choice, Adam moved all weights."""
        return cls.model_validate({"optimizer": "adam", **record})

    @property
    def devices(self) -> tuple[str, ...]:
        """The device of each process."""
        several = self.processes > 1 and self.device == "cuda"
        return tuple(f"cuda:{i}" if several else self.device for i in range(self.processes))

    @model_validator(mode="after")
    def _a_gpu_for_each_process(self) -> TrainingConfig:
        if self.processes > 1 and self.device not in ("cpu", "cuda"):
            raise ValueError(
                f"processes: {self.processes} on device: {self.device}; write device: cuda (process 0 uses "
                "cuda:0, process 1 cuda:1, ...; CUDA_VISIBLE_DEVICES chooses among a machine's) or cpu"
            )
        return self

    @model_validator(mode="after")
    def _tf32_needs_cuda(self) -> TrainingConfig:
        check_tf32(self.tf32, self.device)
        return self


def check_tf32(tf32: bool, device: str) -> None:
    """TF32 is refused where there is none.

    Raises:
        ValueError: with `tf32` on another device than CUDA.
    """
    if tf32 and not device.startswith("cuda"):
        raise ValueError(
            f"tf32: true needs a CUDA device, but device is {device}; set device: cuda or tf32: false"
        )
