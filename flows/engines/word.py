"""An engine that needs nothing is one word in the YAML file."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import model_serializer, model_validator

from potential.data.config import Config


class Word(Config):
    """A configuration without fields, read from its word and written as it."""

    word: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, given: Any) -> Any:
        return {} if given == cls.word else given

    @model_serializer
    def _as_word(self) -> str:
        return self.word
