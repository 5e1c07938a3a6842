"""`python -m bench`: every figure that the README quotes, one after the other."""

from __future__ import annotations

import importlib

FIGURES = ("schedule", "cron_agreement", "tick_requests", "chain_states")


def main() -> None:
    for name in FIGURES:
        print(f"\n== {name}\n", flush=True)
        importlib.import_module(f"bench.{name}").main()


if __name__ == "__main__":
    main()
