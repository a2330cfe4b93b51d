"""Puts what lies beside the package in a checkout into the built package.

``sql/``, ``dags/``, the pod templates and the auditor's verifier lie where people look for them; a wheel has no beside,
so there they are copied in. The code looks in both places. Everything else is said in pyproject.toml.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# (folder of the checkout, files, folder of the package)
BESIDE = (("sql", "*.sql", "sql"), ("dags", "*.py", "dags"), ("tools", "audit_verifier.py", "audit"),
          ("infra/pods", "*.yaml", "pods"))  # fmt: skip


class BuildWithWhatLiesBeside(build_py):
    """The ordinary build, and then the copies; an editable install reads the checkout itself."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for folder, pattern, inside in BESIDE:
            target = Path(self.build_lib) / "memorial_tasks" / inside
            target.mkdir(parents=True, exist_ok=True)
            for path in sorted(Path(folder).glob(pattern)):
                self.copy_file(str(path), str(target / path.name))


setup(cmdclass={"build_py": BuildWithWhatLiesBeside})
