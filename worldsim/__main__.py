"""`python -m worldsim`."""

import sys

from worldsim.cli.main import main

sys.exit(main())
