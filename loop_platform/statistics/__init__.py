"""The statistics that gates decide with: pure functions, each with its source.

`proportions`, `paired` and `unpaired` are fixed-sample: their error rates hold when the number of
rows was fixed beforehand and looked at once, which is how the trials of loop_platform/release use
them. Tests that hold under peeking (always-valid, e-values) are a module of their own beside these,
`sequential`, with the same shape: counts in, a verdict with its interval out.
"""
