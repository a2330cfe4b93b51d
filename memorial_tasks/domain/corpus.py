"""Which licences a base model and what it is learned from may have."""

MODEL_ID = r"^[a-z0-9][a-z0-9.-]{2,63}$"
# What may be done with a film that was made with their help: anything the family may do with it. SPDX identifiers.
FREE = frozenset(
    ("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "CC0-1.0", "CC-BY-4.0", "CC-BY-3.0", "CC-BY-SA-4.0",
     "CDLA-Permissive-1.0", "CDLA-Permissive-2.0", "PDDL-1.0", "LicenseRef-own")
)  # fmt: skip


def free(expression: str) -> bool:
    """Whether every licence of an SPDX expression ``A AND B`` allows films for families and the public."""
    return all(licence in FREE for licence in expression.split(" AND "))
