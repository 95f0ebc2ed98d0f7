"""The schema of docs/reference as a judge of messages: the only place that knows a validator."""

import re
from functools import cache
from pathlib import Path

import xmlschema

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
METER = "http://www.nrs.eskom.co.za/xmlvend/meter/2.1/schema"

_WRAPPING = re.compile(
    r"^<\?xml[^>]*\?>|</?[\w-]+:(?:Envelope|Body|Fault|Detail)\b[^>]*>|</?detail>|"
    r"<faultcode>.*?</faultcode>|<faultstring>.*?</faultstring>|"
    r"<soap:Code>.*?</soap:Code>|<soap:Reason>.*?</soap:Reason>",
    re.DOTALL,
)


@cache
def schema() -> xmlschema.XMLSchema:
    """Return the three documents as one schema."""
    whole = xmlschema.XMLSchema(FOLDER / "xmlvend-revenue.xsd", build=False)
    whole.import_schema(METER, str(FOLDER / "xmlvend-meter.xsd"))
    whole.build()
    return whole


def payload_faults(message: bytes) -> list[str]:
    """Return what is wrong with a message inside its envelope, in the schema's words."""
    payload = _WRAPPING.sub("", message.decode()).strip()
    return [f"{fault.path}: {fault.reason}" for fault in schema().iter_errors(payload)]
