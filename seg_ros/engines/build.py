"""A model becomes a verified engine in the engine store, and an engine of the store is opened."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_ros.engines import Engine, Platform, available_runtimes, platform, precisions
from seg_ros.engines.store import EngineKey, EngineMissingError, EngineStore, Entry
from seg_ros.engines.verify import Decider, Limits, Verification, verify
from seg_ros.errors import SegRosError
from seg_ros.models.catalogue import Form, Model
from seg_ros.models.network import Network
from seg_ros.support.choices import PRECISIONS, RUNTIMES

Report = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done, 0 to 1; NaN: not known."""


_ROUNDED = 5e-3
"""What the sum of probabilities may be off by, of a network in half precision."""


def _silent(_: str, __: float) -> None:
    pass


@dataclass(frozen=True)
class Wish:
    """Which engine somebody wants."""

    runtime: str = "auto"
    """One of :data:`seg_ros.support.choices.RUNTIMES`."""
    precision: str = "auto"
    """One of :data:`seg_ros.support.choices.PRECISIONS`; ``auto``: the fastest that passes."""
    input_size: tuple[int, int] | None = None
    """(H, W) of the network's input in pixels; None: the model's own."""
    mask_size: tuple[int, int] | None = None
    """(H, W) of the mask that a GPU engine decides itself; None: the input's. The camera's is best:
    masks of another size are decided on the CPU from the logits."""
    threads: int = 0
    """CPU threads, 0 for all cores."""


@dataclass(frozen=True)
class Check:
    """What a new engine is compared on, and how much it may differ."""

    source: str
    """The drive the frames are of, for people."""
    frames: Callable[[], Sequence[NDArray[np.uint8]]]
    """Gives them when they are needed, (H, W, 3) uint8 BGR each."""
    decider: Callable[[Engine, Network], Decider]
    """Decides classes with an engine that runs a network."""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Opened:
    """An engine, ready."""

    engine: Engine
    verification: str
    """How it compares with the reference; empty for a shipped network that is run as it is."""
    confident: bool = True
    """Whether its answers say how sure the network is."""


def open_engine(
    model: Model,
    wish: Wish | None = None,
    check: Check | None = None,
    store: EngineStore | None = None,
    report: Report = _silent,
) -> Opened:
    """Open the engine wanted: from the store, or built now where there is a check for it.

    With runtime ``auto`` that is the fastest runtime of this machine that has a verified engine or
    may build one. The networks that come with the package need none on OpenVINO: their files are
    run as they are.

    Raises:
        SegRosError: the runtime or the model cannot be used here, or there is no engine of it and
            none may be built or none passes.

    """
    wish, store = wish or Wish(), store or EngineStore()
    _check(wish)
    runtimes: tuple[str, ...] = (wish.runtime,)
    if wish.runtime == "auto":
        runtimes = available_runtimes()
        if "openvino" in runtimes or model.form is not Form.CHECKPOINT:
            # What is wrong on one CPU runtime is the model's fault: said once, not twice.
            runtimes = tuple(r for r in runtimes if r != "torch")
    problems: list[str] = []
    for runtime in runtimes or ("openvino",):
        try:
            return _open(model, replace(wish, runtime=runtime), check, store, report)
        except SegRosError as error:
            if len(runtimes) < 2:
                raise
            problems.append(f"{runtime}: {error}")
            report(f"not on {runtime}: {error}", math.nan)
    raise SegRosError(f"no runtime of this machine runs {model.name}. {'. '.join(problems)}")


def _check(wish: Wish) -> None:
    if wish.runtime not in RUNTIMES:
        raise SegRosError(f"runtime {wish.runtime!r} is unknown; use one of {', '.join(RUNTIMES)}")
    if wish.precision not in PRECISIONS:
        raise SegRosError(
            f"precision {wish.precision!r} is unknown; use one of {', '.join(PRECISIONS)}"
        )


def _check_form(model: Model, wish: Wish) -> None:
    if wish.runtime == "torch" and model.form is not Form.CHECKPOINT:
        raise SegRosError(
            f"{model.path}: torch cannot run an ONNX network; use another runtime, or give the "
            "checkpoint it was made from"
        )


def _open(
    model: Model, wish: Wish, check: Check | None, store: EngineStore, report: Report
) -> Opened:
    machine = platform(wish.runtime)
    if runs_as_it_is(model, wish):
        from seg_ros.engines.openvino import OpenVinoEngine

        return Opened(OpenVinoEngine(model.path, wish.threads), "")
    _check_form(model, wish)
    with tempfile.TemporaryDirectory(prefix="seg_ros-") as work:
        network = Network(model, Path(work), wish.input_size)
        try:
            built = _load(network, wish, machine, store)
        except EngineMissingError as error:
            if check is None:
                raise SegRosError(
                    f"{error}; run 'seg_ros build {model.path} --runtime {wish.runtime}', or set "
                    "build_if_missing"
                ) from error
            report(str(error), math.nan)
            built = build(network, wish, check, store, reuse=True, report=report)
        confident = bool(built.entry.manifest.get("confident", True))
        return Opened(built.engine, built.entry.summary, confident)


def _load(network: Network, wish: Wish, machine: Platform, store: EngineStore) -> Built:
    """Open the fastest engine in the store, if it is good.

    Raises:
        EngineMissingError: there is none, or the fastest is not to be used.

    """
    reasons = []
    for precision in _candidates(wish, machine):
        key = _key(network, wish, precision, machine)
        try:
            entry = store.load(key)
            return Built(entry, _start(entry.plan, key, network, wish.threads, store))
        except EngineMissingError as error:  # perhaps it was refused, and a safer one was stored
            reasons.append(str(error))
        except SegRosError as error:
            raise EngineMissingError(str(error)) from error
    raise EngineMissingError("; ".join(reasons))


def runs_as_it_is(model: Model, wish: Wish) -> bool:
    """Whether OpenVINO runs a model's file without an engine: only what came with the package."""
    return (
        wish.runtime == "openvino"
        and model.shipped
        and wish.input_size is None
        and wish.precision in ("auto", "fp32")
    )


@dataclass(frozen=True)
class Built:
    """An engine that passed verification, ready."""

    entry: Entry
    engine: Engine


def build(
    network: Network,
    wish: Wish,
    check: Check,
    store: EngineStore | None = None,
    reuse: bool = False,
    report: Report = _silent,
) -> Built:
    """Build an engine, compare it with the fp32 reference, and store it if it passes.

    With precision ``auto`` the next safer precision is tried when one does not pass.

    Args:
        network: what to build.
        wish: runtime, not ``auto``; precision; sizes.
        check: what it is verified on.
        store: where it is kept; an entry of the same key is replaced.
        reuse: take an engine that another process stored meanwhile.
        report: called with the progress.

    Raises:
        SegRosError: it cannot be built here, or no precision passes; the message has the figures.

    """
    store = store or EngineStore()
    machine = platform(wish.runtime)
    _check_form(network.model, wish)
    candidates = _candidates(wish, machine)
    with store.lock(network.sha256):
        if reuse:
            with suppress(EngineMissingError):
                return _load(network, wish, machine, store)
        reference = _reference(network, wish.runtime, check, report)  # what is broken fails here
        report(f"reading frames of {check.source}", 0.0)
        frames = check.frames()
        if network.model.form is not Form.CHECKPOINT and _are_probabilities(
            reference, frames, network.model.options.threshold
        ):
            report("its output is probabilities, as its values show: their logarithm is taken", 0.0)
            network.take_for_probabilities()
            reference = _reference(network, wish.runtime, check, report)
        refused: dict[str, str] = {}
        for precision in candidates:
            key = _key(network, wish, precision, machine)
            start = time.monotonic()
            try:
                plan = _make_plan(network, key, store, report)
                engine = _start(plan, key, network, wish.threads, store)
                judged = check.decider(engine, network)
                verdict = verify(judged, reference, frames, check.source, check.limits, report)
                if verdict.problems:
                    raise SegRosError("; ".join(verdict.problems))
            except SegRosError as error:
                refused[precision] = str(error)
                report(f"{precision} is refused: {error}", 1.0)
                continue
            facts = _facts(network, verdict, refused, time.monotonic() - start)
            return Built(store.save(network.model.name, key, plan, facts), engine)
    raise SegRosError(
        f"{network.model.name}: no engine of {wish.runtime} passes verification on {check.source} ("
        + "; ".join(f"{precision}: {why}" for precision, why in refused.items())
        + "). Nothing was stored; use a safer precision, or another runtime"
    )


def _candidates(wish: Wish, machine: Platform) -> tuple[str, ...]:
    if wish.precision == "auto":
        return precisions(machine)
    if wish.runtime == "openvino" and wish.precision != "fp32":
        raise SegRosError(
            f"openvino runs networks in fp32 here, not in {wish.precision}; use precision fp32"
        )
    return (wish.precision,)


def _key(network: Network, wish: Wish, precision: str, machine: Platform) -> EngineKey:
    # On the CPU the exact decision at the frame's own size is as fast as a resize in the graph.
    mask_size = (wish.mask_size or network.input_size) if machine.device else None
    return EngineKey(network.sha256, network.input_size, mask_size, precision, machine)


def _make_plan(network: Network, key: EngineKey, store: EngineStore, report: Report) -> bytes:
    """Make what the runtime deserialises; nothing for torch, whose plan is the checkpoint."""
    runtime = key.platform.runtime
    if runtime == "torch":
        return b""
    path = network.onnx(report)
    if runtime == "openvino":
        return path.read_bytes()
    from seg_ros.engines.tensorrt_build import build_plan
    from seg_ros.models.precision import write_mixed

    mixed = path.with_name(f"{path.stem}-{key.precision}.onnx")
    write_mixed(path, mixed, key.precision, key.mask_size)
    timings = store.scratch(f"{runtime}-{key.platform.version}.timings")
    return build_plan(mixed, runtime, report, timings)


def _start(
    plan: bytes, key: EngineKey, network: Network, threads: int, store: EngineStore
) -> Engine:
    if key.platform.runtime == "openvino":
        from seg_ros.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(plan, threads)
    if key.platform.runtime == "torch":
        from seg_ros.engines.torch import TorchEngine

        return TorchEngine(network.torch(), network.input_size, key.precision, threads=threads)
    from seg_ros.engines.tensorrt import TensorRtEngine

    return TensorRtEngine(plan, key.platform.runtime, store.scratch(f"{key.digest}.kernels"))


def _reference(network: Network, runtime: str, check: Check, report: Report) -> Decider:
    """Open the fp32 reference: torch for a checkpoint, else a runtime that is not the one built.

    An engine is never compared with itself.
    """
    report("opening the reference", 0.0)
    engine: Engine
    if network.model.form is Form.CHECKPOINT:
        module = network.torch(report)  # first: it says what to install where torch is missing
        from seg_ros.engines.torch import TorchEngine

        engine = TorchEngine(module, network.input_size, "fp32", device="cpu")
    elif find_spec("onnxruntime") is not None:
        from seg_ros.engines.onnxruntime import OnnxRuntimeEngine

        engine = OnnxRuntimeEngine(network.onnx(report))
    elif runtime != "openvino" and find_spec("openvino") is not None:
        from seg_ros.engines.openvino import OpenVinoEngine

        engine = OpenVinoEngine(network.onnx(report))
    else:
        raise SegRosError(
            "there is nothing to verify the engine against; pip install 'seg_ros[export]'"
        )
    return check.decider(engine, network)


def _are_probabilities(
    reference: Decider, frames: Sequence[NDArray[np.uint8]], threshold: float | None
) -> bool:
    """Tell by an answer's values that it is no logits, where nothing in the network says so.

    Probabilities are not negative and sum to 1 in every pixel; of one channel, whose classes a
    threshold makes, all are between 0 and 1.
    """
    for frame in frames:
        logits = reference.segment(frame).inference.logits()
        if threshold is not None:
            score = logits[1] - logits[0] + math.log(threshold / (1 - threshold))
            likely = score.min() > -_ROUNDED and score.max() < 1 + _ROUNDED
        else:
            likely = logits.min() >= 0 and np.abs(logits.sum(0) - 1).max() < _ROUNDED
        if not likely:
            return False
    return True


def _facts(
    network: Network, verdict: Verification, refused: Mapping[str, str], seconds: float
) -> dict[str, Any]:
    flops = network.flops
    return {
        "model": network.model.name,
        "source": str(network.model.path),
        "labels": [{**asdict(label), "kind": label.kind.value} for label in network.labels.classes],
        "flops": None if flops is None else {"unfolded": flops[0], "folded": flops[1]},
        "confident": network.confident,
        "verification": verdict.as_dict(),
        "refused": dict(refused),
        "build_seconds": round(seconds, 1),
    }


def engine_rows(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Tell what a manifest says, as rows for a table."""
    key, verdict = manifest["key"], manifest["verification"]
    machine, flops = key["platform"], manifest["flops"]
    ious = [(value, name) for name, value in verdict["iou"].items() if value is not None]
    lowest, worst = min(ious)
    rows = [
        ("model", f"{manifest['model']}, input {'x'.join(map(str, key['input_size']))}"),
        ("engine", f"{machine['runtime']} {machine['version']} {key['precision']}"),
    ]
    if machine["device"]:
        rows.append(("device", f"{machine['device']}, {machine['compute_capability']}"))
    if key["mask_size"]:
        rows.append(("decides classes at", "x".join(map(str, key["mask_size"]))))
    if flops:
        before, after = flops["unfolded"] / 1e9, flops["folded"] / 1e9
        rows.append(("GFLOPs", f"{before:.1f} before folding, {after:.1f} after"))
    rows += [
        (
            "compared with",
            f"{verdict['reference']}, {verdict['frames']} frames, {verdict['source']}",
        ),
        ("agreement", f"{100 * verdict['agreement']:.4f} % of {verdict['pixels']} pixels"),
        ("lowest class IoU", f"{100 * lowest:.3f} % ({worst})"),
        (
            "largest region",
            f"{verdict['largest_region_px']} px {verdict['largest_region_at']}".strip(),
        ),
        ("false free", f"{100 * verdict['false_free']:.4f} %"),
        ("logits within", f"{verdict['logit_difference']:.3g}"),
        (
            "size",
            f"{manifest['plan']['bytes'] / 1e6:.1f} MB, built in {manifest['build_seconds']} s",
        ),
    ]
    rows += [(f"{name} refused", why) for name, why in manifest["refused"].items()]
    return rows
