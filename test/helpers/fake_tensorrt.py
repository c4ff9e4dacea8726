"""A stand-in for the Python packages of TensorRT that has the names of one version and computes.

Its plans hold the ONNX they were built from, and running one runs that ONNX with OpenVINO, on the
memory of :mod:`fake_cuda` and in its time. Names and numbers come from the recorded API of a
version; without one, everything that this stand-in can do is there.
"""

from __future__ import annotations

import enum
import json
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")

import openvino as ov
from fake_cuda import FakeCuda, Fault

API = Path(__file__).parents[3] / "shared" / "tensorrt-api"
VERSIONS = ("10.3.0", "10.13.3.9", "11.0.0.114", "11.4.0.106", "rtx-1.7.1")
MAGIC = b"fake plan of "

_ENUMS: dict[str, dict[str, int]] = {
    "DataType": {"FLOAT": 0, "HALF": 1, "INT32": 3, "UINT8": 5, "BF16": 7, "INT64": 8},
    "TensorIOMode": {"NONE": 0, "INPUT": 1, "OUTPUT": 2},
    "TensorFormat": {"LINEAR": 0, "CHW2": 1},
    "BuilderFlag": {"TF32": 6},
    "NetworkDefinitionCreationFlag": {"STRONGLY_TYPED": 0},
}
_ONNX_TYPES = {
    onnx.TensorProto.FLOAT: "FLOAT",
    onnx.TensorProto.FLOAT16: "HALF",
    onnx.TensorProto.BFLOAT16: "BF16",
    onnx.TensorProto.UINT8: "UINT8",
    onnx.TensorProto.INT64: "INT64",
}
_NUMPY = {"FLOAT": np.float32, "HALF": np.float16, "UINT8": np.uint8}


def recorded_api(version: str) -> dict[str, Any] | None:
    """The recorded names of a version; None where the recording is not on this machine."""
    path = API / f"{version}.json"
    return json.loads(path.read_text()) if path.is_file() else None


class Limited:
    """An object of which only the recorded names can be reached."""

    def __init__(self, inner: Any, names: Any, what: str) -> None:
        object.__setattr__(self, "_limit", (inner, names, what))

    def _reach(self, name: str) -> Any:
        inner, names, what = object.__getattribute__(self, "_limit")
        if names is not None and name not in names and not name.startswith("__"):
            raise AttributeError(f"{what} has no {name}")
        return inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reach(name), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._reach(name), name, value)


def unwrap(thing: Any) -> Any:
    return object.__getattribute__(thing, "_limit")[0] if isinstance(thing, Limited) else thing


class _Logger:
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class _Monitor:
    pass


class FakeTensorRt:
    """The module; put ``module`` into ``sys.modules``.

    Attributes:
        events: what was destroyed, in order; shared with the CUDA stand-in.
        dtypes: per tensor, another type than the network has, as a wrongly built engine has it.
        refuse: the plan is not loaded, and this is what TensorRT says.
        validity: what ``get_engine_validity`` answers.

    """

    def __init__(
        self, cuda: FakeCuda, version: str = "10.3.0", api: dict[str, Any] | None = None
    ) -> None:
        self.cuda = cuda
        self.api = api
        self.rtx = version.startswith("rtx")
        self.version = version.removeprefix("rtx-")
        self.dtypes: dict[str, str] = {}
        self.refuse = ""
        self.validity: tuple[Any, int] | None = None
        self.uncapturable = False
        self.graph_strategy: Any = None
        self.kernels: bytes | None = None  # what the runtime cache was filled with
        self.targets: list[Any] = []
        enums = dict(_ENUMS)
        if self.rtx:
            enums["CudaGraphStrategy"] = {"DISABLED": 0, "WHOLE_GRAPH_CAPTURE": 1}
            enums["EngineValidity"] = {"VALID": 0, "SUBOPTIMAL": 1, "INVALID": 2}
            enums["EngineInvalidityDiagnostics"] = {"VERSION_MISMATCH": 1, "UNSUPPORTED_CC": 2}
            enums["ComputeCapability"] = {"NONE": 0, "CURRENT": 1, "SM86": 86, "SM120": 120}
        for name in enums:
            if api is not None and name in api:
                enums[name] = api[name]
        self.enums: dict[str, Any] = {
            name: enum.IntEnum(name, members)  # type: ignore[misc]
            for name, members in enums.items()
        }
        self.module = Limited(_Module(self), api, f"tensorrt {version}")

    def limit(self, inner: Any, name: str) -> Any:
        names = None if self.api is None else self.api[name]
        return Limited(inner, names, f"{name} of tensorrt {self.version}")


class _Module:
    def __init__(self, fake: FakeTensorRt) -> None:
        self.__version__ = fake.version
        self.ILogger = _Logger
        self.IProgressMonitor = _Monitor
        self.__dict__.update(fake.enums)
        if fake.rtx:
            self.IRuntimeCache = _RuntimeCache
        self.Runtime = lambda logger: fake.limit(_Runtime(fake, logger), "Runtime")
        self.Builder = lambda logger: fake.limit(_Builder(fake, logger), "Builder")
        self.OnnxParser = lambda network, _logger: fake.limit(
            _Parser(fake, unwrap(network)), "OnnxParser"
        )


def _goodbye(fake: FakeTensorRt, thing: Any, name: str) -> None:
    weakref.finalize(thing, fake.cuda.events.append, name).atexit = False


# Building


class _Builder:
    def __init__(self, fake: FakeTensorRt, logger: Any) -> None:
        self._fake, self._logger = fake, logger

    def create_builder_config(self) -> Any:
        return self._fake.limit(_Config(self._fake), "IBuilderConfig")

    def create_network(self, flags: int) -> Any:
        bit = self._fake.enums["NetworkDefinitionCreationFlag"].STRONGLY_TYPED
        assert flags == 1 << bit, "the network is not strongly typed"
        return self._fake.limit(_Network(self._fake), "INetworkDefinition")

    def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
        network, monitor = unwrap(network), unwrap(config).progress_monitor
        monitor.phase_start("Building", None, 2)
        monitor.phase_start("Timing", "Building", 4)
        for step in range(4):
            if not monitor.step_complete("Timing", step):
                self._logger.log(_Logger.ERROR, "Build canceled by user")
                return None
        monitor.phase_finish("Timing")
        monitor.step_complete("Building", 0)
        monitor.step_complete("Building", 1)
        monitor.phase_finish("Building")
        model = network.model
        model.graph.name = network.name
        return MAGIC + self._fake.version.encode() + b"\n" + model.SerializeToString()


class _Config:
    def __init__(self, fake: FakeTensorRt) -> None:
        self._fake = fake
        self.cleared: list[Any] = []
        self.progress_monitor: Any = None
        self.num_compute_capabilities = 0

    def clear_flag(self, flag: Any) -> None:
        self.cleared.append(flag)

    def set_compute_capability(self, target: Any, index: int) -> bool:
        assert index < self.num_compute_capabilities
        self._fake.targets.append(target)
        return True

    def create_timing_cache(self, data: bytes) -> Any:
        return self._fake.limit(_Timings(data), "ITimingCache")

    def set_timing_cache(self, timings: Any, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        return unwrap(timings).data in (b"", b"timings")


class _Timings:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def serialize(self) -> bytes:
        return b"timings"


class _Network:
    def __init__(self, fake: FakeTensorRt) -> None:
        self._fake = fake
        self.name = "Unnamed Network 0"
        self.model: Any = None
        self._dtypes: list[str] = []

    def parsed(self, model: onnx.ModelProto) -> None:
        self.model = model
        inferred = onnx.shape_inference.infer_shapes(model)
        types = {v.name: v.type.tensor_type.elem_type for v in inferred.graph.value_info}
        for node in model.graph.node:
            self._dtypes.append(_ONNX_TYPES.get(types.get(node.output[0], 1), "FLOAT"))

    @property
    def num_layers(self) -> int:
        return len(self._dtypes)

    def get_layer(self, index: int) -> Any:
        return self._fake.limit(_Layer(self._fake, self._dtypes[index]), "ILayer")


class _Layer:
    def __init__(self, fake: FakeTensorRt, dtype: str) -> None:
        self._fake, self._dtype = fake, dtype

    def get_output(self, _index: int) -> Any:
        tensor = type("Tensor", (), {"dtype": self._fake.enums["DataType"][self._dtype]})()
        return self._fake.limit(tensor, "ITensor")


class _Parser:
    def __init__(self, fake: FakeTensorRt, network: _Network) -> None:
        self._fake, self._network = fake, network
        self._errors: list[tuple[str, str, str]] = []

    def parse_from_file(self, path: str) -> bool:
        model = onnx.load(path)
        self._errors = [
            ("no importer\nfor it", node.name, node.op_type)
            for node in model.graph.node
            if node.domain
        ]
        if not self._errors:
            self._network.parsed(model)
        return not self._errors

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> Any:
        desc, name, operator = self._errors[index]
        error = type(
            "Error",
            (),
            {
                "desc": lambda _: desc,
                "node_name": lambda _: name,
                "node_operator": lambda _: operator,
            },
        )()
        return self._fake.limit(error, "ParserError")


# Running


class _Runtime:
    def __init__(self, fake: FakeTensorRt, logger: Any) -> None:
        self._fake, self._logger = fake, logger
        _goodbye(fake, self, "runtime")

    def get_engine_validity(self, plan: bytes) -> tuple[Any, int]:
        assert plan.startswith(MAGIC)
        return self._fake.validity or (self._fake.enums["EngineValidity"].VALID, 0)

    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        head, _, onnx_bytes = plan.partition(b"\n")
        if self._fake.refuse or head != MAGIC + self._fake.version.encode():
            self._logger.log(_Logger.ERROR, self._fake.refuse or "another\nversion")
            self._logger.log(_Logger.ERROR, "what follows from it")
            return None
        return self._fake.limit(_Engine(self._fake, onnx_bytes), "ICudaEngine")


class _Engine:
    def __init__(self, fake: FakeTensorRt, onnx_bytes: bytes) -> None:
        self._fake = fake
        self._model = onnx.load_from_string(onnx_bytes)
        self.name = self._model.graph.name
        self._tensors = [*self._model.graph.input, *self._model.graph.output]
        self.num_io_tensors = len(self._tensors)
        core = ov.Core()
        self.compiled = core.compile_model(
            core.read_model(onnx_bytes), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        _goodbye(fake, self, "engine")

    def _value(self, name: str) -> onnx.ValueInfoProto:
        return next(value for value in self._tensors if value.name == name)

    def get_tensor_name(self, index: int) -> str:
        return self._tensors[index].name

    def get_tensor_dtype(self, name: str) -> Any:
        kind = _ONNX_TYPES[self._value(name).type.tensor_type.elem_type]
        return self._fake.enums["DataType"][self._fake.dtypes.get(name, kind)]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(d.dim_value for d in self._value(name).type.tensor_type.shape.dim)

    def get_tensor_format(self, name: str) -> Any:
        return self._fake.enums["TensorFormat"].LINEAR

    def get_tensor_mode(self, name: str) -> Any:
        modes = self._fake.enums["TensorIOMode"]
        return modes.INPUT if name == self._model.graph.input[0].name else modes.OUTPUT

    def create_runtime_config(self) -> Any:
        return self._fake.limit(_RuntimeConfig(self._fake), "IRuntimeConfig")

    def create_execution_context(self, config: Any = None) -> Any:
        if config is not None:
            self._fake.graph_strategy = unwrap(config).cuda_graph_strategy
        return self._fake.limit(_Context(self._fake, self), "IExecutionContext")


class _RuntimeConfig:
    def __init__(self, fake: FakeTensorRt) -> None:
        self._fake = fake
        self.cuda_graph_strategy: Any = None

    def create_runtime_cache(self) -> Any:
        return self._fake.limit(_RuntimeCache(self._fake), "IRuntimeCache")

    def set_runtime_cache(self, _cache: Any) -> bool:
        return True


class _RuntimeCache:
    def __init__(self, fake: FakeTensorRt) -> None:
        self._fake = fake
        _goodbye(fake, self, "cache")

    def deserialize(self, blob: bytes) -> bool:
        self._fake.kernels = blob
        return blob == b"kernels"

    def serialize(self) -> bytes:
        return b"kernels"


class _Context:
    def __init__(self, fake: FakeTensorRt, engine: _Engine) -> None:
        self._fake, self._engine = fake, engine
        self._addresses: dict[str, int] = {}
        self._runs = 0
        _goodbye(fake, self, "context")

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = int(address)
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        stream = self._fake.cuda.streams[stream_handle]
        if stream.recording is not None and (self._runs == 0 or self._fake.uncapturable):
            stream.spoilt = True  # the first run allocates, which cannot be recorded
            return False
        self._runs += 1
        engine, addresses = self._engine, dict(self._addresses)
        stream.put(lambda: self._run(engine, addresses))
        return True

    def _run(self, engine: _Engine, addresses: dict[str, int]) -> None:
        if sorted(addresses) != sorted(value.name for value in engine._tensors):
            raise Fault("a tensor has no address")
        image = engine._tensors[0].name
        array = self._memory(engine, addresses, image)
        answers = engine.compiled({image: array.copy()})
        for value in engine._tensors[1:]:
            target = self._memory(engine, addresses, value.name)
            target[...] = answers[value.name].astype(target.dtype)

    def _memory(self, engine: _Engine, addresses: dict[str, int], name: str) -> np.ndarray:
        shape = engine.get_tensor_shape(name)
        dtype = np.dtype(_NUMPY[engine.get_tensor_dtype(name).name])
        size = int(np.prod(shape)) * dtype.itemsize
        return self._fake.cuda.on_gpu(addresses[name], size).view(dtype).reshape(shape)
