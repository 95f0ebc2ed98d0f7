"""The alerting rules and the dashboard that operators are given."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.reference_pages import declared, label_names

FOLDER = Path(__file__).parents[2] / "docs" / "operating" / "monitoring"
RULES = FOLDER / "rules.yaml"
DASHBOARD = FOLDER / "dashboard.json"
TESTS = FOLDER / "rules-test.yaml"

_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}

promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not here; Debian's package prometheus has it",
)


def sold() -> set[str]:
    """Return every series name that the server shows."""
    return {
        family.name + suffix
        for metric in declared()
        for family in metric.describe()
        for suffix in _SUFFIXES[family.type]
    }


def expressions() -> list[str]:
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


@pytest.mark.parametrize("path", [RULES, DASHBOARD, TESTS], ids=lambda path: path.name)
def test_every_metric_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"\bstima_[a-z0-9_]+", path.read_text(encoding="utf-8")))
    assert named - sold() == set()
    assert len(named) > 5


def test_the_dashboard_leaves_no_part_of_the_way_out() -> None:
    shown = " ".join(expressions())
    parts = ("callbacks", "payments_stored", "outcomes", "vend_seconds", "batch", "messages")
    states = ("oldest_waiting", "sequencer_owner", "database_up", "quarantined", "spool")
    for word in (*parts, *states):
        assert f"stima_{word}" in shown


def test_labels_that_are_selected_or_summed_by_exist() -> None:
    labels = {label for metric in declared() for label in label_names(metric)}
    labels |= {"le", "job", "instance"}
    texts = [RULES.read_text(encoding="utf-8"), *expressions()]
    for text in texts:
        for group in re.findall(r"\bby \(([^)]*)\)", text):
            assert {one.strip() for one in group.split(",")} <= labels
        for selector in re.findall(r"\bstima_[a-z0-9_]+\{([^}]*)\}", text):
            assert set(re.findall(r"(\w+)\s*=", selector)) <= labels


def test_what_the_rules_record_is_what_the_dashboard_and_alerts_read() -> None:
    rules = RULES.read_text(encoding="utf-8")
    recorded = set(re.findall(r"record: (\S+)", rules))
    used = set(re.findall(r"\bstima:[a-z0-9_:]+", rules + " ".join(expressions())))
    assert used == recorded


def test_every_panel_has_a_place_of_its_own() -> None:
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken
        taken |= cells


@promtool
def test_the_rules_are_rules() -> None:
    subprocess.run(["promtool", "check", "rules", RULES.name], cwd=FOLDER, check=True)


@promtool
def test_the_rules_do_what_their_own_tests_say() -> None:
    ran = subprocess.run(
        ["promtool", "test", "rules", TESTS.name], cwd=FOLDER, check=False, capture_output=True
    )
    assert ran.returncode == 0, ran.stdout.decode() + ran.stderr.decode()
