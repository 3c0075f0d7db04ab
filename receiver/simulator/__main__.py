"""`python -m receiver.simulator`."""

from receiver.simulator.command import simulator

simulator()
