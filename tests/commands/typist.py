"""Types one command after another in one process, as `python -m tests.commands.typist`.

Starting Python for each command takes longer than the command. Reads a JSON list of words a line,
answers with the exit code, the output and the errors of that command.
"""

import contextlib
import io
import json
import sys

from vending.__main__ import main


def typed(words: list[str]) -> tuple[int, str, str]:
    """Run one command as if it had been typed."""
    out, errors = io.StringIO(), io.StringIO()
    sys.argv = ["vending", *words]
    code: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    status = code if isinstance(code, int) else int(code is not None)
    return status, out.getvalue(), errors.getvalue()


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(typed(json.loads(line))), flush=True)
