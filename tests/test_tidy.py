"""The rules of style that no linter has, held against every file of the project."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINES_MAX = 400
TEST_LINES_MAX = 600
"""A file of tests is read one test at a time."""

FUNCTION_LINES_MAX = 60

BANNED_WORDS = {
    *("util", "utils", "helper", "helpers", "common", "misc", "manager", "processor"),
    *("service", "services", "impl", "info"),
}
"""Names that say nothing of what a thing is for."""

ENTRIES = frozenset({"vending.__main__", "vending.fronts.__main__"})
"""Modules that a person or a machine starts, so that no other module need import them."""

BANNED_SQL = {
    r"\b(un)?listen\b": "per node and off on some engines: poll, or hand over in memory",
    r"\bnotify\b": "per node and off on some engines: poll, or hand over in memory",
    r"\bpg_(try_)?advisory": "per node: exclusion is by lease rows",
    r"\block\s+table\b": "no engine but one has it: exclusion is by lease rows",
    r"\bcreate\s+(or\s+replace\s+)?(constraint\s+)?trigger\b": "refused on distributed tables",
    r"\bcreate\s+(or\s+replace\s+)?rule\b": "refused on distributed tables",
    r"\bset\s+session\b": "pooled connections carry no state",
    r"^\s*set\s+(?!local\b)\w": "pooled connections carry no state",
    r"\bdeferrable\b": "refused on distributed tables",
    r"\bselect\s+\*(?!\s+from\s+unnest)": "spell the columns out",
    r"\b(now\s*\(|current_timestamp\b|clock_timestamp\b)": "time is an argument",
}
"""Words of SQL that keep us from growing past one PostgreSQL, and why."""

OWN_CONNECTION = {
    ROOT / "vending" / "postgres" / "migrate.py",
    ROOT / "vending" / "meters" / "staging.py",
}
"""Commands on a connection nobody else gets: they may hold its session's locks and settings."""

_SESSION_STATE = re.compile(r"pg_(try_)?advisory|set\s", re.IGNORECASE)

_SQL = re.compile(
    r"\s*(--[^\n]*\n\s*)*(select|insert|update|delete|with|set|listen|unlisten|notify|lock|create|"
    r"alter|copy|merge)\s",
    re.IGNORECASE,
)


def python_files(*folders: str) -> list[Path]:
    return sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if "__pycache__" not in path.parts
    )


PRODUCTION = python_files("vending")
EVERYTHING = python_files("vending", "tests", "benchmarks", "loadtests", "sts_core_rs/python")
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "sts_core_rs").glob("*.md")]
)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def told(path: Path) -> str:
    return str(path.relative_to(ROOT))


every_file = pytest.mark.parametrize("path", EVERYTHING, ids=told)
every_production_file = pytest.mark.parametrize("path", PRODUCTION, ids=told)


@every_file
def test_a_module_is_one_room(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines < (TEST_LINES_MAX if path.is_relative_to(ROOT / "tests") else LINES_MAX)


@every_file
def test_a_module_says_what_it_is_for(path: Path) -> None:
    said = (ast.get_docstring(parsed(path)) or "").strip()
    package_of_tests = path.name == "__init__.py" and path.is_relative_to(ROOT / "tests")
    assert said or (package_of_tests and not parsed(path).body)


@every_file
def test_a_function_fits_on_a_screen(path: Path) -> None:
    long = [
        f"{node.name}: {lines} lines"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and (lines := node.end_lineno - node.lineno + 1) >= FUNCTION_LINES_MAX
    ]
    assert long == []


@every_file
def test_names_say_what_things_are(path: Path) -> None:
    names = [path.stem, *path.relative_to(ROOT).parts[:-1]]
    names += [
        node.name
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("test_")  # those are sentences
    ]
    assert [name for name in names if BANNED_WORDS & set(words(name))] == []
    assert [name for name in names if name.endswith("Base") or name.startswith("Abstract")] == []


def words(name: str) -> list[str]:
    """Split snake_case and CamelCase into lower-case words; a common key is the field's own."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return split.replace("common_key", "commonkey").split("_")


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {path.parent for path in python_files("vending", "tests")}
    assert [told(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_no_module_is_forgotten() -> None:
    """Each module of the server is imported by another one, or is where a process starts."""
    used = set(ENTRIES)
    for path in PRODUCTION:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Import):
                used.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                used.add(node.module)
                used.update(f"{node.module}.{alias.name}" for alias in node.names)
    modules = (path for path in PRODUCTION if path.name != "__init__.py")
    assert [told(path) for path in modules if dotted(path) not in used] == []


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@every_production_file
def test_sql_in_the_code_grows_past_one_machine(path: Path) -> None:
    assert [found for sql in statements(path) for found in faults(sql, path)] == []


def test_sql_in_the_migrations_grows_past_one_machine() -> None:
    for path in sorted((ROOT / "vending/postgres/migrations").glob("*.sql")):
        assert list(faults(re.sub(r"--[^\n]*", "", path.read_text()), path)) == []


def statements(path: Path) -> Iterator[str]:
    """Yield the strings of a module that are SQL: neither docstrings nor prose."""
    prose = {id(node.value) for node in ast.walk(parsed(path)) if isinstance(node, ast.Expr)}
    for node in ast.walk(parsed(path)):
        text = isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value
        if text and id(node) not in prose and _SQL.match(text):
            yield re.sub(r"--[^\n]*", "", text)


def faults(sql: str, path: Path) -> Iterator[str]:
    for pattern, reason in BANNED_SQL.items():
        found = re.search(pattern, sql, re.IGNORECASE)
        if found is None or (path in OWN_CONNECTION and _SESSION_STATE.match(found[0].strip())):
            continue
        if not ("clock" in found[0] and "lease" in sql):  # a lease ends by the database's clock
            yield f"{found[0].strip()!r}: {reason}"


@pytest.mark.parametrize(
    "sql",
    [
        "LISTEN payments",
        "select pg_try_advisory_lock(1)",
        "lock table payment",
        "set statement_timeout = 5",
        "select * from payment",
        "insert into payment (at) values (now())",
        "create trigger t after insert on payment execute function f()",
    ],
)
def test_the_lint_of_sql_can_fail(sql: str) -> None:
    assert _SQL.match(sql)
    assert list(faults(sql, ROOT))


@pytest.mark.parametrize("path", DOCUMENTS, ids=told)
def test_links_in_documents_lead_somewhere(path: Path) -> None:
    assert [link for link in links(path) if not leads_somewhere(path, link)] == []


def links(path: Path) -> list[str]:
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(), flags=re.DOTALL)
    return re.findall(r"\[[^\]]*\]\(([^)\s]+)[^)]*\)", prose)


def leads_somewhere(path: Path, link: str) -> bool:
    if re.match(r"[a-z]+:", link):
        return True
    name, _, anchor = link.partition("#")
    target = (path.parent / name).resolve() if name else path
    if not target.exists():
        return False
    return not anchor or target.suffix != ".md" or anchor in anchors(target)


def anchors(path: Path) -> set[str]:
    """Return the anchors a reader's browser finds: headings, lower-case, hyphens for spaces."""
    prose = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#{1,6} +(.+?) *#*$", prose, re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }
