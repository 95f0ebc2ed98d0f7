"""The page of messages says what the code says."""

from tests.sms import write_page


def test_the_messages_page_is_what_the_wording_says() -> None:
    """Run `python -m tests.sms.write_page` after rewording anything."""
    assert write_page.PAGE.read_text(encoding="utf-8") == write_page.page()
