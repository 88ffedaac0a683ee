"""A seeded world of TikTok creators with known truth, served over HTTP in four vendors' wire formats.

It is the demo, the test bed and the ruler for accuracy. Only the command line imports it: the pipeline never
knows that it talks to a sandbox. Nothing here imports `providers/`: the formats are written twice on purpose.
"""
