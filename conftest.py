"""One thread for linear algebra, in tests and in all that they start: matrices here are small, and threads only cost.

It is a file of its own because numpy reads this once, when it is first imported.
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
