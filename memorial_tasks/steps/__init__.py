"""The steps: one file each, the only place where the rooms meet.

A step is a pure function: files in, files out, one result document. Each module ``steps/<name>.py`` exposes

``ROOMS``      names of the packages whose source decides the step's code version, e.g. ``("face",)``
``MODALITIES`` the modalities a permit must cover for this step
``Params``     a `Record` with the step's parameters
``run``        ``run(context: StepContext, params: Params) -> dict[str, Any]``; returns the metrics
"""
