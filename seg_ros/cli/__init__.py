"""The ``seg_ros`` command."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from seg_ros import __version__
from seg_ros.drive import SYNTHETIC, open_drive
from seg_ros.drive.samples import choose_frames
from seg_ros.engines import PRECISIONS, RUNTIMES, available_runtimes
from seg_ros.engines.build import Check, Wish, build, engine_rows
from seg_ros.engines.store import EngineStore
from seg_ros.engines.verify import FRAMES, Limits
from seg_ros.errors import SegRosError
from seg_ros.ground.camera import load_camera
from seg_ros.judge.compare import COMPARE_NAMES, Comparison, Contender, comparison_table
from seg_ros.judge.datasets import open_dataset
from seg_ros.judge.evaluate import EVALUATION_NAMES, evaluate, evaluation_table, write_pictures
from seg_ros.models.catalogue import DEFAULT, catalogue, find_model
from seg_ros.models.network import Network
from seg_ros.replay.attention import ATTENTION_NAMES, attention_of_drive
from seg_ros.replay.job import EngineOptions, ReplayJob, replay_table, run_job
from seg_ros.replay.replay import MASK_FORMATS, ReplayOptions
from seg_ros.replay.spread import LocalPool, Pool, run_spread
from seg_ros.results.outputs import OutputFolder
from seg_ros.segment.attention import AttentionNetwork
from seg_ros.segment.segmenter import Segmenter
from seg_ros.support.bands import core_count
from seg_ros.support.pixels import parse_pixel, parse_size
from seg_ros.support.progress import EngineProgress
from seg_ros.support.provenance import checksums
from seg_ros.support.tables import text_table

_DRIVE_HELP = "bag, video file, folder of images, or 'synthetic'"
_JOB_CORES = 8
"""What one process of a replay keeps busy."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, or 1 after a one-line error."""
    options = _parser().parse_args(arguments)
    options.arguments = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that nothing is left behind
    try:
        code: int = options.run(options)
    except SegRosError as error:
        print(f"seg_ros {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"seg_ros {options.command}: interrupted", file=sys.stderr)
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("seg_ros", description="Driveable area and segmentation.")
    parser.add_argument("--version", action="version", version=f"seg_ros {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = commands.add_parser("replay", help="put every frame of a recorded drive through")
    command.add_argument("drive", nargs="+", metavar="DRIVE", help=_DRIVE_HELP)
    command.add_argument("--topic", default="", help="camera topic of a bag with several")
    command.add_argument("-o", "--out", type=Path, required=True, help="folder for the outputs")
    command.add_argument("--replace", action="store_true", help="replace outputs already there")
    command.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    command.add_argument(
        "--mask", default="raw", choices=MASK_FORMATS, help="how masks are written (default raw)"
    )
    command.add_argument("--no-camera", action="store_true", help="do not copy camera messages")
    command.add_argument("--no-video", action="store_true", help="do not make overlay.mp4")
    command.add_argument("--no-report", action="store_true", help="do not make report.html")
    command.add_argument(
        "--jobs",
        type=_positive,
        default=max(1, core_count() // _JOB_CORES),
        help="processes that share the drives and their pieces (default: one per 8 cores)",
    )
    command.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="share them with a Ray cluster: its address, or the one this machine belongs to",
    )
    command.add_argument(
        "--threads", type=int, default=0, help="CPU threads of each engine (default: all there are)"
    )
    command.add_argument("--model", default=DEFAULT, help=_MODEL_HELP)
    _add_engine(command)
    command.add_argument("--camera", type=Path, help="camera YAML, instead of the drive's camera")
    command.add_argument("--json", type=Path, help="write the figures to this file")
    command.set_defaults(run=_replay)

    command = commands.add_parser("play", help="publish a recorded drive as camera topics")
    _add_drive(command)
    command.add_argument("--rate", type=float, default=1.0, help="times real time (default 1)")
    command.add_argument("--loop", action="store_true", help="start again at the end")
    command.add_argument("--camera", type=Path, help="camera YAML, instead of the drive's camera")
    command.add_argument(
        "--wait", action="store_true", help="wait for a subscriber before the first frame"
    )
    command.add_argument(
        "--preload", action="store_true", help="read every frame into memory before the first"
    )
    command.add_argument("--namespace", default="", help="of the topics, such as /front")
    command.set_defaults(run=_play)

    command = commands.add_parser("demo", help="run node, player and recorder on a drive")
    command.add_argument("drive", nargs="?", default="synthetic", metavar="DRIVE")
    command.add_argument("--topic", default="", help="camera topic of a bag with several")
    command.add_argument("-o", "--out", type=Path, default=Path("out"), help="output folder")
    command.add_argument("--rate", type=float, default=1.0, help="times real time (default 1)")
    command.add_argument("--model", default=DEFAULT, help=_MODEL_HELP)
    command.add_argument("--camera", type=Path, help="camera YAML, instead of the drive's camera")
    command.set_defaults(run=_demo)

    command = commands.add_parser("evaluate", help="score a model on labelled images")
    command.add_argument("model", metavar="MODEL", help=_MODEL_HELP)
    command.add_argument("dataset", type=Path, metavar="DATASET", help="folder of labelled images")
    command.add_argument("--split", default="", help="part of the data set (default val)")
    _add_engine(command)
    command.add_argument("-o", "--out", type=Path, help="folder for confusion.png and worst.png")
    command.add_argument("--replace", action="store_true", help="replace pictures already there")
    command.add_argument("--json", type=Path, help="write the figures to this file")
    command.set_defaults(run=_evaluate)

    command = commands.add_parser("compare", help="put two models or engines side by side")
    for name in "AB":
        command.add_argument(name.lower(), metavar=name, help="MODEL[@RUNTIME[:PRECISION]]")
    _add_drive(command)
    command.add_argument("-o", "--out", type=Path, required=True, help="folder for the outputs")
    command.add_argument("--replace", action="store_true", help="replace outputs already there")
    for name in "ab":
        text = f"label set of {name.upper()}: bundled name or YAML file"
        command.add_argument(f"--labels-{name}", default="", help=text)
    command.add_argument("--json", type=Path, help="write the figures to this file")
    command.set_defaults(run=_compare)

    command = commands.add_parser("attention", help="show what a SegFormer's heads look at")
    command.add_argument(
        "drive", metavar="SOURCE", help="picture, folder of images, video, rosbag2 or 'synthetic'"
    )
    command.add_argument("--topic", default="", help="camera topic of a bag with several")
    command.add_argument("-o", "--out", type=Path, required=True, help="folder for the outputs")
    command.add_argument("--replace", action="store_true", help="replace outputs already there")
    command.add_argument("--model", default=DEFAULT, help=_MODEL_HELP)
    command.add_argument("--labels", default="", help="label set: bundled name or YAML file")
    _add_size(command)
    command.add_argument("--stage", type=int, default=4, help="of the encoder, 1 to 4 (default 4)")
    command.add_argument("--block", type=int, help="of the stage, from 1 (default the last)")
    command.add_argument("--head", type=_head, help="from 1, or all (default all)")
    command.add_argument(
        "--query", metavar="X,Y", help="pixel of the frame (default: mean over all)"
    )
    command.set_defaults(run=_attention)

    command = commands.add_parser("build", help="make a verified engine for this machine")
    command.add_argument("model", metavar="MODEL", help=_MODEL_HELP)
    _add_engine(command)
    command.add_argument(
        "--mask-size",
        default="",
        metavar="HxW",
        help="of the camera: a GPU engine then decides the classes itself (default: the input's)",
    )
    command.add_argument(
        "--frames",
        default=SYNTHETIC,
        metavar="DRIVE",
        help="what the engine is compared with the fp32 reference on (default synthetic)",
    )
    limits = Limits()
    command.add_argument(
        "--min-agreement",
        type=float,
        default=limits.agreement,
        metavar="SHARE",
        help=f"of pixels with the reference's class (default {limits.agreement})",
    )
    command.add_argument(
        "--max-false-free",
        type=float,
        default=limits.false_free,
        metavar="SHARE",
        help=f"of what is not driveable turned driveable (default {limits.false_free})",
    )
    command.add_argument("--json", type=Path, help="write the manifest to this file")
    command.set_defaults(run=_build)

    command = commands.add_parser("models", help="list the models and the engines built of them")
    command.set_defaults(run=_models)
    return parser


_MODEL_HELP = "catalogue name, ONNX file, checkpoint file or folder, or hub name"


def _add_engine(command: argparse.ArgumentParser) -> None:
    command.add_argument("--labels", default="", help="label set: bundled name or YAML file")
    command.add_argument("--runtime", default="auto", choices=RUNTIMES)
    command.add_argument(
        "--precision",
        default="auto",
        choices=PRECISIONS,
        help="auto: the fastest that passes verification",
    )
    _add_size(command)


def _add_size(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--size", default="", metavar="HxW", help="of the network's input (default: the model's)"
    )


def _load(options: argparse.Namespace) -> Segmenter:
    """Open the engine that the options of :func:`_add_engine` and the model ask for."""
    with EngineProgress() as progress:
        return Segmenter.load(
            options.model,
            options.labels,
            options.runtime,
            precision=options.precision,
            input_size=parse_size(options.size),
            report=progress,
        )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _add_drive(command: argparse.ArgumentParser) -> None:
    command.add_argument("drive", metavar="DRIVE", help=_DRIVE_HELP)
    command.add_argument("--topic", default="", help="camera topic of a bag with several")


def _replay(options: argparse.Namespace) -> int:
    _check_json(options.json)
    jobs = _replay_jobs(options)
    with ExitStack() as stack:
        if options.ray is not None:
            from seg_ros.replay.cluster import RayPool

            ray = stack.enter_context(RayPool(options.ray, options.threads, options.runtime))
            results = _replay_spread(jobs, ray, ray.threads)
        elif options.jobs > 1:
            threads = options.threads or max(1, core_count() // options.jobs)
            pool = stack.enter_context(LocalPool(options.jobs))
            results = _replay_spread(jobs, pool, threads)
        else:
            results = [_replay_here(job, f"{i}/{len(jobs)} ") for i, job in enumerate(jobs, 1)]
    told = [{"error": str(r)} if isinstance(r, SegRosError) else r for r in results]
    if options.json:
        single = told[0] if len(jobs) == 1 else None
        _write_json(options.json, single or {"drives": _by_name(jobs, told)})
    if len(jobs) == 1:
        return _say_replay(jobs[0], results[0])
    summary = [{k: v for k, v in values.items() if k != "frames"} for values in told]
    _write_json(options.out / "summary.json", {"drives": _by_name(jobs, summary)})
    print(replay_table([job.out.name for job in jobs], told))
    print(f"each drive has its folder in {options.out}; the table is in summary.json too")
    return int(any(not values.get("finished") for values in told))


def _replay_jobs(options: argparse.Namespace) -> list[ReplayJob]:
    engine = EngineOptions(
        options.model,
        options.labels,
        options.runtime,
        options.precision,
        parse_size(options.size),
        options.threads,
    )
    first = ReplayJob(
        source=options.drive[0],
        out=options.out,
        engine=engine,
        topic=options.topic,
        camera=options.camera,
        options=ReplayOptions(options.mask, not options.no_camera, not options.no_video),
        replace=options.replace,
        resume=options.resume,
        report=not options.no_report,
        command=shlex.join(["seg_ros", *options.arguments]),
        started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    if len(options.drive) == 1:
        return [first]
    names: Counter[str] = Counter()
    jobs = []
    for source in options.drive:
        name = Path(source).stem
        names[name] += 1
        folder = name if names[name] == 1 else f"{name}-{names[name]}"
        jobs.append(replace(first, source=source, out=options.out / folder))
    return jobs


def _replay_here(job: ReplayJob, number: str) -> dict[str, Any] | SegRosError:
    bar = _Bar("replay" if number == "1/1 " else f"{number}{job.out.name}")
    try:
        return run_job(job, bar.start, bar.step, bar.note)
    except SegRosError as error:
        return error
    finally:
        bar.close()


def _replay_spread(
    jobs: list[ReplayJob], pool: Pool, threads: int
) -> list[dict[str, Any] | SegRosError]:
    """Replay on a pool whose workers see files by their absolute paths."""
    engine = replace(jobs[0].engine, threads=threads)
    jobs = [replace(job, out=job.out.absolute(), engine=engine) for job in jobs]
    bar = _Bar("replay")
    try:
        return run_spread(jobs, pool, bar.start, bar.go_to, bar.note)
    finally:
        bar.close()


class _Bar:
    """A progress bar that is there from the first frame on: errors before it are one line."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._bar: tqdm[Any] | None = None

    def start(self, done: int, total: int | None) -> None:
        self._bar = tqdm(total=total, initial=done, unit="frame", desc=self._what)

    def step(self) -> None:
        if self._bar is not None:
            self._bar.update()

    def go_to(self, done: int) -> None:
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    def note(self, note: str) -> None:
        tqdm.write(f"seg_ros replay: {note}", sys.stderr)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _by_name(jobs: list[ReplayJob], values: list[dict[str, Any]]) -> dict[str, Any]:
    return {job.out.name: value for job, value in zip(jobs, values, strict=True)}


def _say_replay(job: ReplayJob, result: dict[str, Any] | SegRosError) -> int:
    """Print what came of a single drive."""
    if isinstance(result, SegRosError):
        raise result
    shown = [(k, v) for k, v in result.items() if isinstance(v, int | float | str) and v != ""]
    rows = [(k.replace("_", " "), f"{v:.2f}" if isinstance(v, float) else str(v)) for k, v in shown]
    print(text_table(rows))
    looks = [
        name for name in ("report.html", "overlay.mp4", "sheet.png") if (job.out / name).exists()
    ]
    print(f"look at {', '.join(looks)} in {job.out}; topics are in {job.out}/result")
    if not result["finished"]:
        raise SegRosError(
            f"{result['problems'][-1]}. The {result['frames_out']} frames before the damage are in "
            f"{job.out}"
        )
    return 0


def _play(options: argparse.Namespace) -> int:
    from seg_ros.ros.play import play

    camera = load_camera(options.camera) if options.camera else None
    drive = open_drive(options.drive, options.topic)
    play(
        drive,
        camera,
        options.rate,
        options.loop,
        options.wait,
        options.preload,
        options.namespace,
    )
    return 0


def _demo(options: argparse.Namespace) -> int:
    from seg_ros.cli.demo import demo

    return demo(
        options.drive, options.topic, options.out, options.rate, options.model, options.camera
    )


def _evaluate(options: argparse.Namespace) -> int:
    folder = OutputFolder(options.out, options.replace, EVALUATION_NAMES) if options.out else None
    segmenter = _load(options)
    dataset = open_dataset(options.dataset, segmenter.labels, options.split)
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
        _write_json(options.json, values)
    if folder:
        write_pictures(evaluation, folder.work)
        folder.publish()
        print(f"look at {options.out}/confusion.png and worst.png")
    return 0


def _attention(options: argparse.Namespace) -> int:
    query = parse_pixel(options.query) if options.query else None
    drive = open_drive(options.drive, options.topic)
    model = find_model(options.model, options.labels)
    network = AttentionNetwork.load(model, options.stage, options.block, parse_size(options.size))
    network.check_head(options.head)
    folder = OutputFolder(options.out, options.replace, ATTENTION_NAMES)
    with tqdm(total=drive.frame_count, unit="frame", desc="attention") as bar:
        figures = attention_of_drive(
            drive,
            network,
            folder,
            options.head,
            query,
            on_frame=bar.update,
            on_bad_frame=lambda message: bar.write(f"seg_ros attention: {message}", sys.stderr),
        )
    print(text_table([(k.replace("_", " "), str(v)) for k, v in asdict(figures).items()]))
    made = [name for name in ATTENTION_NAMES if (options.out / name).exists()]
    print(f"look at {' and '.join(str(options.out / name) for name in made)}")
    return 0


def _head(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor 'all'")
    return int(text)


def _compare(options: argparse.Namespace) -> int:
    drive = open_drive(options.drive, options.topic)
    contenders = Contender.parse(options.a), Contender.parse(options.b)
    folder = OutputFolder(options.out, options.replace, COMPARE_NAMES)
    inputs = checksums(Path(options.drive)) if options.drive != SYNTHETIC else {}
    segmenters = []
    for contender, labels, letter in zip(
        contenders, (options.labels_a, options.labels_b), "AB", strict=True
    ):
        segmenters.append(_open_contender(contender, labels))
        file = find_model(contender.model, labels).path
        inputs |= {f"{letter}: {name}": digest for name, digest in checksums(file).items()}
    about = {
        "command": shlex.join(["seg_ros", *options.arguments]),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "inputs": inputs,
    }
    with tqdm(total=drive.frame_count, unit="frame", desc="compare") as bar:
        comparison = Comparison(
            (contenders[0].name, contenders[1].name),
            (segmenters[0], segmenters[1]),
            drive,
            on_frame=bar.update,
            on_bad_frame=lambda message: bar.write(f"seg_ros compare: {message}", sys.stderr),
        )
        values = comparison.run(folder, about)
    if options.json:
        _write_json(options.json, values)
    print(comparison_table(values))
    print(f"look at {options.out}/compare.html; the video alone is compare.mp4")
    return 0


def _open_contender(contender: Contender, labels: str) -> Segmenter:
    with EngineProgress() as progress:
        return Segmenter.load(
            contender.model,
            labels,
            contender.runtime,
            precision=contender.precision,
            report=progress,
        )


def _check_json(path: Path | None) -> None:
    """See that a file can be written before the work is done, not after."""
    if path is None:
        return
    try:
        existed = path.exists()
        path.open("a").close()
        if not existed:
            path.unlink()
    except OSError as error:
        raise SegRosError(f"cannot write {path}: {error.strerror or error}") from error


def _write_json(path: Path, values: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise SegRosError(f"cannot write {path}: {error.strerror or error}") from error


def _build(options: argparse.Namespace) -> int:
    model = find_model(options.model, options.labels)
    runtime = options.runtime if options.runtime != "auto" else available_runtimes()[0]
    wish = Wish(runtime, options.precision, parse_size(options.size), parse_size(options.mask_size))
    check = Check(
        options.frames,
        lambda: choose_frames(open_drive(options.frames), FRAMES),
        Segmenter,
        Limits(options.min_agreement, options.max_false_free),
    )
    with TemporaryDirectory(prefix="seg_ros-") as work, EngineProgress() as progress:
        network = Network(model, Path(work), wish.input_size)
        built = build(network, wish, check, report=progress)
    manifest = built.entry.manifest
    if options.json:
        _write_json(options.json, dict(manifest))
    print(text_table(engine_rows(manifest)))
    print(f"stored in {built.entry.folder}")
    return 0


def _models(_: argparse.Namespace) -> int:
    rows = [
        (f"{entry.name}{' (default)' if entry.is_default else ''}", entry.summary)
        for entry in catalogue()
    ]
    print(text_table(rows))
    store = EngineStore()
    print(f"\nengines in {store.folder}")
    for folder, manifest in store.manifests():
        print(f"\n{folder.name}")
        if isinstance(manifest, str):
            print(f"  not usable: {manifest}")
        else:
            print(text_table(engine_rows(manifest)))
    return 0
