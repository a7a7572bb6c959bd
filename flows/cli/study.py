"""Run a study from a command line, and show what it found."""

from __future__ import annotations

from pathlib import Path

from flows.engine.prefect_api import prefect_api
from flows.engine.prefect_settings import use_embedded_prefect
from flows.settings.study_config import load_study


def study_and_tell(source: Path) -> None:
    """Run or resume the study, print its tables and where its files are.

    Raises:
        ConfigError, CampaignError, KeyboardInterrupt: as `flows.study.loop.run_study`.
    """
    use_embedded_prefect()
    load_study(source)
    with prefect_api() as wait_for_api:
        # Imported here: a wrong configuration is said before Prefect and torch load.
        from flows.study.curves import folder_of
        from flows.study.loop import run_study

        wait_for_api()
        config = run_study(source)
    folder = folder_of(config)
    print(f"\n{(folder / 'study.md').read_text()}\nfigure  {folder / 'learning_curves.svg'}")
