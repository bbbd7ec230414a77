"""The tests of this folder import what runs a page from beside them."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
