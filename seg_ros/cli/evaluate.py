"""``seg_ros evaluate``."""

from __future__ import annotations

import argparse
from pathlib import Path

from seg_ros.cli.arguments import MODEL_HELP, add_engine, add_json, check_json, load, write_json

SUMMARY = "score a model on labelled images"
EXAMPLES = ("seg_ros evaluate default camvid/ --split val -o out",)


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Take a model and a data set."""
    command.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    command.add_argument("dataset", type=Path, metavar="DATASET", help="folder of labelled images")
    command.add_argument("--split", default="", help="part of the data set (default val)")
    command.add_argument(
        "--values",
        default="",
        metavar="VALUE=CLASS,...",
        help="what the label images' values mean: a class's name, its id, or void",
    )
    add_engine(command)
    command.add_argument("-o", "--out", type=Path, help="folder for pictures and images.csv")
    command.add_argument("--replace", action="store_true", help="replace pictures already there")
    add_json(command)


def run(options: argparse.Namespace) -> int:
    """Score it."""
    from tqdm import tqdm

    from seg_ros.judge.datasets import open_dataset
    from seg_ros.judge.evaluate import (
        EVALUATION_NAMES,
        evaluate,
        evaluation_table,
        write_pictures,
    )
    from seg_ros.judge.label_images import parse_values
    from seg_ros.models.catalogue import find_model
    from seg_ros.models.huggingface import reduces_labels
    from seg_ros.results.outputs import OutputFolder

    check_json(options.json)
    folder = OutputFolder(options.out, options.replace, EVALUATION_NAMES) if options.out else None
    segmenter = load(options)
    model = find_model(options.model, options.labels)
    reduced = reduces_labels(model.path)
    if reduced and not options.values:
        print("label 0 is no class and ids count from 1, as the model's do_reduce_labels says")
    dataset = open_dataset(
        options.dataset,
        segmenter.labels,
        options.split,
        reduced=reduced,
        values=parse_values(options.values, segmenter.labels),
    )
    if dataset.note:
        print(dataset.note)
    with tqdm(total=len(dataset.images), unit="image", desc="evaluate") as bar:
        evaluation = evaluate(segmenter, dataset, on_image=bar.update)
    print(evaluation_table(evaluation))
    if options.json:
        info = segmenter.engine_info
        values = {
            "model": segmenter.model_name,
            "engine": f"{info.runtime} {info.precision}",
            "dataset": str(options.dataset),
            "layout": dataset.layout,
            "split": dataset.split,
            **evaluation.as_dict(),
        }
        write_json(options.json, values)
    if folder:
        write_pictures(evaluation, folder.work)
        folder.publish()
        made = [name for name in EVALUATION_NAMES if (options.out / name).exists()]
        print(f"look at {', '.join(made)} in {options.out}")
    return 0
