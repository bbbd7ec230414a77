"""Set before torch loads, as the command line does: threads that wait do not spin, since tests share their machine."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
