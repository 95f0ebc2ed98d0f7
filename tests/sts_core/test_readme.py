"""The Python examples of the library's README run as printed."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "sts_core_rs" / "README.md"
EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_python_example_runs_as_printed() -> None:
    examples = EXAMPLE.findall(README.read_text())
    assert examples
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example, str(README), "exec"), names)
