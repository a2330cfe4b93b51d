"""Memorial Studio: the shared library behind the DAGs, the steps and the `memorial` command."""

__version__ = "0.1.0"

import warnings

# pyworld asks pkg_resources for its own version when it is imported; nobody who makes a film can do anything about it.
warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
