"""Limits that many machines share: buckets in Redis, or Valkey, moved by scripts that run there.

`scripts` are the scripts (`*.lua`), `wire` writes what they are told and reads what they answer; `dial` leads to the
server, `link` keeps one connection to it, over which all that one turn of the event loop asks is sent together.
`exact` asks for every request, `leased` spends what it took in advance; `outage` decides while nobody answers.

A bucket is one key, `<prefix>:<kind>:{<owner kind>:<owner id>}:<plan>:<rule>`. What stands in braces is all that a
cluster looks at, so that the buckets of one owner lie together. Time is Redis' own: nodes need not agree on theirs.

What is atomic: a script, that is, all buckets of a request, charged or left alone. In a cluster, where a script
reaches the buckets of one owner only, each owner's buckets are; those of several are asked at the same time, and what
some of them drew is given back when another refuses. Until then others may be refused for it, never let in.
"""
