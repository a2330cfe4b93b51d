"""Memorial Studio: the shared library behind the DAGs, the steps and the `memorial` command."""

__version__ = "0.1.0"
