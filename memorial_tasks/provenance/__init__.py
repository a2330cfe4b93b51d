"""Everything that says of a film that it was made by a machine, and proves it.

Four layers are written by `seal.seal_film` and read back by `verify.verify_film`: a visible and audible label,
an imperceptible watermark, the AIGC metadata key of GB 45438-2025, and a signed C2PA manifest.
"""
