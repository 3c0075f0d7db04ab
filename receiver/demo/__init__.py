"""`receiver demo`: the whole story on the terminal, with real processes and a simulated bank."""
