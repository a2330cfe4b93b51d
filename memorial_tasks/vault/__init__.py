"""The vault: encrypted objects, the data keys that open them, and the service that releases keys."""
