"""The statistics that gates decide with: pure functions, each with its source.

Two kinds, and they are not to be confused:

- `proportions`, `paired`, `quantiles` and `bootstrap` are fixed-sample: their error rates hold when
  the number of rows was fixed beforehand and looked at once, as the offline evaluation does.
- `tally`, `betting`, `groups`, `judged`, `family` and `fronts` hold however often one looks and
  whenever one stops: shadow and canary decide with them. `fronts` is the way in.
"""
