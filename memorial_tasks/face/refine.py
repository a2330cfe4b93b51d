"""stub"""
from pathlib import Path
from typing import Any
class Refiner:
    @staticmethod
    def load(path: Path, bank: Any) -> "Refiner": return Refiner()
    def apply(self, canvas: Any, state: Any) -> None: ...
