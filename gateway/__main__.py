"""``python -m gateway`` and the command ``tillgate``."""

from __future__ import annotations

import sys

from gateway.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
