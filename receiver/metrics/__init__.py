"""What Prometheus reads: counters of what happens in the processes of a machine, and how metrics are written.

Gauges are read from the database when somebody looks (`receiver.admin.figures`); here are their names.
"""
