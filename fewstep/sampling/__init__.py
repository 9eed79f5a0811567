"""Running a schedule: the loop, the plan that a tableau runs by, and the outputs that it keeps."""
