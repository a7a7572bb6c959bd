"""The stages of a campaign, each declared once, in the order in which they run."""

from __future__ import annotations

from dataclasses import replace

from flows.record.stages import Stage

FRAMES = Stage(
    name="frames",
    title="initial and test frames",
    inputs=("structure", "initial", "test", "seed", "taken_over"),
    outputs=("initial.extxyz", "test.extxyz"),
    grows=("test.frames", "taken_over"),
    later={"taken_over": None},
)
FIRST_LABELS = Stage(
    name="labels",
    title="initial and test labels",
    inputs=("level", "frames"),
    outputs=("outcomes.csv",),
    grows=("frames",),  # with the test set
)
BROAD_FRAMES = Stage(
    name="frames_broad",
    title="broad test frames",
    inputs=("structure", "test_broad", "others", "seed"),
    outputs=("broad.extxyz",),
    grows=("test_broad.frames",),
)
BROAD_LABELS = Stage(
    name="labels_broad",
    title="broad test labels",
    inputs=("level", "frames"),
    outputs=("outcomes.csv",),
    grows=("frames",),  # with the test set
)
ISOLATED_ATOMS = Stage(
    name="isolated_atoms",
    title="isolated atoms",
    inputs=("level", "frames"),
    outputs=("outcomes.csv",),
)
TEACH = Stage(
    name="teach",
    title="teacher's frames",
    inputs=("teacher", "dynamics", "frames", "structure", "seed"),
    outputs=("teacher.db", "summary.json"),
    half_done="go on",  # with the walks that are not in its store
)
PRETRAIN = Stage(
    name="pretrain",
    title="pretraining",
    inputs=("source", "model", "training", "elements", "seed"),
    outputs=("potential/weights.safetensors", "potential/config.json", "summary.json"),
    half_done="go on",  # from its checkpoint
)
GUARD = Stage(
    name="guard",
    title="comparison with a training from random weights",
    inputs=("weights", "training", "data", "seed"),
    outputs=("summary.json",),
)
TRAIN = Stage(
    name="train",
    title="training",
    inputs=("model", "training", "data", "elements", "warm_start", "seed"),
    outputs=(
        "potential/weights.safetensors",
        "potential/config.json",
        "potential/frames.csv",
        "history.csv",
        "summary.json",
    ),
    half_done="go on",  # from its checkpoint
)
EVALUATE = Stage(
    name="evaluate",
    title="evaluation",
    inputs=("potential", "test"),
    outputs=("metrics.json", "test_atoms.csv", "test_frames.csv"),
    changed="make anew",  # it only measures what others made
)
EVALUATE_BROAD = replace(EVALUATE, name="evaluate_broad", title="evaluation on the broad test")
CALIBRATE = Stage(
    name="calibrate",
    title="calibration",
    inputs=("potential", "held_out", "arrived", "tests", "bound"),
    outputs=("summary.json", "atoms.csv"),
    changed="make anew",  # it only measures what others made
)
CHOOSE = Stage(
    name="choose",
    title="choice of the champion",
    inputs=("potential", "champion_before", "held_out"),
    outputs=("summary.json",),
    changed="make anew",  # it only measures what others made
)
SURVIVE = Stage(
    name="survive",
    title="survival",
    inputs=("dynamics", "potential", "starts", "seed"),
    outputs=("replicas.csv", "summary.json"),
    changed="make anew",  # it only measures what others made
)
EXPLORE = Stage(
    name="explore",
    title="exploration",
    inputs=("exploration", "potential", "starts", "seed", "calibration", "restarts"),
    outputs=("ledger.csv", "replicas.csv", "summary.json"),
    later={"calibration": None, "restarts": None},
)
SELECT = Stage(
    name="select",
    title="selection",
    inputs=("selection", "explored", "learned", "seed", "at_most"),
    outputs=("selection.csv", "selected.extxyz", "warnings.txt"),
    later={"at_most": None},
)
REVIEW = Stage(
    name="review",
    title="review",
    inputs=("frames",),
    outputs=("request.json", "frames.csv", "picture.png", "decision.json"),
    half_done="go on",  # it waits for the decision
)
LABEL = Stage(
    name="label",
    title="labels",
    inputs=("level", "frames"),
    outputs=("outcomes.csv",),
)
ARRIVED = Stage(
    name="arrived",
    title="the committee on the new labels",
    inputs=("potential", "labels", "calibration"),
    outputs=("summary.json", "atoms.csv"),
    changed="make anew",  # it only measures what others made
)
PUBLISH = Stage(
    name="potential",
    title="potential",
    inputs=("weights", "card"),
    outputs=("weights.safetensors", "config.json", "model_card.json"),
    changed="make anew",  # it only copies what others made
)
