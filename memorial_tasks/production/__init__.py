"""The control plane's acts, one function each and free of any framework: intake, steps, gates, review, delivery.

Airflow's tasks and the command both call these; neither holds logic of its own.
"""
