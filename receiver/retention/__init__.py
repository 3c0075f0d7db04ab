"""Retention: for how long to store what came, and the runs that remove what is older."""
