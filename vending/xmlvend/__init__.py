"""XMLVend 2.1 (NRS 009-6-10), the wire alone: bytes to requests, answers and faults to bytes.

Pure: nothing here reads a clock, a file, a database or a socket. `reading.read_request` is the way
in, `writing.write_answer` and `writing.write_fault` are the ways out, `faults.fault_of` says what
becomes of our own errors, and `identity.MessageId.reference` is the key of idempotency. The
messages and their schema are in docs/reference/xmlvend.md.
"""

from vending.xmlvend.reading import read_request
from vending.xmlvend.writing import write_answer, write_fault

__all__ = ["read_request", "write_answer", "write_fault"]
