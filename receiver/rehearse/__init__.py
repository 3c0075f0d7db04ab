"""`receiver rehearse`: a day of callbacks in minutes, against a throw-away receiver, with faults amid it."""
