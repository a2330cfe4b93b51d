"""Sealing of consent documents under the subject's key, as the registry needs it."""

from typing import Protocol

from memorial_tasks.vault.cipher import seal, unseal
from memorial_tasks.vault.keyring import KeyDestroyed, Keyring


class Sealer(Protocol):
    """Encrypts small documents under a subject's key; `label` binds each to its place."""

    def seal(self, subject: str, document: bytes, label: str) -> bytes:
        """The sealed document."""

    def open(self, subject: str, sealed: bytes, label: str) -> bytes | None:
        """The document, or None when the subject's key was destroyed."""


class KeyringSealer:
    """Seals with the keys of the studio's keyring. For the control plane; steps never get here."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def seal(self, subject: str, document: bytes, label: str) -> bytes:
        """The sealed document. Raises `KeyDestroyed` when the subject was erased."""
        return seal(document, self._keyring.unwrap(subject), label)

    def open(self, subject: str, sealed: bytes, label: str) -> bytes | None:
        """The document, or None when the subject's key was destroyed. Raises `IntegrityError` when it was changed."""
        try:
            key = self._keyring.unwrap(subject)
        except KeyDestroyed:
            return None
        return unseal(sealed, key, label)
