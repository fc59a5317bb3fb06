"""Which of two answers is better, where no validator can tell: asked of judges and of people.

A `Contest` is two answers to a request without a word on whose they are. A judge is a file of
`judges/`. What people said is in `people`, what they decided in review is in `decisions`; a judge
is asked about that in `comparison`, and whether it may be used is in `calibration`.
"""
