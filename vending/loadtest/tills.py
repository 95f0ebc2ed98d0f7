"""The bytes of what tills send: a look-up before a sale, and the sale, by a vendor's key.

References begin like the receipts of other load tests, so that two runs never share one. The keys
of several vendors take turns: each has a quota of its own.
"""

from collections.abc import Sequence

from vending.loadtest import generator
from vending.loadtest.callbacks import Payment, base36

OUTLETS = 500
"""So many tills, each an outlet of its own."""

ALIKE_SECONDS = 40.0
"""A second sale like one so short a time before is confirmed, as a clerk who was asked does; the
server asks for thirty seconds, by the clock of when it came."""

_SERIAL_LETTERS = 5


class Tills:
    """Writes the requests of one run."""

    def __init__(self, *, host: str, keys: Sequence[str], prefix: str) -> None:
        """`keys` are shown as Bearer: API keys, or access tokens that outlast the run."""
        self._host = host
        self._headers = [f"Authorization: Bearer {key}\r\n" for key in keys]
        self._prefix = prefix
        self._lately: dict[tuple[int, str, int], float] = {}
        self._confirmed: dict[int, bool] = {}

    def __repr__(self) -> str:
        return f"Tills({self._host!r}, vendors={len(self._headers)})"

    def reference(self, payment: Payment) -> str:
        """Return the vendor's own name of a sale."""
        return self._prefix + base36(payment.serial, _SERIAL_LETTERS)

    def request(self, call: str, payment: Payment) -> bytes:
        """Return the bytes of a look-up (`check`) or of a sale (`confirm`)."""
        headers = self._headers[payment.serial % len(self._headers)]
        if call == "check":
            path = f"/v1/meters/{payment.account}"
            return generator.get(path, host=self._host, headers=headers)
        outlet = payment.serial % OUTLETS
        confirmed = ',"confirm":true' if self._asked(outlet, payment) else ""
        body = (
            f'{{"reference":"{self.reference(payment)}","meter":"{payment.account}",'
            f'"amount_minor":{payment.amount_minor},"outlet":"LT-{outlet}"{confirmed}}}'
        )
        return generator.post("/v1/sales", body.encode(), host=self._host, headers=headers)

    def _asked(self, outlet: int, payment: Payment) -> bool:
        """Return whether the clerk was asked, and meant it; the same for every try of a sale."""
        if payment.serial not in self._confirmed:
            alike = (outlet, payment.account, payment.amount_minor)
            before = self._lately.get(alike)
            self._lately[alike] = payment.made
            self._confirmed[payment.serial] = (
                before is not None and payment.made - before < ALIKE_SECONDS
            )
        return self._confirmed[payment.serial]
