"""Who Tollhouse is compared with: each module writes a peer's configuration from the policy and says how to start it.

`catalogue` lists them, `site` is what they are given and give back. The others are servers written for measuring only.
"""
