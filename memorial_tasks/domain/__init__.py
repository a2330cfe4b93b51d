"""Plain typed records. This room knows nobody: no input or output, no framework, no heavy import."""
