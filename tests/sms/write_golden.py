"""Rewrites tests/golden/sms from the present wording: python -m tests.sms.write_golden."""

from tests.sms.test_wording import GOLDEN, every_text
from vending.sms.wording import LANGUAGES

if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for old in GOLDEN.glob("*.txt"):
        old.unlink()
    for language in LANGUAGES:
        for name, text in every_text(language).items():
            (GOLDEN / f"{name}.{language}.txt").write_text(text + "\n", encoding="utf-8")
