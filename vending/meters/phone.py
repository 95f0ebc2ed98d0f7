"""Phone numbers as people write them, brought to the one form stored and compared: E.164."""

import re

import phonenumbers

from vending.errors import Rejected

_KENYAN_MOBILE = re.compile(r"(?:\+?254|0)(7[0-9]{8})", re.ASCII)
_LENGTH_MAX = 32


class PhoneMalformed(Rejected):
    """This is not a phone number that could be called.

    The number itself is left out on purpose: it is somebody's.
    """

    code = "phone_malformed"


def e164(text: str, *, country: str) -> str:
    """Return a phone number as E.164, such as +254712345678.

    `country` (ISO 3166) is where a number without a country code is read. Raises PhoneMalformed.
    """
    written = text.strip()
    # What nearly every Kenyan number looks like, at a fiftieth of the full parser's cost.
    if country == "KE" and (mobile := _KENYAN_MOBILE.fullmatch(written)):
        return "+254" + mobile[1]
    if len(written) > _LENGTH_MAX:
        raise PhoneMalformed(reason="length")
    try:
        number = phonenumbers.parse(written, country)
    except phonenumbers.NumberParseException:
        raise PhoneMalformed(reason="not_a_number") from None
    if not phonenumbers.is_valid_number(number):
        raise PhoneMalformed(reason="not_assigned")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
