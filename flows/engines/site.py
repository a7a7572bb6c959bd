"""A site file: how a cluster takes jobs. It is apart from the campaign, which may run at any site.

deployments/slurm/site.yaml and deployments/kubernetes/site.yaml are to begin from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Generic, TypeVar

from pydantic import Field, ValidationError

from flows.engines.engine import JobKind
from flows.errors import ConfigError, problems_of
from flows.yaml_text import read_yaml
from potential.data.config import Config

Line = Annotated[str, Field(pattern=r"^[^\n\r\x00]*$", max_length=2000)]
Program = Annotated[
    str,
    # a shell reads it: words without signs that mean something to one
    Field(pattern=r"^[A-Za-z0-9/~_.][A-Za-z0-9/~_.+@:=,-]*( [A-Za-z0-9/~_.+@:=,-]+)*$", max_length=2000),
]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+:-]*$", max_length=100)]


class Resources(Config):
    """What one job asks for."""

    cores: Annotated[
        int, Field(ge=1, le=4096, description="labels at once in a job, a core each; else threads of the job")
    ] = 1
    memory_GB: Annotated[
        float,
        Field(ge=0.2, le=1e5, description="memory of a job; of labels, for `cores` of them"),
    ] = 4.0
    gpus: Annotated[int, Field(ge=0, le=64, description="GPUs of a job")] = 0
    jobs: Annotated[int, Field(ge=1, le=10_000, description="jobs at once, at most")] = 1


R = TypeVar("R", bound=Resources)
S = TypeVar("S", bound=Config)


class Site(Config, Generic[R]):
    """What every site says: what its jobs ask for, stage by stage."""

    label: Annotated[R, Field(description="jobs that compute labels")]
    training: Annotated[
        R | None, Field(description="a job for each training; null: the flow trains, where it runs")
    ] = None
    exploration: Annotated[
        R | None, Field(description="a job for each exploration; null: the flow explores, where it runs")
    ] = None

    def of(self, kind: JobKind) -> R | None:
        """What a job of this kind asks for; None where the flow computes it itself."""
        return self.training if kind == "training" else self.exploration

    def check_memory(self, labels_GB: float, path: Path) -> None:
        """Raise ConfigError where a label job's memory does not hold the labels that it computes at once."""
        need = self.label.cores * labels_GB
        if not self.label.memory_GB >= need:
            problem = (
                f"label.memory_GB: {self.label.memory_GB:g} GB for {self.label.cores} labels at once, up "
                f"to {labels_GB:g} GB (labeling.memory_GB of the campaign); write {need:g}, or fewer cores"
            )
            raise ConfigError(path, [problem])


def read_site(path: Path, kind: type[S]) -> S:
    """Read and check a site file.

    Raises:
        ConfigError: with all that is wrong.
    """
    if not path.exists():
        raise ConfigError(path, ["there is no such site file; `labeling.engine` names it"])
    _, content, problems = read_yaml(path)
    said = [f"line {line}: {text}" for line, text in problems]
    try:
        site = kind.model_validate(content)
    except ValidationError as error:
        raise ConfigError(path, [*said, *problems_of(error)]) from None
    if said:
        raise ConfigError(path, said)
    return site
