"""Every name of TensorRT that the code uses exists in every version, or is asked for first.

The code is read, not run: each expression is followed from the module ``trt`` and from what is
annotated as ``tensorrt.Something`` to the names reached from it, once per recorded version. A
block behind ``hasattr(thing, "name")`` is read only for the versions that have the name. An object
that TensorRT returns must be bound to an annotated variable before something of it is used, so
that nothing escapes.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from fake_tensorrt import VERSIONS, recorded_api

import seg_ros.engines

ENGINES = Path(seg_ros.engines.__file__).parent
FILES = ("tensorrt.py", "tensorrt_build.py")
MODULE = "the module"
ENUM_VALUE = {"name", "value"}


def apis():
    found = {version: recorded_api(version) for version in VERSIONS}
    if None in found.values():
        pytest.skip("the recorded APIs of TensorRT are not on this machine")
    return found


class Reader(ast.NodeVisitor):
    """Reads one file as one version would run it; what it finds wrong is in ``wrong``."""

    def __init__(self, tree: ast.AST, api: dict[str, Any], every: dict[str, Any]) -> None:
        self.api, self.every = api, every
        self.wrong: list[str] = []
        self.used: set[str] = set()
        self.scopes: list[dict[str, str | None]] = [{}]
        self.declared: set[str] = set()  # names of this scope whose annotation holds
        # Types of our own objects' attributes: `self.engine: tensorrt.ICudaEngine`.
        self.attributes = {
            node.target.attr: kind
            for node in ast.walk(tree)
            if isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Attribute)
            and (kind := annotated(node.annotation))
        } | {
            statement.target.id: kind
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
            for statement in node.body
            if isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and (kind := annotated(statement.annotation))
        }
        # Own functions that return something of TensorRT's.
        self.functions = {
            node.name: kind
            for own in (tree, *(ast.parse(source_of(file)) for file in FILES))
            for node in ast.walk(own)
            if isinstance(node, ast.FunctionDef) and (kind := annotated(node.returns))
        }
        self.visit(tree)

    def complain(self, node: ast.AST, text: str) -> None:
        self.wrong.append(f"line {node.lineno}: {text}")  # type: ignore[attr-defined]

    def members(self, kind: str) -> Any:
        """Names that a module, class or enum has in this version."""
        return self.api if kind == MODULE else self.api.get(kind.removeprefix("class "), ())

    def kind(self, node: ast.AST) -> str | None:
        """What an expression is: the module, "class X", "X" (an object), "result", or nothing."""
        if isinstance(node, ast.Name):
            for scope in reversed(self.scopes):
                if node.id in scope:
                    return scope[node.id]
            if node.id == "trt":
                self.complain(node, "trt is not annotated as a module")
            return None
        if isinstance(node, ast.Attribute):
            base = self.kind(node.value)
            if base is None:
                return self.attributes.get(node.attr)
            return self.reach(node, base, node.attr)
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in self.functions:
                return self.functions[node.func.id]
            made = self.kind(node.func)
            if made is None:
                return None
            return made.removeprefix("class ") if made.startswith("class ") else "result"
        return None

    def reach(self, node: ast.AST, base: str, name: str) -> str | None:
        if base == "result":
            self.complain(node, f".{name} of something TensorRT returned: annotate it first")
            return None
        if name.startswith("__"):
            return None
        if base == MODULE:
            self.used.add(name)
            if name not in self.api:
                self.complain(node, f"no {name}")
            return f"class {name}"
        own = base.removeprefix("class ")
        if own not in self.api:
            self.complain(node, f"no {own}")
            return None
        self.used.add(f"{own}.{name}")
        if name not in self.members(base):
            is_enum = isinstance(self.api[own], dict)
            if not (is_enum and not base.startswith("class ") and name in ENUM_VALUE):
                self.complain(node, f"{own} has no {name}")
        return "result" if not isinstance(self.api[own], dict) else None

    # Where names come from

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        self.scopes.append({a.arg: annotated(a.annotation) for a in arguments})
        outer, self.declared = self.declared, set()
        self.generic_visit(node)
        self.scopes.pop()
        self.declared = outer

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for base in node.bases:
            kind = self.kind(base)
            if kind is not None:  # what it overrides must be there to be overridden
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                        self.reach(method, kind, method.name)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.scopes[-1][node.target.id] = annotated(node.annotation)
            self.declared.add(node.target.id)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        kind = self.kind(node.value)
        for target in node.targets:
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            for name in names:
                if isinstance(name, ast.Name) and name.id not in self.declared:
                    self.scopes[-1][name.id] = kind
        self.generic_visit(node)

    # Where names are used

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.kind(node)
        if not isinstance(node.value, ast.Attribute):  # else kind() has been there
            self.visit(node.value)

    def visit_If(self, node: ast.If) -> None:
        asked = self.asked(node.test)
        self.visit(node.test)
        for statement in node.body if asked is not False else ():
            self.visit(statement)
        for statement in node.orelse if asked is not True else ():
            self.visit(statement)

    def asked(self, test: ast.AST) -> bool | None:
        """What `hasattr(thing of TensorRT, "name")` gives in this version."""
        if not (isinstance(test, ast.Call) and isinstance(test.func, ast.Name)):
            return None
        if test.func.id != "hasattr" or (kind := self.kind(test.args[0])) is None:
            return None
        return self.exists_somewhere(test, kind) in self.members(kind)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in ("hasattr", "getattr"):
            kind = self.kind(node.args[0])
            if kind is not None:
                self.exists_somewhere(node, kind)
        self.generic_visit(node)

    def exists_somewhere(self, call: ast.Call, kind: str) -> str:
        """The name asked for; one that no version has is a slip of the pen."""
        assert isinstance(call.args[1], ast.Constant)
        name = str(call.args[1].value)
        own = kind.removeprefix("class ")
        if not any(
            name in (api if kind == MODULE else api.get(own, ())) for api in self.every.values()
        ):
            self.complain(call, f"no version has {own}.{name}")
        return name


def annotated(annotation: ast.AST | None) -> str | None:
    """The kind that an annotation gives: `ModuleType`, or a class of `tensorrt`."""
    if isinstance(annotation, ast.Name) and annotation.id == "ModuleType":
        return MODULE
    if isinstance(annotation, ast.Attribute) and isinstance(annotation.value, ast.Name):
        return annotation.attr if annotation.value.id == "tensorrt" else None
    return None


def read(source: str, version: str) -> Reader:
    every = apis()
    return Reader(ast.parse(source), every[version], every)


def source_of(file: str) -> str:
    return (ENGINES / file).read_text()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", FILES)
def test_every_name_is_there(file, version):
    reader = read(source_of(file), version)
    assert reader.wrong == []


def test_the_reader_finds_what_the_code_uses():
    used = set.union(*(read(source_of(file), "rtx-1.7.1").used for file in FILES))
    assert used >= {
        "Builder", "BuilderFlag.TF32", "ILogger.WARNING", "ILogger.log", "Builder.create_network",
        "NetworkDefinitionCreationFlag.STRONGLY_TYPED", "OnnxParser.parse_from_file",
        "ParserError.desc", "IProgressMonitor.step_complete", "IBuilderConfig.progress_monitor",
        "Runtime.deserialize_cuda_engine", "Runtime.get_engine_validity",
        "ICudaEngine.get_tensor_dtype", "ICudaEngine.create_runtime_config", "ICudaEngine.name",
        "IExecutionContext.execute_async_v3", "IExecutionContext.set_tensor_address",
        "IRuntimeConfig.cuda_graph_strategy", "CudaGraphStrategy.WHOLE_GRAPH_CAPTURE",
        "IRuntimeCache.serialize", "DataType.UINT8", "ITimingCache.serialize",
    }  # fmt: skip
    text = "".join(source_of(file) for file in FILES)
    written = set(re.findall(r"\btrt\.([A-Za-z]+)", text))
    assert written == {name for name in used if "." not in name}


@pytest.mark.parametrize(
    ("written", "instead", "missing_in"),
    [
        # A method, an enum's member, a class and a flag that only later or earlier versions have.
        ("engine.get_tensor_format(name)", "engine.get_engine_stat(name)", "10.3.0"),
        ("trt.DataType.FLOAT:", "trt.DataType.E8M0:", "10.3.0"),
        ("trt.ILogger.WARNING", "trt.Severity.WARNING", "10.3.0"),
        ("context.execute_async_v3", "context.execute_async_v2", "11.4.0.106"),
        ("resources.engine.name", "resources.engine.has_implicit_batch_dimension", "11.0.0.114"),
        ('if hasattr(trt, "CudaGraphStrategy"):', "if True:", "10.13.3.9"),
        ('hasattr(trt, "EngineValidity")', 'hasattr(trt, "EngineValidty")', "rtx-1.7.1"),
        ("kernels.serialize()", "kernels.save()", "rtx-1.7.1"),
    ],
)
def test_a_name_that_a_version_lacks_is_found(written, instead, missing_in):
    source = source_of("tensorrt.py")
    assert written in source
    assert read(source.replace(written, instead), missing_in).wrong


@pytest.mark.parametrize(
    ("written", "instead", "missing_in"),
    [
        ("trt.BuilderFlag.TF32", "trt.BuilderFlag.FP16", "11.0.0.114"),
        ("trt.BuilderFlag.TF32", "trt.BuilderFlag.STRICT_NANS", "10.3.0"),
        ("STRONGLY_TYPED", "EXPLICIT_BATCH", "11.0.0.114"),
        ('if hasattr(trt, "ComputeCapability"):', "if True:", "10.3.0"),
        ("def phase_finish", "def phase_ended", "10.3.0"),
        ("error.node_operator()", "error.operator()", "10.3.0"),
        ("plan = builder.", "plan = builder.platform_has_tf32.x = builder.", "rtx-1.7.1"),
    ],
)
def test_a_name_that_a_version_lacks_is_found_in_the_build(written, instead, missing_in):
    source = source_of("tensorrt_build.py")
    assert written in source
    assert read(source.replace(written, instead), missing_in).wrong


def test_what_is_asked_for_first_may_be_missing():
    source = """
def choose(trt: ModuleType, engine: tensorrt.ICudaEngine) -> None:
    if hasattr(engine, "create_runtime_config"):
        config: tensorrt.IRuntimeConfig = engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(1)
    else:
        engine.create_execution_context_without_device_memory()
"""
    assert read(source, "10.3.0").wrong == []
    assert read(source, "10.13.3.9").wrong == []
    later = source.replace("config.set_execution", "config.get_execution")
    assert read(later.replace("_allocation_strategy(1)", "_x()"), "10.3.0").wrong == []
    assert read(later.replace("_allocation_strategy(1)", "_x()"), "10.13.3.9").wrong


def test_what_tensorrt_returns_must_be_annotated():
    source = """
def use(engine: tensorrt.ICudaEngine) -> None:
    context = engine.create_execution_context()
    context.no_such_thing()
"""
    assert "annotate" in read(source, "10.3.0").wrong[0]


def test_every_name_of_cuda_is_there():
    """In the cuda-python that is installed; the names are the same in 12.9 and 13."""
    runtime = pytest.importorskip("cuda.bindings.runtime")
    source = source_of("cuda.py")
    names = set(re.findall(r"\bcuda[A-Z]\w+", source))
    assert {"cudaMemcpyAsync", "cudaGraphLaunch", "cudaMemcpyHostToDevice"} <= names
    enums = ("cudaError_t", "cudaMemcpyKind", "cudaDeviceAttr", "cudaStreamCaptureMode")
    places = (runtime, *(getattr(runtime, name) for name in enums))
    assert {name for name in names if not any(hasattr(p, name) for p in places)} == set()
