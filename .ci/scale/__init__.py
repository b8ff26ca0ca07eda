"""The parts of .ci/faults: the services of the profile `scale`, the load, and the scenarios."""
