"""The shape of the code: sizes, who commits, what is never called, and where torch may not be."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator

from tests import env_example
from tests.tree import ROOT, files, nodes, sources, syntax, text

MAX_FILE, MAX_FUNCTION, MAX_TAIL = 400, 40, 0.05

COMMITTERS = {"core/catalogue/database.py"}
TRANSACTION_OPENERS = COMMITTERS | {"migrations/env.py"}
# Settings are read in one place; whoever starts children hands its own environment on to them, and a slot tells CUDA by
# it which GPU to see.
ENVIRONMENT_READERS = {"core/settings.py", "vyaz/cli/worker.py", "vyaz/up/processes.py", "worker/device.py"}
# The task boundary: whatever a kind's work raises is its shard's failure. And the health probe.
BROAD_CATCHERS = {"worker/runner.py", "api/routes/health.py"}
PRINTERS = ("bench/", "examples/", "vyaz/demo.py")
FACADE = "vyaz/__init__.py"  # `from vyaz import Client` is what people type

TORCH_SIDE = ("core/monogram/", "core/networks/", "core/packing.py", "core/pipeline.py", "core/training/")
TORCH_FREE_AMONG_THEM = {"core/training/config.py"}

PICKLES = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
BANNED_CALLS = {"eval", "exec", "os.popen", "os.system", "torch.load", "yaml.load", "yaml.unsafe_load"}
BANNED_NAMES = {"base", "common", "helpers", "manager", "misc", "utils"}

HOSTS = re.compile(
    r"https?://[\w.-]*(registry|packages?|files|mirror|deb)\.[\w.-]+|\b(pypi|pythonhosted|npmjs)\.(org|com)\b",
    re.IGNORECASE,
)
MACHINE_PATHS = re.compile(r"(?<![\w./])/(root|home|Users|work)/\w")
BINARY = {".gif", ".ico", ".jpg", ".npz", ".otf", ".png", ".safetensors", ".tar", ".ttf", ".webp", ".woff2"}


def _dotted(node: ast.expr) -> str:
    """`a.b.c` of a name or an attribute; `.c` when it hangs on something else."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _calls() -> Iterator[tuple[str, ast.Call, str]]:
    for name, node in nodes(sources()):
        if isinstance(node, ast.Call):
            yield name, node, _dotted(node.func)


def _callers(method: str) -> set[str]:
    return {name for name, _, called in _calls() if called.endswith(f".{method}")}


def _imports() -> Iterator[tuple[str, str]]:
    """Every dotted name that a file imports, as (file, name)."""
    for name, node in nodes(sources()):
        if isinstance(node, ast.Import):
            yield from ((name, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((name, f"{node.module}.{alias.name}") for alias in node.names)


def _is_switched_on(keyword: ast.keyword) -> bool:
    """`shell=...` or `allow_pickle=...` with anything but a plain `False`."""
    off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
    return keyword.arg in {"allow_pickle", "shell"} and not off


def _swallows_everything(handler: ast.ExceptHandler) -> bool:
    """Bare, `Exception` or `BaseException`, unless it only cleans up and ends in a plain `raise`."""
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    broad = {None if kind is None else _dotted(kind) for kind in caught} & {None, "Exception", "BaseException"}
    last = handler.body[-1]
    return bool(broad) and not (isinstance(last, ast.Raise) and last.exc is None)


def _may_be_long(name: str, function: str) -> bool:
    """The training loop reads best in one piece, and so does a network's wiring."""
    if name.startswith("core/networks/"):
        return function in {"__init__", "forward"}
    return (name, function) == ("core/training/loop.py", "train")


def _import_in_fresh_interpreter(modules: list[str]) -> set[str]:
    """Which top-level packages are loaded after importing `modules`."""
    program = "import importlib, sys; [importlib.import_module(m) for m in sys.argv[1:]]; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, *modules], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return {module.split(".")[0] for module in done.stdout.split()}


def _module(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def test_no_python_file_is_longer_than_the_budget() -> None:
    lengths = {name: text(name).count("\n") for name in files() if name.endswith(".py")}
    long = {name: lines for name, lines in lengths.items() if lines > MAX_FILE}

    # A migration is a record: written once, never read for pleasure, and cutting it in two would help nobody.
    assert {name for name in long if not name.startswith("migrations/versions/")} == set()


def test_at_most_one_function_in_twenty_is_longer_than_forty_lines() -> None:
    functions = [
        ((node.end_lineno or node.lineno) - node.lineno + 1, f"{name}:{node.lineno} {node.name}")
        for name, node in nodes(sources())
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _may_be_long(name, node.name)
    ]
    long = sorted((function for function in functions if function[0] > MAX_FUNCTION), reverse=True)

    assert len(long) <= MAX_TAIL * len(functions), long


def test_only_the_database_module_commits() -> None:
    assert _callers("commit") == COMMITTERS


def test_nothing_else_opens_a_transaction_that_commits_by_itself() -> None:
    assert _callers("begin") - TRANSACTION_OPENERS == set()


def test_nothing_reads_pickles() -> None:
    assert [(name, module) for name, module in _imports() if module.split(".")[0] in PICKLES] == []


def test_nothing_evaluates_text_unpacks_an_archive_or_starts_a_shell() -> None:
    found = [
        f"{name}:{call.lineno} {called}"
        for name, call, called in _calls()
        if called in BANNED_CALLS
        or called.endswith(".extractall")
        or any(_is_switched_on(keyword) for keyword in call.keywords)
    ]

    assert found == []


def test_everything_is_caught_only_at_the_task_boundary_and_in_the_health_probe() -> None:
    catchers = [
        name for name, node in nodes(sources()) if isinstance(node, ast.ExceptHandler) and _swallows_everything(node)
    ]

    assert set(catchers) - BROAD_CATCHERS == set()
    assert len(catchers) <= len(BROAD_CATCHERS)


def test_only_the_settings_read_the_environment() -> None:
    attributes = {
        name
        for name, node in nodes(sources())
        if isinstance(node, ast.Attribute) and _dotted(node) in {"os.environ", "os.environb", "os.getenv"}
    }
    imported = {name for name, module in _imports() if module in {"os.environ", "os.environb", "os.getenv"}}

    assert (attributes | imported) - ENVIRONMENT_READERS == set()


def test_libraries_print_nothing() -> None:
    found = [f"{name}:{call.lineno}" for name, call, called in _calls() if called == "print"]

    assert [place for place in found if not place.startswith(PRINTERS)] == []


def test_nothing_is_left_for_later() -> None:
    later = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")

    assert [name for name in sources() if later.search(text(name))] == []


def test_no_file_is_named_after_nothing() -> None:
    named = {name: set(name.rsplit("/", 1)[-1].removesuffix(".py").split("_")) for name in sources()}

    assert [name for name, words in named.items() if words & BANNED_NAMES] == []


def test_package_init_files_hold_at_most_a_docstring() -> None:
    inits = [name for name in sources() if name.endswith("/__init__.py") and name != FACADE]

    assert [name for name in inits if len(syntax(name).body) > bool(ast.get_docstring(syntax(name)))] == []


def test_every_folder_of_the_product_is_a_package() -> None:
    folders = {name.rsplit("/", 1)[0] for name in sources()}

    assert [folder for folder in sorted(folders) if f"{folder}/__init__.py" not in files()] == []


def test_nothing_outside_the_torch_side_brings_torch_along() -> None:
    light = [
        _module(name)
        for name in sources()
        if name.startswith(("api/", "core/", "vyaz/", "worker/app.py"))
        and (name in TORCH_FREE_AMONG_THEM or not name.startswith(TORCH_SIDE))
        and not name.endswith("__main__.py")
    ]

    assert {"torch", "torchvision"} & _import_in_fresh_interpreter(light) == set()


def test_no_machine_path_and_no_registry_host_is_committed() -> None:
    readable = [name for name in files() if "." + name.rsplit(".", 1)[-1] not in BINARY]
    found = [
        f"{name}:{number} {line.strip()[:100]}"
        for name in readable
        for number, line in enumerate(text(name).splitlines(), 1)
        if HOSTS.search(line) or MACHINE_PATHS.search(line)
    ]

    assert found == []


def test_env_example_says_what_the_settings_say() -> None:
    assert text(".env.example") == env_example.render(), "write it anew: make env"
