"""A seeded world of TikTok creators with known truth, served over HTTP in four vendors' wire formats.

It is used by the demo, the tests and the accuracy benchmarks. Only the command line imports it: the pipeline has no
code for a sandbox. Nothing here imports `providers/`: the formats are written twice on purpose.
"""
