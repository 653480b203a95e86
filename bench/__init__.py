"""Side-by-side benchmarks: Flyball and its peers, on the same machine, in the same run.

`python -m bench` runs all of them, `--only ID` some, `--quick` a shortened run that shows that the
harness works and whose figures mean nothing. docs/benchmarks.md says how each is measured.
"""
