"""The cyclic garbage collector of a long-running server, told what need not be looked at."""

import gc

COLLECT_AFTER = 50_000
"""Containers made before the youngest generation is looked at: a batch of 500 makes about that."""


def spare() -> None:
    """Let the cyclic collector leave alone what lives for ever, and look at the rest less often.

    A batch makes tens of thousands of short-lived values that no cycle holds; at the interpreter's
    own thresholds the collector would walk the whole heap in the middle of it, again and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)
