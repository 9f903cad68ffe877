"""The links and the payments of the benchmarks on transfers, for the simulator. docs/performance.md describes them."""

from __future__ import annotations

from random import Random
from typing import Final

from device_sim.profiles import LinkProfile
from device_sim.radio import Radio

#: 40 ms each way, log-normal changes, a short stall about every minute, no hand-overs and no drop-outs.
AIR: Final = {
    "delay_ms": 40.0,
    "jitter_ms": 0.0,
    "rate_sigma": 0.35,
    "rate_memory_s": 4.5,
    "stalls_per_h": 60.0,
    "stall_s": (0.15, 1.2),
    "handovers_per_h": 0.0,
    "dropouts_per_h": 0.0,
}
UP_SHARE: Final = 0.5
EVERY_S: Final = (10.0, 20.0)  # from card to card
LEAD_S: Final = (0.2, 0.6)  # from card to request
HOST_S: Final = (0.15, 0.4)


def bearer(bits_per_s: float, seed: int, origin: float = 0.0) -> Radio:
    """The same for the same arguments, whatever is sent."""
    return Radio(LinkProfile(down_bps=bits_per_s, up_bps=UP_SHARE * bits_per_s, **AIR), Random(seed), origin)  # type: ignore[arg-type]


def groups(rates_bps: dict[str, float], *, speed: float, payments_from_s: float) -> list[dict[str, object]]:
    """A scenario's groups, one for each rate. All that ``speed`` would shorten of a payment is made as much longer."""

    def scaled(span: tuple[float, float]) -> list[float]:
        return [speed * seconds for seconds in span]

    return [
        {
            "ids": [name for name, rate in rates_bps.items() if rate == bits_per_s],
            "model": "lakala-4g-esign",
            "reconnect_base_s": 0.2,
            "keep_payload": False,
            "link": {"down_bps": bits_per_s, "up_bps": UP_SHARE * bits_per_s, **AIR},
            "shop": {
                "payment_every_s": scaled(EVERY_S),
                "payments_from_s": payments_from_s,
                "lead_s": scaled(LEAD_S),
                "host_s": scaled(HOST_S),
                "declined_p": 0.0,
            },
        }
        for bits_per_s in sorted(set(rates_bps.values()))
    ]
