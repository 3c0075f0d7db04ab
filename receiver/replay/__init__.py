"""Sending again: first a plan, signed and expiring, then exactly that plan is run, in parts that survive a kill."""
