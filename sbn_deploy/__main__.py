"""`python -m sbn_deploy` is `sbn`."""

import sys

from sbn_deploy.cli import main

sys.exit(main())
