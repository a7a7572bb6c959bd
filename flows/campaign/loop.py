"""The campaign: the loop of active learning as a Prefect flow.

    initial frames -> label -> train -> explore -> select -> label -> train -> ...

Everything it learns is in the campaign's folder, stage by stage, so that the same command goes on
after any interruption; neither Prefect's server nor MLflow is needed to resume.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from prefect import State as PrefectState
from prefect import flow
from prefect.exceptions import CancelledRun, TerminationSignal
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed

from exploration.diversity import near_duplicate_share
from flows.campaign.finish import finish, pause
from flows.campaign.recording import record
from flows.campaign.settle import settle
from flows.campaign.start import Start, begin, start_frames
from flows.campaign.state import REJECTED, Campaign, State
from flows.campaign.stopping import judge, labels_affordable, seconds_per_label
from flows.engine.events import announce
from flows.engine.log_file import log_file
from flows.engine.prefect_runs import page_of_run, take_over
from flows.errors import LabelsAwaitedError
from flows.interrupts import interrupts
from flows.record.ending import ending
from flows.record.folder import CampaignFolder
from flows.record.lock import campaign_lock
from flows.record.results import LabelSummary, RoundResult, SelectionSummary
from flows.record.review import WAITING, awaited, waits
from flows.record.stages import is_finished
from flows.record.table import LABEL
from flows.steps.calibrate import calibrate, score_arrived
from flows.steps.choose import choose
from flows.steps.explore import explore_with_committee, select_frames
from flows.steps.labels import label_frames, returning_frames, take_in_spool
from flows.steps.pretrain import pretrain
from flows.steps.review import approved_frames
from flows.steps.survival import measure_survival
from flows.steps.train import evaluate_on_broad, evaluate_on_test, learned_and_held_out, load_committee, train
from flows.tracking.tracker import Tracker
from flows.views.console import say
from flows.views.summary import verdict
from labeling.store import LabelStore
from labeling.task import open_workers
from potential.data.charge_states import charge_states, in_words
from potential.data.frame import Frame

STOPPED = "Stopped by Ctrl-C or a signal; the same command goes on from here."


def run_campaign(source: str | Path, *, rounds_per_run: int | None = None) -> CampaignFolder:
    """Run or resume the campaign of a YAML file (or campaign folder) in this process.

    Where `review` asks for it, it returns while a selection waits for a decision; call it again then.

    Args:
        rounds_per_run: stop after so many rounds that were not finished before; None: go on to the end.

    Raises:
        ConfigError: if the configuration is wrong.
        CampaignError: if the campaign cannot go on; it can be resumed once the cause is gone.
        KeyboardInterrupt: on Ctrl-C or SIGTERM, everything finished so far being on disk.
    """
    folder = CampaignFolder.open(source)
    start_frames(folder)
    with campaign_lock(folder.path), interrupts():
        try:
            campaign(str(source), rounds_per_run)
        except CancelledRun as error:
            if str(error) == STOPPED:
                raise KeyboardInterrupt from None
            raise LabelsAwaitedError(str(error)) from None
    return folder


def _run_name() -> str:
    """The campaign's."""
    return CampaignFolder.open(Path(flow_run.parameters["source"])).config.name


@flow(name="campaign", flow_run_name=_run_name, persist_result=False)
def campaign(source: str, rounds_per_run: int | None = None) -> PrefectState:
    """Active learning of a NequIP committee, as the YAML file (or campaign folder) `source` says."""
    folder = CampaignFolder.open(Path(source))
    try:
        go_on(folder, rounds_per_run=rounds_per_run)
    except KeyboardInterrupt:
        return Cancelled(name="Stopped", message=STOPPED)
    except LabelsAwaitedError as error:
        return Cancelled(name="Waiting for labels", message=str(error))
    if waiting := awaited(folder):
        return Completed(name=WAITING, message=waits(folder, waiting))
    return Completed(message=f"{verdict(folder.results(up_to=folder.config.rounds))} In {folder.path}.")


def go_on(folder: CampaignFolder, *, rounds_per_run: int | None = None) -> bool:
    """Take turns from where the campaign stands; for a flow to call. True once the campaign has ended.

    Args:
        rounds_per_run: stop after so many rounds that were not finished before; None: go on to the end.

    Raises:
        ConfigError, CampaignError, KeyboardInterrupt: as `run_campaign`.
    """
    structures = start_frames(folder)
    labeling = folder.config.labeling.on_a_node
    with campaign_lock(folder.path), log_file(folder.logs), open_workers(labeling):
        settle(folder)
        take_over(folder.path)
        folder.write_config()
        store, config = LabelStore(folder.label_store), folder.config
        tracker = Tracker(folder, flow_run=page_of_run())
        said = in_words(charge_states(structures))
        rounds = f"{config.rounds} round{'s' * (config.rounds != 1)}"
        say(f"campaign {config.name}: {said}; {config.level.name}; {rounds}, in {folder.path}")
        try:
            take_in_spool(folder, store)
            start = begin(folder, structures, store)
            pretrained = pretrain(folder, structures, start.elements, start.initial)
            tracker.log_start(start.initial)
            shared = Campaign(
                folder=folder,
                store=store,
                tracker=tracker,
                test=start.test,
                elements=start.elements,
                energy_shifts=start.energy_shifts,
                pretrained=pretrained,
                broad=start.broad,
                starts=tuple(start.initial.frames),
            )
            states = _loop(shared, start, rounds_per_run)
            ended = all(state.ended for state in states)
            if ended:
                finish(folder, up_to=states[0].round, tracker=tracker)
                announce("ended", config.name, why=ending(folder))
            else:
                pause(folder, tracker=tracker)
        except LabelsAwaitedError:
            pause(folder, tracker=tracker)
            raise
        except (KeyboardInterrupt, TerminationSignal):
            tracker.log_stop("KILLED")
            raise
        except Exception:
            tracker.log_stop("FAILED")
            raise
    return ended


def _loop(campaign: Campaign, start: Start, rounds_per_run: int | None) -> list[State]:
    """Take turns, arm beside arm, until each has ended or waits, or the run has had its share."""
    states = [
        State(arm=arm, round=0, dataset=start.initial, quarantined=start.quarantined)
        for arm in campaign.folder.arms
    ]
    new = 0
    while any(state.goes_on for state in states) and (rounds_per_run is None or new < rounds_per_run):
        new += any(not state.here.result.exists() for state in states if state.goes_on)
        states = [_turn(campaign, state) if state.goes_on else state for state in states]
    return states


def _turn(campaign: Campaign, state: State) -> State:
    """One round of one arm: train, evaluate, explore, select, label, record, advance."""
    folder, here, learned = campaign.folder, state.here, state.dataset
    say(f"{here}: {len(learned)} labels")
    trained = train(folder, here, learned, campaign.elements, campaign.energy_shifts, campaign.pretrained)
    tested = evaluate_on_test(folder, here, campaign.test)
    broad = None if campaign.broad is None else evaluate_on_broad(folder, here, campaign.broad)
    _, held_out = learned_and_held_out(folder, here, learned)
    calibrated = calibrate(folder, here, held_out)
    chosen = choose(folder, here, held_out)
    test = folder.config.survival
    survival = None if test is None else measure_survival(folder, here, campaign.starts, test)
    result = RoundResult(
        round=state.round,
        arm=state.arm.name,
        n_labels=len(learned),
        training=trained,
        evaluation=tested,
        broad=broad,
        calibration=calibrated,
        champion=chosen,
        survival=survival,
    )
    before = [r for r in here.arm.results() if r.round < state.round]
    goes_on = is_finished(here.label)  # a bound that came later does not undo what was done
    found = judge(folder, here, [*before, result])
    nothing_left = labels_affordable(folder, [*before, result]) == 0 and not goes_on
    is_last = state.round == folder.config.rounds
    if (is_last and not goes_on) or nothing_left:
        return _end(campaign, state, result.model_copy(update={"stop": found}))

    asked = folder.at(state.round).wants_expected_errors
    explored = explore_with_committee(folder, here, learned.frames, calibrated.calibration if asked else None)
    result = result.model_copy(update={"exploration": explored})
    found = judge(folder, here, [*before, result])
    affordable = labels_affordable(folder, [*before, result])
    if found.ended is not None and not goes_on:
        return _end(campaign, state, result.model_copy(update={"stop": found}))

    selection = select_frames(folder, here, learned.frames, at_most=affordable)
    picked = SelectionSummary(
        n_selected=len(selection.frames),
        warnings=selection.warnings,
        near_duplicates=near_duplicate_share(selection.frames, learned.frames),
    )
    each = seconds_per_label(folder, [*before, result])
    approved = approved_frames(folder, here, selection, seconds_per_label=each)
    if approved is None:
        return state.wait()
    picked = picked.model_copy(update={"n_dropped": len(selection.frames) - len(approved)})
    if picked.n_dropped and not approved:
        rejected = {"selection": picked, "stop": found.model_copy(update={"ended": REJECTED})}
        return _end(campaign, state, result.model_copy(update=rejected))

    returning = returning_frames(here.label, state.quarantined, campaign.store, folder.config.level)
    tally = label_frames(
        folder,
        LABEL,
        here.label,
        _within([*approved, *returning], None if goes_on else affordable),
        store=campaign.store,
        description=f"{here} labels",
        committee=partial(load_committee, folder, here),
    )
    stages = {
        "arrived": score_arrived(folder, here, tally.labelled, calibrated.calibration)
        if tally.labelled
        else None,
        "selection": picked,
        "labels": LabelSummary(
            n_labelled=len(tally.labelled), n_failed=len(tally.quarantined), seconds=tally.seconds
        ),
        "stop": found.model_copy(update={"ended": None}),
    }
    record(campaign, here, result.model_copy(update=stages))
    if is_last:  # there were more rounds once
        return state.end()
    if not tally.labelled:
        say(f"  nothing new was labelled: another training would learn nothing, {here} was the last")
        return state.end()
    return state.advance(tally)


def _end(campaign: Campaign, state: State, result: RoundResult) -> State:
    """This round was the arm's last; nothing more is spent on it."""
    record(campaign, state.here, result)
    if result.stop is not None and result.stop.ended is not None:
        say(f"  {state.here} was the last, {result.stop.ended}")
    return state.end()


def _within(frames: list[Frame], at_most: int | None) -> list[Frame]:
    return frames if at_most is None else frames[:at_most]
