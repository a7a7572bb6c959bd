"""Where a user's files and values are read: what is wrong with them is an error of usage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from flows.errors import ConfigError, problems_of


@contextmanager
def reading(source: object) -> Iterator[None]:
    """What is wrong with a user's file or values is an error of usage."""
    try:
        yield
    except ValidationError as error:
        raise ConfigError(source, problems_of(error)) from error
    except (ValueError, OSError) as error:
        raise ConfigError(source, [str(error)]) from error
