"""Golden vectors for implementers in other languages: inputs and what must come out, as JSON.

``python -m timehands.clocks.vectors DIR`` writes a file for each subject; the files in the
project's ``vectors/`` are made so, and its README.md describes them. `forms` has the format,
each other module one subject's cases.
"""
