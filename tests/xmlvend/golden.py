"""Writes tests/golden/xmlvend/answers: `python -m tests.xmlvend.golden`; read what it changed."""

from pathlib import Path

from tests.xmlvend.answers import ANSWERS, REFUSED, SHILLINGS
from vending.xmlvend import write_answer, write_fault
from vending.xmlvend.document import Spelling
from vending.xmlvend.identity import Soap

GOLDEN = Path(__file__).parents[1] / "golden" / "xmlvend"


def broken(body: bytes) -> str:
    """Return a message with a line for each tag, for people and for diffs."""
    return body.decode().replace("><", ">\n<") + "\n"


def written() -> dict[str, str]:
    """Return what every golden answer should be, by the name of its file."""
    files = {
        f"{name}.xml": broken(write_answer(answer, currency=SHILLINGS, soap=Soap.V11).body)
        for name, answer in ANSWERS.items()
    }
    prefixed = write_answer(
        ANSWERS["credit_vend"], currency=SHILLINGS, soap=Soap.V12, spelling=Spelling.PREFIXED
    )
    files["credit_vend.prefixed.xml"] = broken(prefixed.body)
    for soap in Soap:
        for spelling in Spelling:
            fault = write_fault(REFUSED, soap=soap, spelling=spelling)
            files[f"fault.{soap.value}.{spelling.value}.xml"] = broken(fault.body)
    return files


if __name__ == "__main__":
    for name, text in written().items():
        (GOLDEN / "answers" / name).write_text(text, encoding="utf-8")
