"""``python -m timehands`` is the command ``timehands``."""

import sys

from timehands.cli.main import main

sys.exit(main())
